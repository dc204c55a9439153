"""The windows of all languages, and the sequences that each epoch deals into them.

The tables of all languages lie end to end, so that a batch in many languages is looked up at once.
L languages, N sequences, W windows asked for.
"""

from collections.abc import Sequence

import numpy as np

from kobert_kit.batches.packing import pack
from kobert_kit.batches.permutation import permuted
from kobert_kit.batches.sequences import Sequences
from kobert_kit.corpus.shards import Int64s


class Windows:
    """Windows of ``length`` tokens for the sequences of each of L languages."""

    def __init__(self, languages: Sequence[Sequences], length: int) -> None:
        self._languages = languages
        packings = [pack(sequences.counts, length) for sequences in languages]
        self.counts = np.array([packing.windows for packing in packings], dtype=np.int64)
        """[L] windows of each language."""
        self._first = np.cumsum(self.counts) - self.counts
        self._ends = np.concatenate(
            [packing.ends + first for packing, first in zip(packings, self._first, strict=True)]
        )
        sizes = np.concatenate([np.diff(packing.slots) for packing in packings])
        self._slots = np.concatenate([[0], np.cumsum(sizes)])
        self.lengths = np.concatenate([packing.lengths for packing in packings])
        """[slots] tokens of the sequence in each slot of a pattern, of all languages."""
        self._ranks = np.concatenate([packing.ranks for packing in packings])
        self._of_length = np.zeros((len(languages), length + 1), dtype=np.int64)
        for row, sequences in zip(self._of_length, languages, strict=True):
            row[: len(sequences.counts)] = sequences.counts
        self._before_length = np.cumsum(self._of_length, axis=1) - self._of_length

    def sums(self, of_slots: Int64s) -> tuple[float, float, int]:
        """Mean, variance and largest of what windows have together in ``of_slots`` [slots]."""
        sums = np.add.reduceat(of_slots, self._slots[:-1])
        windows = np.diff(self._ends, prepend=0)
        mean = float(np.average(sums, weights=windows))
        return mean, float(np.average((sums - mean) ** 2, weights=windows)), int(sums.max())

    def sequences(
        self, language: Int64s, window: Int64s, seed: int, epoch: Int64s
    ) -> tuple[Int64s, Int64s]:
        """The sequences of windows [W]: for each its place in ``window`` [N] and its number [N].

        A pattern says how long a slot's sequence is; which one of that length it is, is drawn.
        """
        at = self._first[language] + window
        pattern = np.searchsorted(self._ends, at, side="right")
        after_first = at - np.where(pattern == 0, 0, self._ends[pattern - 1])
        slots = self._slots[pattern + 1] - self._slots[pattern]
        owner = np.repeat(np.arange(len(window)), slots)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(slots) - slots, slots)
        slot = self._slots[pattern][owner] + within
        length, whose = self.lengths[slot], language[owner]
        rank = permuted(
            self._ranks[slot] + after_first[owner],
            *(self._of_length[whose, length], seed, whose, epoch[owner], length),
        )
        place = self._before_length[whose, length] + rank
        number = np.empty_like(place)
        for one in np.unique(whose):
            mine = whose == one
            number[mine] = self._languages[one].by_length[place[mine]]
        return owner, number
