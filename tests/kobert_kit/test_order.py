import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.corpus.order import permuted


@given(st.integers(1, 300), st.integers(0, 2**60), st.integers(0, 100))
def test_every_place_comes_once(size, seed, epoch):
    assert sorted(permuted(i, size, seed, epoch) for i in range(size)) == list(range(size))


def test_another_key_is_another_order():
    orders = {tuple(permuted(i, 50, seed) for i in range(50)) for seed in range(20)}
    assert len(orders) == 20


def test_the_order_looks_shuffled():
    order = np.array([permuted(i, 2_000, 1) for i in range(2_000)])
    assert abs(np.corrcoef(order, np.arange(2_000))[0, 1]) < 4 / np.sqrt(2_000)
    # Neighbours of a shuffled list are a third of the size apart on average.
    assert 600 < np.abs(np.diff(order)).mean() < 730


def test_a_large_size_takes_no_longer():
    assert 0 <= permuted(10**11, 10**12, 3) < 10**12
