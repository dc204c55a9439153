import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.batches.packing import pack


def windows_of(packing):
    """Each window as its (length, rank) slots, written out."""
    begin = 0
    for pattern, end in enumerate(packing.ends):
        slots = slice(*packing.slots[pattern : pattern + 2])
        for after_first in range(end - begin):
            ranks = packing.ranks[slots] + after_first
            yield list(zip(packing.lengths[slots].tolist(), ranks.tolist(), strict=True))
        begin = end


# Many of a length, so that patterns that hold it several times go on over several windows.
COUNTS = st.lists(st.integers(0, 30), max_size=40).map(lambda drawn: np.array([0, *drawn]))


@given(COUNTS)
def test_every_sequence_has_one_place_and_no_window_overflows(counts):
    windows = list(windows_of(pack(counts, 40)))
    placed = [slot for window in windows for slot in window]
    assert sorted(placed) == [(n, rank) for n, count in enumerate(counts) for rank in range(count)]
    assert all(0 < sum(length for length, _ in window) <= 40 for window in windows)
    assert len(windows) == pack(counts, 40).windows


@given(st.lists(st.integers(1, 40), min_size=1, max_size=300))
def test_no_more_windows_than_best_fit_decreasing_needs(lengths):
    room: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [i for i, left in enumerate(room) if left >= length]
        if fits:
            room[min(fits, key=lambda i: room[i])] -= length
        else:
            room.append(40 - length)
    assert pack(np.bincount(lengths), 40).windows == len(room)


@pytest.mark.parametrize("window", [128, 512])
def test_windows_of_text_are_nearly_full(window):
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(4, 0.8, 20_000).astype(int), 3, window)
    packing = pack(np.bincount(lengths), window)
    assert lengths.sum() / (packing.windows * window) > 0.995


def test_the_plan_does_not_grow_with_the_text():
    counts = np.zeros(513, dtype=int)
    counts[3:] = np.random.default_rng(0).integers(1, 10**9, 510)
    packing = pack(counts, 512)
    assert packing.windows > 10**9
    assert len(packing.ends) < 5_000
