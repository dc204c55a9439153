import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.batches.language_plan import PERIOD, LanguagePlan, shares
from kobert_kit.batches.options import Phase
from kobert_vocab.errors import InputError

TOKENS = {"ko": 40_000_000, "en": 300_000, "fo": 50_000, "yi": 12}
WINDOW = 128


def plan_of(*phases, tokens=TOKENS):
    return LanguagePlan(tokens, phases, WINDOW)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_shares_are_token_counts_to_alpha(alpha):
    found = shares(TOKENS, Phase(alpha=alpha))
    weights = {code: count**alpha for code, count in TOKENS.items()}
    assert found == pytest.approx({c: w / sum(weights.values()) for c, w in weights.items()})


def many(small, **large):
    return {f"x{i:03}": count for i, count in enumerate(small)} | large


CASES = {
    "four": (TOKENS, Phase()),
    "four, as they are": (TOKENS, Phase(alpha=1)),
    "400 alike and a large one": (many([1000] * 400, ko=1000), Phase(alpha=1, floors={"ko": 0.6})),
    "421 of all sizes": (
        many(np.random.default_rng(0).lognormal(8, 3, 421).astype(int) + 10),
        Phase(alpha=0.7),
    ),
}


@pytest.mark.parametrize(("tokens", "phase"), CASES.values(), ids=CASES)
def test_any_thousand_windows_have_the_right_mix(tokens, phase):
    plan = plan_of(phase, tokens=tokens)
    language, _ = plan.find(np.arange(PERIOD + 2_000) + 10**12)
    wanted = np.array(list(plan.shares().values()))
    for code in np.argsort(-wanted)[:20]:
        seen = np.concatenate([[0], np.cumsum(language == code)])
        assert np.abs((seen[1_000:] - seen[:-1_000]) / 1_000 - wanted[code]).max() < 0.01


def test_languages_of_like_size_do_not_come_all_at_once():
    # A hundred of 21 windows in a period, a hundred of 11, and a large one.
    groups = [{f"{name}{i:02}": size for i in range(100)} for name, size in (("a", 20), ("b", 10))]
    plan = plan_of(Phase(alpha=1), tokens={**groups[0], **groups[1], "ko": 62_536})
    language, _ = plan.find(np.arange(PERIOD))
    for name, most in (("a", 2_100), ("b", 1_100)):
        codes = [i for i, code in enumerate(plan.languages) if code[0] == name]
        seen = np.cumsum(np.isin(language, codes))
        assert seen[-1] == pytest.approx(most, abs=100)
        share = seen[-1] / PERIOD
        assert np.abs((seen[1_000:] - seen[:-1_000]) / 1_000 - share).max() < 0.01


def test_windows_of_a_period_are_rounded_by_the_largest_remainder():
    # One for each language, and of the other 65,533 windows 26,213.2, 26,213.2 and 13,106.6.
    plan = plan_of(Phase(alpha=1), tokens={"a": 2, "b": 2, "c": 1})
    assert plan.windows(PERIOD) == {"a": 26_214, "b": 26_214, "c": 13_108}


def test_a_languages_windows_are_numbered_without_gaps_across_phases():
    plan = plan_of(Phase(windows=1_000, languages=("ko",)), Phase(windows=PERIOD + 7), Phase())
    language, within = plan.find(np.arange(2 * PERIOD))
    for which in range(len(TOKENS)):
        mine = within[language == which]
        np.testing.assert_array_equal(mine, np.arange(len(mine)))


def test_windows_are_found_in_any_order():
    plan = plan_of(Phase(windows=1_000), Phase(alpha=1))
    numbers = np.random.default_rng(0).integers(0, 10_000, 500)
    language, within = plan.find(numbers)
    for number, one, place in zip(numbers, language, within, strict=True):
        found = plan.find(np.array([number]))
        assert (found[0][0], found[1][0]) == (one, place)


def test_windows_are_counted():
    plan = plan_of(Phase(windows=1_000, languages=("ko", "en")), Phase())
    for number in (0, 10, 1_000, 1_001, 70_000):
        language, _ = plan.find(np.arange(number))
        counted = np.bincount(language, minlength=len(TOKENS))
        assert list(plan.windows(number).values()) == counted.tolist()


def test_a_phase_has_its_languages_alone():
    plan = plan_of(Phase(windows=500, languages=2), Phase(windows=500, languages=("yi", "fo")))
    names = np.array(plan.languages)
    assert set(names[plan.find(np.arange(500))[0]]) == {"ko", "en"}
    assert set(names[plan.find(np.arange(500, 900))[0]]) == {"yi", "fo"}


@settings(max_examples=10, deadline=None)
@given(
    st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 10**9), min_size=1, max_size=50)
)
def test_every_language_comes_up(tokens):
    plan = plan_of(Phase(alpha=1), tokens=tokens)
    assert set(plan.find(np.arange(PERIOD))[0]) == set(range(len(tokens)))


def test_floors_and_caps():
    found = shares(TOKENS, Phase(alpha=0, floors={"ko": 0.7}))
    assert found == pytest.approx({"ko": 0.7, "en": 0.1, "fo": 0.1, "yi": 0.1})
    found = shares(TOKENS, Phase(alpha=1, caps={"ko": 0.5}))
    assert found["ko"] == pytest.approx(0.5)
    assert found["en"] / found["fo"] == pytest.approx(6)
    found = shares(TOKENS, Phase(alpha=0, floors={"ko": 0.7}, caps={"yi": 0.02}))
    assert found == pytest.approx({"ko": 0.7, "en": 0.14, "fo": 0.14, "yi": 0.02})


@given(
    st.lists(st.integers(1, 10**9), min_size=2, max_size=8),
    st.lists(st.floats(0, 0.12), max_size=8),
    st.lists(st.floats(0.5, 1), max_size=8),
)
def test_limits_hold(counts, floors, caps):
    tokens = {f"x{i}": count for i, count in enumerate(counts)}
    low = {f"x{i}": floor for i, floor in enumerate(floors[: len(counts)])}
    high = {f"x{i}": cap for i, cap in enumerate(caps[: len(counts)])}
    found = shares(tokens, Phase(alpha=1, floors=low, caps=high))
    assert sum(found.values()) == pytest.approx(1)
    assert all(found[code] >= floor - 1e-9 for code, floor in low.items())
    assert all(found[code] <= cap + 1e-9 for code, cap in high.items())


def test_a_floor_below_the_share_changes_nothing():
    assert shares(TOKENS, Phase(alpha=1, floors={"ko": 0.1})) == shares(TOKENS, Phase(alpha=1))


def test_unimax_is_even_up_to_the_most_epochs():
    # 400 tokens for four languages: 100 each, but the small ones have 30 and 80 at most.
    tokens = {"a": 15, "b": 40, "c": 1_000, "d": 10_000}
    found = shares(tokens, Phase(most_epochs=2), budget=400)
    assert found == pytest.approx({"a": 30 / 400, "b": 80 / 400, "c": 145 / 400, "d": 145 / 400})


def test_unimax_with_text_enough_is_even():
    found = shares(TOKENS, Phase(most_epochs=4), budget=40)
    assert found == pytest.approx(dict.fromkeys(TOKENS, 0.25))


def test_unimax_counts_epochs_in_the_tokens_of_windows():
    # 100 windows of 128 tokens: 6,400 each, but "a" has 1,600 at most.
    plan = plan_of(Phase(most_epochs=2, windows=100), tokens={"a": 800, "b": 10**9})
    assert plan.shares() == pytest.approx({"a": 1_600 / 12_800, "b": 11_200 / 12_800})


@pytest.mark.parametrize(
    "phase",
    [
        Phase(floors={"de": 0.5}),
        Phase(languages=("ko", "de")),
        Phase(languages=("ko",), floors={"en": 0.1}),
        Phase(floors={"en": 0.6, "fo": 0.6}),
        Phase(caps=dict.fromkeys(TOKENS, 0.1)),
        Phase(most_epochs=2),
    ],
)
def test_impossible_phases(phase):
    with pytest.raises(InputError, match=r"de|en|floors|caps|windows"):
        plan_of(phase)


def test_only_the_last_phase_goes_on():
    with pytest.raises(InputError, match="last phase"):
        plan_of(Phase(), Phase())


@pytest.mark.parametrize("options", [{"alpha": 2}, {"windows": 0}, {"most_epochs": 0}])
def test_impossible_options(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Phase(**options)
