"""The windows of all languages, and the sequences that each epoch deals into them.

The tables of all languages lie end to end, so that a batch in many languages is looked up at once.
L languages, N sequences, W windows asked for.
"""

import numpy as np

from kobert_kit.batches.packing import pack
from kobert_kit.batches.permutation import permuted
from kobert_kit.batches.sequences import Sequences
from kobert_kit.corpus.shards import Int64s

# Of few windows the last, half empty, is too large a share: so the windows of a small language are
# packed with the sequences of several epochs together.
LEAST_WINDOWS = 32


class Windows:
    """Windows of ``length`` tokens for ``sequences`` in L languages.

    They come in *rounds*. A round deals every sequence once; in a small language, once for each of
    the epochs it is made of.
    """

    def __init__(self, sequences: Sequences, length: int) -> None:
        self._sequences = sequences
        self._of_length = np.array(
            [
                np.bincount(sequences.lengths[sequences.of(i)], minlength=length + 1)
                for i in range(len(sequences.first) - 1)
            ]
        )
        tokens = self._of_length @ np.arange(length + 1)
        self.epochs = np.maximum(1, -(-LEAST_WINDOWS * length // tokens))
        """[L] epochs of a round."""
        dealt = self._of_length * self.epochs[:, None]
        packings = [pack(counts, length) for counts in dealt]
        self.counts = np.array([packing.windows for packing in packings], dtype=np.int64)
        """[L] windows of a round."""
        self._first = np.cumsum(self.counts) - self.counts
        self._ends = np.concatenate(
            [packing.ends + first for packing, first in zip(packings, self._first, strict=True)]
        )
        sizes = np.concatenate([np.diff(packing.slots) for packing in packings])
        self._slots = np.concatenate([[0], np.cumsum(sizes)])
        self.lengths = np.concatenate([packing.lengths for packing in packings])
        """[slots] tokens of the sequence in each slot of a pattern, of all languages."""
        self._ranks = np.concatenate([packing.ranks for packing in packings])
        self._before_length = np.cumsum(self._of_length, axis=1) - self._of_length

    def sums(self, of_slots: Int64s) -> tuple[float, float, int]:
        """Mean, variance and largest of what windows have together in ``of_slots`` [slots]."""
        sums = np.add.reduceat(of_slots, self._slots[:-1])
        windows = np.diff(self._ends, prepend=0)
        mean = float(np.average(sums, weights=windows))
        return mean, float(np.average((sums - mean) ** 2, weights=windows)), int(sums.max())

    def sequences(
        self, language: Int64s, window: Int64s, seed: int, turn: Int64s
    ) -> tuple[Int64s, Int64s, Int64s]:
        """The sequences of windows [W] of the rounds ``turn`` [W].

        A pattern says how long a slot's sequence is; which one of that length it is, is drawn.

        Returns:
            For each of N sequences its place in ``window``, its number and its epoch.
        """
        at = self._first[language] + window
        pattern = np.searchsorted(self._ends, at, side="right")
        after_first = at - np.where(pattern == 0, 0, self._ends[pattern - 1])
        slots = self._slots[pattern + 1] - self._slots[pattern]
        owner = np.repeat(np.arange(len(window)), slots)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(slots) - slots, slots)
        slot = self._slots[pattern][owner] + within
        length, whose, turn = self.lengths[slot], language[owner], turn[owner]
        alike, epochs = self._of_length[whose, length], self.epochs[whose]
        dealt = permuted(
            self._ranks[slot] + after_first[owner], alike * epochs, seed, whose, turn, length
        )
        epoch, rank = np.divmod(dealt, alike)
        place = self._before_length[whose, length] + rank
        number = self._sequences.by_length[self._sequences.first[whose] + place]
        return owner, number, turn * epochs + epoch
