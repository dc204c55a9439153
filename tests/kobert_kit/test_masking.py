import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.corpus.masking import capacity, choose, corrupted

MASK_ID, VOCAB = 4, 1_000


@given(st.integers(5, 200), st.floats(0.01, 0.9), st.integers(0, 2**32))
def test_an_exact_count_is_chosen_and_never_a_special_token(length, rate, seed):
    special = np.zeros(length, dtype=bool)
    special[[0, length // 2, length - 1]] = True
    chosen = choose(special, rate, seed)
    assert len(chosen) == min(max(1, int(rate * length + 0.5)), length - 3)
    assert len(chosen) <= capacity(length, rate)
    assert not special[chosen].any()
    assert (np.diff(chosen) > 0).all()


def test_every_place_is_chosen_equally_often():
    special = np.zeros(40, dtype=bool)
    counts = sum(np.bincount(choose(special, 0.15, seed), minlength=40) for seed in range(4_000))
    # 600 expected, deviation sqrt(4000 * .15 * .85) = 22.6
    assert counts.min() > 600 - 4 * 22.6
    assert counts.max() < 600 + 4 * 22.6


def test_80_10_10():
    tokens = np.full(40_000, 7, dtype=np.int32)
    result = corrupted(tokens, np.arange(40_000), MASK_ID, VOCAB, 0)
    masked, kept = (result == MASK_ID).mean(), (result == 7).mean()
    assert masked == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 40_000) + 1e-4)
    assert kept == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 40_000) + 1e-4)
    others = result[(result != MASK_ID) & (result != 7)]
    assert len(np.unique(others)) > 0.95 * VOCAB  # 4,000 draws from the whole vocabulary


def test_only_chosen_places_change():
    tokens = np.arange(100, dtype=np.int32) + 100
    chosen = np.array([3, 50, 99])
    result = corrupted(tokens, chosen, MASK_ID, VOCAB, 1)
    others = np.delete(np.arange(100), chosen)
    np.testing.assert_array_equal(result[others], tokens[others])
    assert (tokens == np.arange(100) + 100).all()
