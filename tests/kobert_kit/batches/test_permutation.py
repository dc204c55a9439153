import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.batches.permutation import permuted


@given(st.integers(1, 300), st.integers(0, 2**60), st.integers(0, 100))
def test_every_place_comes_once(size, seed, epoch):
    assert sorted(permuted(np.arange(size), size, seed, epoch)) == list(range(size))


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=20), st.integers(0, 2**60))
def test_elements_do_not_know_of_each_other(sizes, seed):
    index = [size // 2 for size in sizes]
    keys = np.arange(len(sizes))
    together = permuted(np.array(index), np.array(sizes), seed, keys)
    alone = [permuted(i, n, seed, k)[0] for i, n, k in zip(index, sizes, keys, strict=True)]
    np.testing.assert_array_equal(together, alone)


def test_another_key_is_another_order():
    orders = {tuple(permuted(np.arange(50), 50, seed)) for seed in range(20)}
    assert len(orders) == 20


def test_the_order_looks_shuffled():
    order = permuted(np.arange(2_000), 2_000, 1)
    assert abs(np.corrcoef(order, np.arange(2_000))[0, 1]) < 4 / np.sqrt(2_000)
    # Neighbours of a shuffled list are a third of the size apart on average.
    assert 600 < np.abs(np.diff(order)).mean() < 730


def test_the_first_place_is_anywhere():
    first = np.array([permuted(0, 10, seed)[0] for seed in range(5_000)])
    counts = np.bincount(first, minlength=10)
    # chi-square with 9 degrees of freedom: 27.9 is the 99.9 % point
    assert ((counts - 500) ** 2 / 500).sum() < 27.9


def test_a_large_size_takes_no_longer():
    start = time.perf_counter()
    place = permuted(np.arange(100) + 10**14, 10**15, 3)
    assert time.perf_counter() - start < 0.1
    assert ((place >= 0) & (place < 10**15)).all()
