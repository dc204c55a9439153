"""Sequences packed into windows of a fixed number of tokens, as patterns of lengths.

Only lengths matter for how well windows fill, so the plan is made of lengths: so many windows hold
one sequence of 300 tokens and one of 212, so many eight of 64. A window's place in the plan then
tells its lengths and which of the sequences with such a length it gets, counted in any order: each
epoch deals them anew. The plan has a few thousand patterns however large the corpus is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.shards import Int64s

_Pattern = tuple[tuple[int, int], ...]  # (length, how many of it)


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Windows in the order of their patterns. P patterns; their slots lie end to end."""

    ends: Int64s
    """[P] windows of this pattern and all before it."""
    slots: Int64s
    """[P+1] where each pattern's slots begin."""
    lengths: Int64s
    """[slots] tokens of the sequence in a slot."""
    ranks: Int64s
    """[slots] which of the sequences of that length the pattern's first window has there; the
    window after it has the next one."""

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return int(self.ends[-1]) if len(self.ends) else 0


def pack(counts: npt.NDArray[np.integer], window: int) -> Packing:
    """Plan windows for sequences, ``counts[n]`` of them ``n`` tokens long.

    Best fit decreasing: each sequence, longest first, goes where the least room is left after it;
    at most 11/9 of the fewest windows possible, and for text a few more than that (Johnson 1973).
    All sequences of a length are placed at once.

    Args:
        counts: [at most window + 1], how many sequences there are of each length.
        window: tokens of a window.
    """
    patterns = list(_best_fit(counts, window))
    slots = [[length for length, times in p for _ in range(times)] for p, _ in patterns]
    taken = np.zeros(window + 1, dtype=np.int64)
    ranks: list[int] = []
    for pattern, windows in patterns:
        for length, times in pattern:
            ranks += (int(taken[length]) + windows * turn for turn in range(times))
            taken[length] += windows * times
    return Packing(
        ends=np.cumsum([windows for _, windows in patterns], dtype=np.int64),
        slots=np.array([0, *accumulate(map(len, slots))], dtype=np.int64),
        lengths=np.array([length for row in slots for length in row], dtype=np.int64),
        ranks=np.array(ranks, dtype=np.int64),
    )


def _best_fit(counts: npt.NDArray[np.integer], window: int) -> Iterator[tuple[_Pattern, int]]:
    """Patterns, and how many windows have each."""
    with_room: dict[int, list[tuple[_Pattern, int]]] = {room: [] for room in range(window + 1)}
    for length in range(len(counts) - 1, 0, -1):
        left = int(counts[length])
        while left:
            room = next((r for r in range(length, window) if with_room[r]), window)
            pattern, windows = with_room[room].pop() if room < window else ((), left)
            each = min(room // length, left)
            filled = min(windows, left // each)
            left -= filled * each
            with_room[room - each * length].append(((*pattern, (length, each)), filled))
            if room < window and filled < windows:
                with_room[room].append((pattern, windows - filled))
    for groups in with_room.values():
        yield from groups
