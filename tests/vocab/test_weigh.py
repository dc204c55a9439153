from collections import Counter

import pytest

from kobert_vocab.count import count_characters
from kobert_vocab.weigh import TOTAL_WEIGHT, language_shares, weigh


def test_shares_are_smoothed_exponentially() -> None:
    shares = language_shares({"en": 8000, "fr": 1000}, alpha=0.5, korean_floor=0.15)
    assert shares["en"] / shares["fr"] == pytest.approx(8**0.5)
    assert sum(shares.values()) == pytest.approx(1)


def test_alpha_0_makes_languages_alike() -> None:
    shares = language_shares({"en": 10**9, "fr": 1}, alpha=0, korean_floor=0)
    assert shares == pytest.approx({"en": 0.5, "fr": 0.5})


def test_korean_gets_its_floor_and_others_keep_their_proportion() -> None:
    sizes = {"ko": 10, "en": 8000, "fr": 1000}
    free = language_shares(sizes, alpha=1, korean_floor=0)
    held = language_shares(sizes, alpha=1, korean_floor=0.4)
    assert held["ko"] == pytest.approx(0.4)
    assert sum(held.values()) == pytest.approx(1)
    assert held["en"] / held["fr"] == pytest.approx(free["en"] / free["fr"])


def test_floor_does_not_lower_korean() -> None:
    assert language_shares({"ko": 9, "en": 1}, alpha=1, korean_floor=0.2)["ko"] == 0.9


def test_korean_alone_is_everything() -> None:
    assert language_shares({"ko": 9}, alpha=0.3, korean_floor=0.2) == {"ko": 1}


def test_weights_give_each_language_its_share_of_characters() -> None:
    counts = {"ko": Counter({" 가나": 3, " 공": 1}), "en": Counter({" abc": 50, " 공": 1})}
    weights = weigh(counts, {"ko": 0.25, "en": 0.75})
    korean = weights[" 가나"] * 3
    assert korean == pytest.approx(0.25 * TOTAL_WEIGHT * 9 / 11, rel=1e-6)
    total = sum(len(word) * weight for word, weight in weights.items())
    assert total == pytest.approx(TOTAL_WEIGHT, rel=1e-6)


def test_words_below_one_are_dropped() -> None:
    counts = {"en": Counter({" a": 10 * TOTAL_WEIGHT, " b": 1})}
    assert count_characters(counts["en"]) > TOTAL_WEIGHT
    assert set(weigh(counts, {"en": 1.0})) == {" a"}
