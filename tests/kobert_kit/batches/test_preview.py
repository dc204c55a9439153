import re

import pytest

from kobert_kit.batches.batch import IGNORED
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import DataConfig
from kobert_kit.batches.preview import preview, print_batch
from kobert_kit.demo import SAMPLE
from kobert_vocab.errors import InputError


@pytest.mark.parametrize("pairing", ["none", "next", "order"])
def test_texts_are_where_they_are_said_to_come_from(corpus, vocabulary, pairing):
    batches = Batches(corpus, vocabulary, seed=0, windows=8, length=64, pairing=pairing)
    shown = list(preview(batches, corpus, vocabulary, 3))
    assert {one.language for one in shown} > {"ko"}
    for one in shown:
        assert len(one.origins) == (1 if pairing == "none" else 2)
        text = re.sub(r"\[([^ ]+)→[^ ]+\]", r"\1", one.text)
        first = text.removeprefix("[CLS] ").split(" [SEP]")[0]
        source, _, line = one.origins[0].rpartition(":")
        found = SAMPLE / source if (SAMPLE / source).exists() else SAMPLE / "languages" / source
        document = found.read_text(encoding="utf-8").split("\n")[int(line) - 1 :]
        read = first.replace(" ", "").replace("▁", " ").strip()
        normalized = vocabulary.normalize(" ".join(document))
        assert read in normalized or "<0x" in read


def test_masks_are_marked(corpus, vocabulary):
    batches = Batches(corpus, vocabulary, seed=0, windows=8, length=64)
    batch = batches[2]
    text = " ".join(one.text for one in preview(batches, corpus, vocabulary, 2))
    assert text.count("→") == (batch.labels != IGNORED).sum()
    assert "→[MASK]]" in text


def test_a_step_is_printed(corpus_folder, vocab_folder, capsys):
    data = DataConfig(windows=2, length=48)
    print_batch(corpus_folder, vocab_folder, seed=0, step=4, data=data)
    out = capsys.readouterr().out
    assert "[CLS]" in out
    assert re.search(r"B (follows A|is random)", out)


def test_steps_begin_at_0(corpus_folder, vocab_folder):
    with pytest.raises(InputError, match="step is -1"):
        print_batch(corpus_folder, vocab_folder, seed=0, step=-1, data=DataConfig())
