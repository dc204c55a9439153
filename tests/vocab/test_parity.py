import pytest

from kobert_vocab.parity import is_better, moved_shares, premiums

SHARES = {"en": 0.5, "ko": 0.2, "th": 0.3}


def test_premiums_are_tokens_over_those_of_english(vocabulary) -> None:
    lines = {"en": ["dog", "", "fox", "dog"], "ko": ["학교", "학교", "학교에서", ""]}
    count = {text: len(vocabulary.encode(text)) for text in ("dog", "fox", "학교", "학교에서")}
    expected = (count["학교"] + count["학교에서"]) / (count["dog"] + count["fox"])
    assert premiums(vocabulary, lines) == {"en": 1.0, "ko": expected}


def test_weight_moves_to_languages_with_a_premium() -> None:
    moved = moved_shares(SHARES, {"en": 1.0, "ko": 1.0, "th": 4.0}, floor=0, cap=1)
    assert sum(moved.values()) == pytest.approx(1)
    assert moved["th"] / moved["en"] == pytest.approx(2 * 0.3 / 0.5)
    assert moved["ko"] / moved["en"] == pytest.approx(0.2 / 0.5)


def test_languages_without_parallel_text_keep_their_weight() -> None:
    moved = moved_shares(SHARES, {"en": 1.0}, floor=0, cap=1)
    assert moved == pytest.approx(SHARES)


def test_korean_stays_between_floor_and_cap() -> None:
    premium = {"en": 1.0, "ko": 9.0, "th": 1.0}
    assert moved_shares(SHARES, premium, floor=0, cap=0.25)["ko"] == pytest.approx(0.25)
    assert moved_shares(SHARES, {"ko": 0.01}, floor=0.2, cap=1)["ko"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("new", "better"),
    [
        ({"en": 1, "ko": 1.4, "th": 1.6}, True),
        ({"en": 1, "ko": 1.4, "th": 2.0}, False),  # as unfair as before
        ({"en": 1, "ko": 1.46, "th": 1.5}, False),  # Korean pays more than 3 %
    ],
)
def test_a_round_counts_if_fairer_and_not_at_the_cost_of_korean(new, better: bool) -> None:
    assert is_better(new, {"en": 1, "ko": 1.4, "th": 2.0}) is better
