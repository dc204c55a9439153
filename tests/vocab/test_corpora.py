"""On the real corpora beside the checkout, where they are."""

import gzip
import json
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from kobert_vocab import Vocabulary, train, verify
from kobert_vocab.segment import find_analyser

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"  # as in tests/conftest.py
LANGUAGES = ("eng", "jpn", "zho_Hans", "vie", "ara", "tha", "hin", "rus")

pytestmark = [pytest.mark.corpora, pytest.mark.slow]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = [CORPORA / "ko" / "dialogue_chatbot.jsonl.gz"]
    inputs += [CORPORA / "multilingual" / f"{key}.txt.gz" for key in LANGUAGES]
    return train(inputs, tmp_path_factory.mktemp("real") / "vocabulary", size=9000)


def lines() -> Iterator[str]:
    """Some 10,000 lines, of words the vocabulary has seen and of languages it has not."""
    draw = random.Random(0)
    for path in sorted((CORPORA / "ko").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = [json.loads(line)["text"] for line, _ in zip(file, range(2000), strict=False)]
        yield from (
            line for text in draw.sample(head, min(300, len(head))) for line in text.split("\n")[:3]
        )
    for path in sorted((CORPORA / "multilingual").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from draw.sample(list(file)[:300], 12)


def test_real_lines_have_the_same_ids_composed_and_decomposed(real: Path) -> None:
    some = list(lines())
    own = verify(real)
    assert len(some) > 9000
    assert verify(real, some) == own + len(some)
    assert verify(real, (unicodedata.normalize("NFD", line) for line in some)) == own + len(some)


def gold() -> Iterator[tuple[str, set[int]]]:
    """Words whose morphemes, joined, are the word as it stands, with where these begin."""
    path = CORPORA / "morphemes" / "klue-dp-v1.1_dev.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as rows:
        for fields in (row.rstrip("\n").split("\t") for row in rows):
            if fields[0].isdigit() and fields[2].replace(" ", "") == fields[1]:
                morphemes = fields[2].split()
                ends = [len("".join(morphemes[: i + 1])) for i in range(len(morphemes) - 1)]
                yield fields[1], set(ends)


def f1(found: list[set[int]], wanted: list[set[int]]) -> float:
    right = sum(len(a & b) for a, b in zip(found, wanted, strict=True))
    return 2 * right / (sum(map(len, found)) + sum(map(len, wanted)))


def token_starts(vocabulary: Vocabulary, word: str) -> set[int]:
    lengths = [len(piece.lstrip("▁")) for piece in vocabulary.pieces(word)]
    return {sum(lengths[:i]) for i in range(len(lengths))} - {0}


def test_boundaries_bring_pieces_nearer_to_gold_morphemes(real: Path, tmp_path: Path) -> None:
    korean = [CORPORA / "ko" / "dialogue_chatbot.jsonl.gz"]
    words, wanted = zip(*gold(), strict=True)
    scores = {}
    for boundaries in ("all", "none"):
        out = train(korean, tmp_path / boundaries, size=8000, boundaries=boundaries)
        opened = Vocabulary.load(out)
        scores[boundaries] = f1([token_starts(opened, word) for word in words], list(wanted))
    assert scores["all"] > scores["none"] + 0.02


@pytest.mark.parametrize(("name", "least"), [("rules", 0.55), ("kiwi", 0.93)])
def test_analysers_agree_with_gold_morphemes(name: str, least: float) -> None:
    if name == "kiwi":
        pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed")
    words, wanted = zip(*gold(), strict=True)
    found = find_analyser(name, "all").cut(words)
    assert f1([set(cuts) for cuts in found], list(wanted)) > least
