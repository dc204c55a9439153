from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import kobert_vocab.segment
from kobert_vocab import InputError
from kobert_vocab.segment import (
    Analyser,
    cut_words,
    cuts_of_word,
    find_analyser,
    read_cuts,
    write_cuts,
)
from kobert_vocab.suffixes import suffix_cuts
from kobert_vocab.word_counts import write_counts


def parts(word: str, cuts: list[int]) -> str:
    starts = [0, *cuts]
    return "|".join(word[a:b] for a, b in zip(starts, [*cuts, None], strict=True))


@pytest.mark.parametrize(
    "expected",
    [
        *(
            "학교|에서|는",
            "서울|은",
            "바다|는",
            "사람|들|이",
            "선생님|께서",
            "나라|를",
            "회사|에서|만",
        ),
        *("배웠|습니다", "먹었|습니다", "읽|지만", "서울|로", "공부|하고"),
        *("가지", "나이", "바다", "고", "은", "OECD|는"),
    ],
)
def test_rules_cut(expected: str) -> None:
    word = expected.replace("|", "")
    assert parts(word, suffix_cuts(word)) == expected


@pytest.mark.parametrize("word", ["", "가", "ㅋㅋㅋ", "abc", "👍", "는는는는는는"])
def test_rules_keep_cuts_inside(word: str) -> None:
    cuts = suffix_cuts(word)
    assert cuts == sorted(set(cuts))
    assert all(0 < cut < len(word) for cut in cuts)


def test_particles_fit_the_syllable_before_them() -> None:
    assert suffix_cuts("서울은") == [2]
    assert suffix_cuts("바다를") == [2]
    assert suffix_cuts("서울를") == []
    assert suffix_cuts("서울로") == [2]
    assert suffix_cuts("사람로") == []


def test_cuts_count_from_the_word_as_it_stands() -> None:
    words = Counter({' "학교에서는,': 3, " 학교에서는": 1, " abc": 5, " ㅋㅋㅋ": 2})
    cuts = cut_words(words, find_analyser("rules", "all"))
    assert cuts == {' "학교에서는,': [4, 6], " 학교에서는": [3, 5]}  # no others have Hangul


def test_no_cut_inside_numbers_latin_or_jamo() -> None:
    everywhere = Analyser(
        name="x", version="1", boundaries="all", cut=lambda ws: ([*range(len(w) + 1)] for w in ws)
    )
    word = "가ㅋㅋ12ab나"
    cuts = cut_words(Counter({word: 2}), everywhere)[word]
    assert parts(word, cuts) == "가|ㅋㅋ12ab|나"


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "ko.tsv"
    write_counts(path, [(' "학교에서"', 1), (" abc", 9), (" 바다", 2), (" 학교에서", 2)])
    return path


def cut_file(counts: Path, *, least: int = 1, known: Sequence[Path] = ()) -> dict[str, list[int]]:
    out = counts.parent / "cuts.tsv"
    write_cuts(
        str(counts),
        str(out),
        analyser="rules",
        boundaries="all",
        least=least,
        known=[str(path) for path in known],
    )
    return read_cuts(out)


def test_cuts_are_written_per_word_without_its_punctuation(counts: Path) -> None:
    cuts = cut_file(counts)
    assert cuts == {"바다": [], "학교에서": [2]}
    assert cuts_of_word(' "학교에서",', cuts) == [4]
    assert cuts_of_word(" 바다", cuts) == []
    assert cuts_of_word(" 나라", cuts) is None
    assert cuts_of_word(" abc", cuts) is None


def test_rare_words_are_not_cut(counts: Path) -> None:
    write_counts(counts, [(" 나라를", 1), (" 바다를", 2)])
    assert cut_file(counts, least=2) == {"바다를": [2]}


def test_words_cut_before_are_not_cut_again(counts: Path, monkeypatch) -> None:
    known = counts.parent / "known.tsv"
    known.write_text("나라\t1\n바다\t1\n", encoding="utf-8")  # not what the rules say
    assert cut_file(counts, known=[known]) == {"바다": [1], "학교에서": [2]}


@pytest.mark.parametrize(
    ("name", "boundaries", "message"),
    [
        ("mecab", "all", "analyser 'mecab': choose one of kiwi, rules"),
        (None, "some", "boundaries 'some': choose one of all, je, none"),
    ],
)
def test_unknown_choice_is_refused(name: str | None, boundaries: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_analyser(name, boundaries)


def test_without_kiwi_rules_are_used_and_kiwi_is_refused(monkeypatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(kobert_vocab.segment, "version", missing)
    assert find_analyser(None, "all").name == "rules"
    with pytest.raises(InputError, match="pip install"):
        find_analyser("kiwi", "all")


class TestKiwi:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed")

    @pytest.mark.parametrize(
        ("boundaries", "expected"),
        [
            (
                "all",
                [
                    "배웠|습니다",
                    "갔|다",
                    "서울|에서|는",
                    "ㅋㅋㅋ",
                    "사람|들|이|었|다",
                    "먹|었|겠|지요",
                ],
            ),
            (
                "je",
                [
                    "배웠|습니다",
                    "갔|다",
                    "서울|에서|는",
                    "ㅋㅋㅋ",
                    "사람들|이|었|다",
                    "먹|었|겠|지요",
                ],
            ),
        ],
    )
    def test_cuts_whole_surfaces(self, boundaries: str, expected: list[str]) -> None:
        # 배웠 is 배우 + 었: the cut would fall inside a syllable.
        words = [text.replace("|", "") for text in expected]
        found = cut_words(Counter(words), find_analyser(None, boundaries))
        assert [parts(word, found.get(word, [])) for word in words] == expected

    def test_a_dropped_copula_makes_no_second_cut(self) -> None:
        # Kiwi reads 정사 + 이 + 라니 with nothing left of 이.
        (cuts,) = find_analyser("kiwi", "all").cut(["정사라니"])
        assert parts("정사라니", cuts) == "정사|라니"
