import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.batches.counter_random import bits
from kobert_kit.batches.masking import (
    NEVER,
    budgets,
    choose,
    corrupted,
    hardly_ever_more,
    toss,
)
from kobert_kit.batches.options import Masking
from kobert_vocab.errors import InputError

MASK_ID, VOCAB = 4, 1_000


def sequences_of(lengths):
    """Which sequence each token is in, and which tokens are special: the first and the last."""
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths)
    special = np.zeros(len(sequence), dtype=bool)
    special[np.concatenate([ends - 1, ends - lengths])] = True
    return sequence, special


LENGTHS = st.lists(st.integers(3, 80), min_size=1, max_size=8).map(np.array)


@settings(deadline=None)
@given(LENGTHS, st.floats(0.01, 0.9), st.integers(0, 2**32))
def test_an_exact_count_is_chosen_and_never_a_special_token(lengths, rate, seed):
    sequence, special = sequences_of(lengths)
    keys = bits(seed, np.arange(len(lengths)))
    chosen = choose(np.ones_like(special), sequence, special, budgets(lengths, rate), keys)
    assert not (chosen & special).any()
    for i, length in enumerate(lengths):
        assert chosen[sequence == i].sum() == min(max(1, round(rate * length)), length - 2)


@settings(deadline=None)
@given(LENGTHS, st.floats(0.05, 0.9), st.integers(0, 2**32), st.data())
def test_units_are_chosen_whole_and_as_many_as_fit(lengths, rate, seed, data):
    sequence, special = sequences_of(lengths)
    drawn = data.draw(st.lists(st.booleans(), min_size=len(special), max_size=len(special)))
    begins = np.array(drawn) | special
    begins[1:] |= special[:-1]
    budget = budgets(lengths, rate)
    chosen = choose(begins, sequence, special, budget, bits(seed, np.arange(len(lengths))))
    unit = np.cumsum(begins) - 1
    size = np.bincount(unit)
    whole = np.bincount(unit, weights=chosen)
    assert ((whole == 0) | (whole == size)).all()
    for i in range(len(lengths)):
        mine = sequence == i
        left = budget[i] - chosen[mine].sum()
        passed_over = size[np.unique(unit[mine & ~chosen & ~special])]
        assert left >= 0
        assert (passed_over > left).all()


def test_the_other_sequences_do_not_matter():
    lengths = np.array([30, 40, 50])
    sequence, special = sequences_of(lengths)
    keys = bits(7, np.arange(3))
    together = choose(np.ones_like(special), sequence, special, budgets(lengths, 0.15), keys)
    alone = choose(
        *(np.ones(40, bool), np.zeros(40, int), special[sequence == 1]),
        *(budgets(lengths[1:2], 0.15), keys[1:2]),
    )
    np.testing.assert_array_equal(together[sequence == 1], alone)


def test_tossing_chooses_each_unit_with_the_rate():
    lengths = np.full(2_000, 42)
    sequence, special = sequences_of(lengths)
    begins = special | (np.arange(len(special)) % 2 == 1)
    chosen = toss(begins, sequence, special, 0.3, bits(1, np.arange(2_000)))
    assert not (chosen & special).any()
    units = chosen.reshape(2_000, 42)[:, 1:-1].reshape(-1, 2)
    assert (units[:, 0] == units[:, 1]).all()
    assert units[:, 0].mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / len(units)))


def corrupt(tokens, chosen, masking=None, seed=0):
    sequence = np.zeros(len(tokens), dtype=np.int64)
    return corrupted(
        *(tokens, chosen, sequence, bits(seed), masking or Masking()),
        mask_id=MASK_ID,
        vocab_size=VOCAB,
    )


@pytest.mark.parametrize(("masked", "random"), [(0.8, 0.1), (1, 0), (0, 1), (0.5, 0.25)])
def test_shares_of_masks_random_pieces_and_what_stays(masked, random):
    tokens = np.full(40_000, 7, dtype=np.int32)
    result = corrupt(tokens, np.arange(40_000), Masking(masked=masked, random=random))
    for share, found in (
        (masked, result == MASK_ID),
        (1 - masked - random, result == 7),
    ):
        # and one in 1,000 random pieces is this one
        allowed = 4 * np.sqrt(share * (1 - share) / 40_000) + 2e-3
        assert found.mean() == pytest.approx(share, abs=allowed)
    others = result[(result != MASK_ID) & (result != 7)]
    if random:
        assert len(np.unique(others)) > 0.95 * VOCAB


def test_only_chosen_places_change():
    tokens = np.arange(100, dtype=np.int32) + 100
    chosen = np.array([3, 50, 99])
    result = corrupt(tokens, chosen)
    others = np.delete(np.arange(100), chosen)
    np.testing.assert_array_equal(result[others], tokens[others])
    assert (tokens == np.arange(100) + 100).all()


def test_the_draws_of_a_token_are_independent():
    """Which tokens are chosen tells nothing of what becomes of them."""
    lengths = np.full(4_000, 42)
    sequence, special = sequences_of(lengths)
    keys = bits(1, np.arange(4_000))
    chosen = choose(np.ones_like(special), sequence, special, np.full(4_000, 6), keys)
    tokens = np.full(len(sequence), 7, dtype=np.int32)
    at = np.flatnonzero(chosen)
    result = corrupted(tokens, at, sequence, keys, Masking(), mask_id=MASK_ID, vocab_size=VOCAB)
    masked = result[at] == MASK_ID
    by_place = [masked[at % 42 == place].mean() for place in range(1, 41)]
    assert min(by_place) > 0.8 - 5 * np.sqrt(0.16 / 600)
    assert max(by_place) < 0.8 + 5 * np.sqrt(0.16 / 600)


def test_the_rate_follows_its_schedule():
    masking = Masking(rate=0.3, last_rate=0.1, steps=100)
    assert [masking.rate_at(step) for step in (0, 50, 100, 1_000)] == pytest.approx(
        [0.3, 0.2, 0.1, 0.1]
    )
    assert masking.highest_rate == 0.3
    assert Masking(rate=0.2).rate_at(10**6) == 0.2
    assert (
        Masking(rate=0.4, last_rate=0.1, steps=3).rate_at(3) == 0.1
    )  # and not 0.09999999999999998


def test_a_higher_rate_keeps_what_a_lower_one_chose():
    lengths = np.full(50, 40)
    sequence, special = sequences_of(lengths)
    keys = bits(3, np.arange(50))
    low, high = (
        choose(np.ones_like(special), sequence, special, budgets(lengths, rate), keys)
        for rate in (0.15, 0.3)
    )
    assert (high | ~low).all()


def more_than(most, number, rate):
    """The probability that of ``number`` coins more than ``most`` fall on heads."""
    return sum(
        math.comb(number, heads) * rate**heads * (1 - rate) ** (number - heads)
        for heads in range(most + 1, number + 1)
    )


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.15, 0.5, 0.9])
@pytest.mark.parametrize("number", [1, 10, 100, 1_000])
def test_the_bound_of_many_coins_is_hardly_ever_passed(number, rate):
    bound = hardly_ever_more(number, rate, rate * (1 - rate), 1)
    assert bound <= number
    assert more_than(bound, number, rate) <= NEVER


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": 1.5},
        {"last_rate": 2.0, "steps": 5},
        {"last_rate": 0.2},
        {"steps": 5},
        {"masked": 0.9, "random": 0.2},
        {"random": -0.1},
        {"longest_unit": 0},
    ],
)
def test_impossible_maskings(options):
    with pytest.raises(InputError, match=r"masking\."):
        Masking(**options)
