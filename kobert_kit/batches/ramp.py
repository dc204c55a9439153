"""Batches that grow: how many windows a step has, and which window it begins with.

Small batches learn more from each token while the loss still falls fast (McCandlish et al. 2018,
"An empirical model of large-batch training", section 2). A batch grows by its first size, in equal
stretches of steps.
"""

from bisect import bisect_right
from itertools import accumulate


class Ramp:
    """The windows of each step, as a pure function of the step.

    Args:
        windows: of a full batch.
        first: windows at the beginning, a divisor of ``windows``.
        steps: after so many a batch is full; 0 if all are.
    """

    def __init__(self, windows: int, first: int, steps: int) -> None:
        stages = windows // first
        self._sizes = [first * (stage + 1) for stage in range(stages)]
        self._begins = [-(-stage * steps // max(1, stages - 1)) for stage in range(stages)]
        if not steps:
            self._sizes, self._begins = [windows], [0]
        read = [
            size * (end - begin)
            for size, begin, end in zip(self._sizes, self._begins, self._begins[1:], strict=False)
        ]
        self._before = [0, *accumulate(read)]

    def windows(self, step: int) -> int:
        """Windows of a step, from 0."""
        return self._sizes[self._stage(step)]

    def before(self, step: int) -> int:
        """Windows of all steps before it."""
        stage = self._stage(step)
        return self._before[stage] + (step - self._begins[stage]) * self._sizes[stage]

    def _stage(self, step: int) -> int:
        return bisect_right(self._begins, step) - 1
