import io

import numpy as np
import pytest
import sentencepiece

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import DataConfig
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.shards import Corpus
from kobert_kit.demo import SAMPLE
from kobert_vocab import Vocabulary
from kobert_vocab.conversion import convert


@pytest.fixture(scope="module")
def kobert_like(tmp_path_factory):
    """A vocabulary with KoBERT's special ids: padding is 1, unknown 0."""
    folder = tmp_path_factory.mktemp("converted")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((SAMPLE / "ko" / "news.txt").read_text("utf-8").splitlines()),
        model_writer=out,
        vocab_size=1500,
        hard_vocab_limit=False,
        character_coverage=0.99,
        minloglevel=2,
        unk_id=0,
        unk_piece="[UNK]",
        pad_id=1,
        pad_piece="[PAD]",
        bos_id=2,
        bos_piece="[CLS]",
        eos_id=3,
        eos_piece="[SEP]",
        control_symbols=["[MASK]"],
        required_chars="[UNK]",
    )
    (folder / "kobert.model").write_bytes(out.getvalue())
    convert(folder / "kobert.model", folder / "vocabulary")
    return folder / "vocabulary"


def test_a_corpus_and_batches_take_the_special_ids_of_a_converted_vocabulary(
    kobert_like, tmp_path
) -> None:
    build_corpus(
        [f"ko={SAMPLE / 'ko' / 'news.txt'}"], vocab=kobert_like, out=tmp_path / "c", held_out=0.1
    )
    corpus, vocabulary = Corpus.load(tmp_path / "c"), Vocabulary.load(kobert_like)
    assert corpus.manifest.vocabulary == vocabulary.fingerprint
    batches = Batches.of(corpus, vocabulary, 1, DataConfig(length=40, windows=4))
    batch = next(batch for batch in map(batches.__getitem__, range(50)) if min(batch.language) < 0)
    starts = batch.cu_seqlens[:-1]
    padding = np.repeat(batch.language < 0, np.diff(batch.cu_seqlens))
    assert (batch.tokens[padding] == 1).all()
    assert not (batch.tokens[~padding] == 1).all()
    assert (batch.tokens[starts[batch.language >= 0]] == 2).all()
    ends = batch.cu_seqlens[1:][batch.language >= 0] - 1
    assert (batch.tokens[ends] == 3).all()
    predicted = batch.labels >= 0
    masked = (batch.tokens[batch.masked[predicted]] == 4).mean()
    assert 0.5 < masked < 1
    assert not np.isin(batch.labels[predicted], [1, 2, 3, 4]).any()
