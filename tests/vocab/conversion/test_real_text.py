"""On the real corpora beside the checkout: models trained on them, and thousands of lines."""

import gzip
import io
import json
import random
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import sentencepiece

from kobert_vocab import verify
from kobert_vocab.conversion import convert

CORPORA = Path(__file__).resolve().parents[4] / "shared" / "corpora"  # as in tests/conftest.py

pytestmark = [pytest.mark.corpora, pytest.mark.slow]


def korean() -> Iterator[str]:
    for path in sorted((CORPORA / "ko").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for row in islice(file, 400):
                yield from json.loads(row)["text"].split("\n")[:5]


def multilingual() -> Iterator[str]:
    for path in sorted((CORPORA / "multilingual").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from islice(file, 12)


@cache
def lines() -> list[str]:
    return [*korean(), *multilingual()]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("rules", ["nmt_nfkc", "identity"])
def test_real_lines_have_the_same_ids(tmp_path, kobert_pieces, kind, rules) -> None:
    some = random.Random(0).sample(lines(), 6000)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(some),
        model_writer=out,
        vocab_size=8002,
        model_type=kind,
        normalization_rule_name=rules,
        minloglevel=2,
        **{**kobert_pieces, "control_symbols": ["[MASK]"]},
    )
    path = tmp_path / "tokenizer_78b3253a26.model"
    path.write_bytes(out.getvalue())
    convert(path, tmp_path / "out")
    own = verify(tmp_path / "out")
    assert len(lines()) > 8000
    assert verify(tmp_path / "out", lines()) == own + len(lines())
    decomposed = [unicodedata.normalize("NFD", line) for line in some]
    assert verify(tmp_path / "out", decomposed) == own + len(some)
