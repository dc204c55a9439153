"""Numbers about sequences of tokens, as pure functions."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

ALPHA = 2.5  # of Rényi's entropy; the one that Zouhar et al. 2023 found to go best with quality

# Of the tokens: with more of them unknown a vocabulary needs few tokens because it reads little.
UNKNOWN_AT_MOST = 0.01


def cut_places(spans: Iterable[tuple[int, int]], start: int, end: int) -> set[int]:
    """Where a token begins between ``start`` and ``end`` and all before it have ended.

    Tokens that share a character, as its bytes do, make no cut inside it.

    >>> sorted(cut_places([(0, 2), (2, 3), (2, 3), (3, 5)], 0, 5))
    [2, 3]
    """
    places, covered = set(), 0
    for first, last in spans:
        if first >= covered and start < first < end:
            places.add(first)
        covered = max(covered, last)
    return places


def covers(spans: Iterable[tuple[int, int]], start: int, end: int) -> bool:
    """Whether ``spans``, in order, leave no gap from ``start`` to ``end``."""
    covered, before = start, 0
    for first, last in spans:
        if first < before or (covered < first and covered < end):
            return False
        before, covered = first, max(covered, last)
    return covered >= end


def share(part: float, whole: float) -> float:
    """``part / whole``; 0 of nothing is 0."""
    return part / whole if whole else 0.0


def f1(right: int, found: int, wanted: int) -> float:
    """The harmonic mean of ``right / found`` and ``right / wanted``; 1 where there is nothing."""
    return 2 * right / (found + wanted) if found + wanted else 1.0


def gini(values: Sequence[float]) -> float:
    """How unequal ``values`` (0 or more) are: 0 all the same, towards 1 one has everything.

    Half the mean difference of two values over their mean.

    >>> gini([1, 1, 1]), gini([0, 0, 0, 1])
    (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not ordered.sum():
        return 0.0
    n = len(ordered)
    ranks = np.arange(1, n + 1)
    return float(((2 * ranks - n - 1) * ordered).sum() / (n * ordered.sum()))


def renyi_efficiency(counts: npt.NDArray[np.int64], size: int, alpha: float = ALPHA) -> float:
    """Rényi's entropy of the tokens over the most that ``size`` pieces could have.

    From Zouhar et al. 2023, "Tokenization and the Noiseless Channel", where it goes with the
    quality of translation; Cognetta et al. 2024 build tokenizers that are better by it and worse in
    use. So it is reported, and nothing is decided by it.
    """
    used = counts[counts > 0] / max(1, counts.sum())
    if size < 2 or not len(used):
        return 0.0
    entropy = np.log(np.power(used, alpha).sum()) / (1 - alpha)
    return float(entropy / np.log(size))
