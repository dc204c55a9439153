import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.batches.counter_random import (
    DROPOUT,
    MASK,
    ORDER,
    PAIR,
    SHORT,
    TRUNCATION,
    below,
    bits,
    uniform,
)

names = st.lists(st.integers(0, 2**62), min_size=1, max_size=5)


@given(names)
def test_the_same_names_give_the_same_bits(key):
    assert bits(*key) == bits(*key)


@given(names, st.integers(0, 4), st.integers(1, 2**40))
def test_another_name_gives_other_bits(key, place, change):
    other = list(key)
    other[place % len(key)] += change
    assert bits(*key) != bits(*other)


def test_no_two_decisions_share_a_stream():
    assert len({ORDER, SHORT, PAIR, TRUNCATION, MASK, DROPOUT}) == 6


def test_draws_do_not_depend_on_what_is_drawn_with_them():
    together = uniform(7, np.arange(100))
    alone = [uniform(7, i)[0] for i in range(100)]
    np.testing.assert_array_equal(together, alone)


def test_one_name_is_splitmix64():
    # The first outputs of the published generator seeded with 0 and with 1234567.
    assert bits(0) == 0xE220A8397B1DCDAF
    assert bits(1234567) == 6457827717110365317


def test_uniform_fills_its_interval_evenly():
    draws = uniform(0, 1, np.arange(100_000))
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert counts.sum() == 100_000
    # chi-square with 19 degrees of freedom: 43.8 is the 99.9 % point
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 43.8


def test_neighbouring_names_are_uncorrelated():
    a, b = uniform(0, np.arange(50_000)), uniform(1, np.arange(50_000))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(50_000)
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 4 / np.sqrt(50_000)


@given(st.integers(1, 10_000))
def test_below_stays_below(bound):
    draws = below(bound, 3, np.arange(50))
    assert draws.min() >= 0
    assert draws.max() < bound
