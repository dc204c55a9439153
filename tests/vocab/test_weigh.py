from pathlib import Path

import pytest

import kobert_vocab.weigh
from kobert_vocab.weigh import (
    EXPONENT,
    TOTAL_WEIGHT,
    hold_korean,
    language_shares,
    write_rows,
)
from kobert_vocab.word_counts import read_counts, summarize, write_counts

CHARS = frozenset("abc가나다학교에서는붸\u11b0제항0123456789.")


@pytest.fixture
def weigh(tmp_path: Path):
    def weigh_words(
        words: dict[str, dict[str, int]],
        shares: dict[str, float],
        cuts: dict[str, list[int]] | None = None,
        rate: float = 1.0,
    ) -> dict[str, int]:
        folder, out = tmp_path / "counts", tmp_path / "rows.tsv"
        folder.mkdir(exist_ok=True)
        for code, counts in words.items():
            rows = summarize(sorted(counts.items()), folder / f"{code}.json", personal="\0")
            write_counts(folder / f"{code}.tsv", rows)
        if cuts is not None:
            lines = (f"{word}\t{','.join(map(str, places))}\n" for word, places in cuts.items())
            (tmp_path / "cuts.tsv").write_text("".join(lines), encoding="utf-8")
        write_rows(
            counts=str(folder),
            out=str(out),
            shares=shares,
            chars="".join(CHARS),
            cuts=None if cuts is None else str(tmp_path / "cuts.tsv"),
            rate=rate,
        )
        return dict(read_counts(out))

    return weigh_words


def test_shares_are_smoothed_exponentially() -> None:
    shares = language_shares({"en": 8000, "fr": 1000}, alpha=0.5, korean_floor=0.15, korean_cap=1)
    assert shares["en"] / shares["fr"] == pytest.approx(8**0.5)
    assert sum(shares.values()) == pytest.approx(1)


def test_alpha_0_makes_languages_alike() -> None:
    shares = language_shares({"en": 10**9, "fr": 1}, alpha=0, korean_floor=0, korean_cap=1)
    assert shares == pytest.approx({"en": 0.5, "fr": 0.5})


def test_korean_gets_its_floor_and_others_keep_their_proportion() -> None:
    sizes = {"ko": 10, "en": 8000, "fr": 1000}
    free = language_shares(sizes, alpha=1, korean_floor=0, korean_cap=1)
    held = language_shares(sizes, alpha=1, korean_floor=0.4, korean_cap=1)
    assert held["ko"] == pytest.approx(0.4)
    assert sum(held.values()) == pytest.approx(1)
    assert held["en"] / held["fr"] == pytest.approx(free["en"] / free["fr"])


def test_floor_does_not_lower_korean() -> None:
    assert language_shares({"ko": 9, "en": 1}, alpha=1, korean_floor=0.2, korean_cap=1)["ko"] == 0.9


def test_korean_alone_is_everything() -> None:
    assert language_shares({"ko": 9}, alpha=0.3, korean_floor=0.2, korean_cap=1) == {"ko": 1}


def test_korean_has_a_cap() -> None:
    shares = language_shares({"ko": 9, "en": 1}, alpha=1, korean_floor=0, korean_cap=0.3)
    assert shares == pytest.approx({"ko": 0.3, "en": 0.7})


def test_shares_that_do_not_add_up_are_made_to() -> None:
    assert hold_korean({"ko": 1, "en": 1, "fr": 2}, floor=0, cap=1) == {
        "ko": 0.25,
        "en": 0.25,
        "fr": 0.5,
    }


def test_weights_give_each_language_its_share_of_characters(weigh) -> None:
    words = {"ko": {" 가나": 3, " 다": 1}, "en": {" abc": 50, " b": 1}}
    weights = weigh(words, {"ko": 0.25, "en": 0.75})
    korean = weights[" 가나"] * 3 + weights[" 다"] * 2
    assert korean == pytest.approx(0.25 * TOTAL_WEIGHT, rel=1e-6)
    assert weights[" 가나"] / weights[" 다"] == pytest.approx(3**EXPONENT)
    total = sum(len(word) * weight for word, weight in weights.items())
    assert total == pytest.approx(TOTAL_WEIGHT, rel=1e-6)


def test_a_word_of_two_languages_has_both_weights(weigh) -> None:
    words = {"en": {" abc": 1}, "fr": {" abc": 1, " ab": 1}}
    both = weigh(words, {"en": 0.5, "fr": 0.5})
    assert both[" abc"] == pytest.approx(TOTAL_WEIGHT * (0.5 / 4 + 0.5 / 7))


def test_words_below_one_are_dropped(weigh) -> None:
    assert set(weigh({"en": {" a": 10**13, " b": 1}}, {"en": 1.0})) == {" a"}


def test_words_are_cut_with_most_of_their_weight(weigh) -> None:
    words, cuts = {"ko": {" 학교에서는": 5}}, {"학교에서는": [2, 4]}
    whole = weigh(words, {"ko": 1.0})[" 학교에서는"]
    assert weigh(words, {"ko": 1.0}, cuts) == {" 학교": whole, "에서": whole, "는": whole}
    mixed = weigh(words, {"ko": 1.0}, cuts, rate=0.9)
    assert mixed[" 학교에서는"] == pytest.approx(0.1 * whole, rel=1e-6)
    assert mixed["에서"] == pytest.approx(0.9 * whole, rel=1e-6)


def test_korean_words_too_rare_to_cut_teach_nothing(weigh) -> None:
    words = {"ko": {" 학교에서": 1, " 가나": 2, " abc": 1}}
    assert set(weigh(words, {"ko": 1.0}, {"가나": []})) == {" 가나", " abc"}
    assert set(weigh(words, {"ko": 1.0})) == {" 학교에서", " 가나", " abc"}


def test_words_are_parted_where_a_character_is_not_in_the_alphabet(weigh) -> None:
    assert set(weigh({"ko": {" 가🫠나": 1, " 뷁": 1}}, {"ko": 1.0})) == {" 가", "나", " 붸\u11b0"}


def test_rare_words_of_a_language_with_many_are_left_out(weigh, monkeypatch) -> None:
    monkeypatch.setattr(kobert_vocab.weigh, "LEAST_TYPES", 1)
    monkeypatch.setattr(kobert_vocab.weigh, "MOST_TYPES", 4)
    words = {"en": {" a": 3, " b": 2, " c": 1}, "fr": {" ab": 2, " bc": 1}}
    assert set(weigh(words, {"en": 0.5, "fr": 0.5})) == {" a", " b", " ab", " bc"}


def test_numbers_are_rows_of_their_own(weigh) -> None:
    rows = weigh({"ko": {" 2024.07에서": 1, " 제1항": 1, " 12": 1}}, {"ko": 1.0})
    assert set(rows) == {" 2024", ".", "07", "에서", " 제", "1", "항", " 12"}
