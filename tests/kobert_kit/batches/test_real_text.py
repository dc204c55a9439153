"""Batches of real Korean text: how full they are, and that no sequence mixes documents."""

import numpy as np
import pytest

from kobert_kit.batches.batch import IGNORED
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import Masking
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.shards import Corpus

pytestmark = pytest.mark.corpora
TOKENS = 1 << 14


@pytest.fixture(scope="module")
def korean(corpora, vocab_folder, tmp_path_factory):
    names = ("wikinews", "fairytales", "unesco_reports", "techdocs_cpp", "dialogue_chatbot")
    out = tmp_path_factory.mktemp("real") / "c"
    build_corpus(
        [corpora / "ko" / f"{name}.jsonl.gz" for name in names], vocab=vocab_folder, out=out
    )
    return Corpus.load(out)


@pytest.fixture(params=["none", "next", "order"])
def pairing(request):
    return request.param


@pytest.fixture(params=[128, 512])
def batches(request, korean, vocabulary, pairing):
    return Batches(
        *(korean, vocabulary),
        seed=0,
        windows=TOKENS // request.param,
        length=request.param,
        pairing=pairing,
        masking=Masking(unit="word"),
    )


def test_windows_are_at_least_98_percent_full(batches):
    full = np.mean([batches[step].text_tokens / TOKENS for step in range(50)])
    assert full >= 0.98


def test_15_percent_are_masked_and_few_slots_are_empty(batches):
    masked = text = slots = 0
    for step in range(30):
        batch = batches[step]
        masked += (batch.labels != IGNORED).sum()
        slots += len(batch.labels)
        text += batch.text_tokens
    assert masked / text == pytest.approx(0.15, abs=0.005)
    assert masked / slots > 0.75


def test_no_text_crosses_a_document(batches, korean):
    shard = korean.shards["ko"]
    starts = shard.sentences[shard.documents]
    for step in range(30):
        texts = batches.texts(step)
        for begin, end in ((texts.a_begin, texts.a_end), (texts.b_begin, texts.b_end)):
            some = end > begin
            first = np.searchsorted(starts, begin[some], side="right")
            last = np.searchsorted(starts, end[some] - 1, side="right")
            np.testing.assert_array_equal(first, last)


def test_an_epoch_has_every_training_token_once(korean, vocabulary):
    batches = Batches(korean, vocabulary, seed=0, windows=1, length=512, pairing="none")
    shard = korean.shards["ko"]
    windows = int(batches._windows.counts[0])
    seen = np.zeros(len(shard.tokens), dtype=int)
    for step in range(windows):
        texts = batches.texts(step)
        for begin, end in zip(texts.a_begin, texts.a_end, strict=True):
            seen[begin:end] += 1
    starts = shard.sentences[shard.documents]
    training = np.repeat(~shard.held_out(), np.diff(starts))
    np.testing.assert_array_equal(seen, training.astype(int))
