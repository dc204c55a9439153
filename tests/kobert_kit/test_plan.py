from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.corpus.plan import PERIOD, language_plan
from kobert_vocab.errors import InputError

TOKENS = {"ko": 40_000_000, "en": 300_000, "fo": 50_000, "yi": 12}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_shares_are_token_counts_to_alpha(alpha):
    plan = language_plan(TOKENS, alpha)
    weights = {code: count**alpha for code, count in TOKENS.items()}
    for code, share in zip(plan.languages, plan.shares, strict=True):
        assert share == pytest.approx(weights[code] / sum(weights.values()))


@pytest.mark.parametrize("start", [0, 777, PERIOD - 500, 10**12])
def test_any_stretch_of_a_thousand_samples_has_the_right_mix(start):
    plan = language_plan(TOKENS, 0.3)
    seen = Counter(plan.sample(start + i)[0] for i in range(1_000))
    for code, share in zip(plan.languages, plan.shares, strict=True):
        assert abs(seen[code] / 1_000 - share) < 0.01


def test_many_small_languages_do_not_crowd_the_start():
    tokens = {f"x{i}": 1_000 for i in range(400)} | {"ko": 1_000}
    plan = language_plan(tokens, 1.0, {"ko": 0.6})
    seen = Counter(plan.sample(i)[0] for i in range(500))
    assert abs(seen["ko"] / 500 - 0.6) < 0.01


def test_a_languages_samples_are_numbered_without_gaps():
    plan = language_plan(TOKENS, 0.5)
    following = Counter()
    for number in range(PERIOD + 5_000):
        code, within = plan.sample(number)
        assert within == following[code]
        following[code] += 1


@settings(max_examples=10)
@given(
    st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 10**9), min_size=1, max_size=50)
)
def test_every_language_comes_up(tokens):
    plan = language_plan(tokens, 1.0)
    assert {plan.sample(i)[0] for i in range(PERIOD)} == set(tokens)


def test_floors():
    plan = language_plan(TOKENS, 0.0, {"ko": 0.7})
    shares = dict(zip(plan.languages, plan.shares, strict=True))
    assert shares["ko"] == pytest.approx(0.7)
    assert shares["en"] == pytest.approx(0.1)
    assert plan.shares.sum() == pytest.approx(1)


def test_a_floor_below_the_share_changes_nothing():
    np.testing.assert_array_equal(
        language_plan(TOKENS, 1.0, {"ko": 0.1}).shares, language_plan(TOKENS, 1.0).shares
    )


@pytest.mark.parametrize("floors", [{"de": 0.5}, {"en": 0.6, "fo": 0.6}])
def test_impossible_floors(floors):
    with pytest.raises(InputError, match="floor"):
        language_plan(TOKENS, 0.0, floors)
