import gzip
import itertools
from pathlib import Path

import pytest

from kobert_vocab import InputError
from kobert_vocab.report.gold import read_gold

COLUMNS = "{}\t{}\t{}\t{}\t_\t_\t0\t_\t_\t{}"
LEMMAS = [
    "# text = 내 고향은 서울입니다. OECD에서(한국)는 C++를",
    COLUMNS.format(1, "내", "내", "ADJ", "_"),
    COLUMNS.format(2, "고향은", "고향+은", "NOUN", "_"),
    COLUMNS.format("3-4", "서울입니다.", "_", "_", "_"),
    COLUMNS.format(3, "서울입니다", "서울+이+ㅂ니다", "VERB", "SpaceAfter=No"),
    COLUMNS.format(4, ".", ".", "PUNCT", "_"),
    COLUMNS.format(5, "OECD에서", "OECD+에서", "NOUN", "SpaceAfter=No|Translit=x"),
    COLUMNS.format(6, "(", "(", "PUNCT", "SpaceAfter=No"),
    COLUMNS.format(7, "한국", "한국", "NOUN", "SpaceAfter=No"),
    COLUMNS.format(8, ")", ")", "PUNCT", "SpaceAfter=No"),
    COLUMNS.format(9, "는", "는", "ADP", "_"),
    COLUMNS.format(10, "C++를", "C+++를", "NOUN", "_"),
    COLUMNS.format(11, "가", "가", "NOUN", "SpaceAfter=No"),
    COLUMNS.format(12, "+", "+", "SYM", "SpaceAfter=No"),
    COLUMNS.format(13, "나", "나", "NOUN", "_"),
    "",
]
SEGMENTS = [
    COLUMNS.format(1, "오바마", "_", "PROPN", "_"),
    COLUMNS.format(2, "보좌관은", "보좌관", "NOUN", "MSeg=보좌관-은|Translit=x"),
    COLUMNS.format(3, "수준", "_", "NOUN", "SpaceAfter=No"),
    COLUMNS.format(4, "이지만", "이", "AUX", "_"),
    COLUMNS.format(5, "올렸다", "_", "VERB", "_"),
    COLUMNS.format(6, "내렸습니다", "_", "VERB", "MSeg=내렸-습니다"),
    "",
]
KLUE = [
    "## 칼럼명 : INDEX\tWORD_FORM",
    "## klue-dp-v1_dev_00000\t'K팝스타3’ 유희열이 흘렸다.",
    "1\t'K팝스타3’\t' K 팝스타 3 ’\tSS+SL+NNP+SN+SS\t2\tNP",
    "2\t유희열이\t유희열 이\tNNP+JKS\t6\tNP_SBJ",
    "3\t흘렸다.\t흘리 었 다 .\tVV+EP+EF+SF\t0\tVP",
    "",
]


def parts(path: Path) -> dict[str, int]:
    """The words as ``a|b``, with their counts."""
    found = {}
    for word, count in read_gold(path).words.items():
        ends = [0, *word.cuts, len(word.word)]
        found["|".join(word.word[a:b] for a, b in itertools.pairwise(ends))] = count
    return found


def test_lemmas_of_universal_dependencies(write) -> None:
    path = write("gsd.conllu", "\n".join(LEMMAS))
    # Not 서울입니다., which is no cut of the word; nor C++를, whose + cannot be told from the mark.
    assert parts(path) == {"내": 1, "고향|은": 1, "OECD|에서|(|한국|)|는": 1, "가|+|나": 1}
    gold = read_gold(path)
    assert (gold.name, gold.all_words) == ("gsd.conllu", 6)


def test_segments_of_pud(write) -> None:
    path = write("pud.conllu.gz", gzip.compress("\n".join(SEGMENTS).encode()))
    # 올렸다 and 이지만 stand there whole, but predicates are not segmented there.
    assert parts(path) == {"오바마": 1, "보좌관|은": 1, "내렸|습니다": 1}
    assert read_gold(path).all_words == 5


def test_klue(write) -> None:
    path = write("klue.tsv", "\n".join(KLUE))
    (first, second) = read_gold(path).words
    assert (first.word, first.start, first.end, first.cuts) == ("'K팝스타3’", 1, 6, (2, 5))
    assert (second.word, second.cuts) == ("유희열이", (3,))
    assert read_gold(path).all_words == 3


def test_decomposed_files_are_composed(write) -> None:
    import unicodedata

    path = write("nfd.tsv", unicodedata.normalize("NFD", "\n".join(KLUE)))
    assert "유희열|이" in parts(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gold.txt", "x", "give .conllu"),
        ("gold.conllu", "1\t가\t가", "gold.conllu:1: 3 columns where CoNLL-U has 10"),
        ("gold.tsv", "# x\n1\t가\t가", "gold.tsv:2: not a row of KLUE-DP"),
        ("gold.tsv", "1\tthe\tthe\tSL\t0\tNP", "no Korean word"),
    ],
)
def test_what_cannot_be_used(write, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_gold(write(name, text))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_gold(tmp_path / "none.conllu")


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "words", "least"),
    [
        ("ko_kaist-ud-dev.conllu.gz", 22_000, 0.75),
        ("ko_gsd-ud-dev.conllu.gz", 9_500, 0.8),
        ("ko_gsd-ud-test.conllu.gz", 9_500, 0.8),
        ("ko_pud-ud-test.conllu.gz", 12_000, 0.7),
        ("klue-dp-v1.1_dev.tsv.gz", 22_000, 0.8),
    ],
)
def test_real_files(corpora: Path, name: str, words: int, least: float) -> None:
    gold = read_gold(corpora / "morphemes" / name)
    assert gold.all_words > words
    assert least < gold.words.total() / gold.all_words < 1
