"""Tuning of the launch table on the GPU that is here.

For each kernel of a timed case the table's row is the start. Block sizes are tried first, then
warps, then stages, each time from the best so far: some fifteen candidates for each row, where all
combinations would be two hundred. A candidate is timed only if its results meet the rule of parity,
and wins only if it is at least 2 % faster, as repeated runs differ by one or two. The winners are
written as rows of this architecture; those of `any` stay.
"""

from __future__ import annotations

import statistics
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace

import torch

from . import launches, parity
from .bench import Stopwatch, device_name, one_round
from .cases import Case, Op, Tensors
from .launches import Launch

ROUNDS = 9
LEAST_GAIN = 1.02
# A whole row, a whole head or a whole sequence lies in one tile: these sizes are not free.
FIXED = {
    "layer_norm.forward": {"BLOCK_N"},
    "layer_norm.backward": {"BLOCK_N"},
    "embedding.forward": {"BLOCK_N"},
    "embedding.backward": {"BLOCK_N"},
}
ALWAYS_FIXED = {"BLOCK_D", "BLOCK_L"}


Key = tuple[str, int, int]


def key(row: Launch) -> Key:
    """What a row is for: kernel, size, bits."""
    return row.kernel, row.size, row.bits


def tune(
    case: Case, device: torch.device, done: Container[Key] = ()
) -> Iterator[tuple[Launch, float]]:
    """For each kernel that a case launches: the best row found and how many times as fast it is.

    Rows whose key is `done` are passed over.
    """
    op, inputs = parity.implementation(case.op, "triton"), case.inputs(device)
    known = parity.answers(case, inputs)
    with launches.noted() as used:
        case.run(op, inputs)
    for row in (row for row in used if key(row) not in done):
        trial = _Trial(case, op, inputs, known, "forward" in row.kernel)
        best, gain = _best(row, trial)
        yield replace(best, arch=launches.architecture(device), source=device_name(device)), gain


class _Trial:
    """Times candidates on one case."""

    def __init__(
        self, case: Case, op: Op, inputs: Tensors, known: parity.Answers, forward: bool
    ) -> None:
        self._case, self._op, self._inputs, self._known = case, op, inputs, known
        self._lap = 0 if forward else 1
        self._stopwatch = Stopwatch(next(iter(inputs.values())).device)

    def milliseconds(self, row: Launch) -> float | None:
        """Median time of its direction, or None if it does not fit the GPU or is wrong."""
        from triton.runtime.errors import OutOfResources

        with launches.replaced(row):
            try:
                ours = self._case.run(self._op, self._inputs)
            except OutOfResources:
                return None
            if not all(c.passed for c in self._known.compare(ours)):
                return None
            laps = [
                one_round(self._case, self._op, self._inputs, self._stopwatch)
                for _ in range(ROUNDS)
            ]
        return statistics.median(lap[self._lap] for lap in laps)


def _best(start: Launch, trial: _Trial) -> tuple[Launch, float]:
    first = trial.milliseconds(start)
    if first is None:
        raise ValueError(f"{start.kernel}: the row of the table itself does not pass")
    best, time = start, first
    for candidates in (_other_blocks, _other_warps, _other_stages):
        for row in list(candidates(best)):
            ms = trial.milliseconds(row)
            if ms is not None and ms * LEAST_GAIN < time:
                best, time = row, ms
    return best, first / time


def _other_blocks(row: Launch) -> Iterator[Launch]:
    fixed = ALWAYS_FIXED | FIXED.get(row.kernel, set())
    for name in row.blocks.keys() - fixed:
        for side in (row.blocks[name] // 4, row.blocks[name] // 2, row.blocks[name] * 2):
            if side >= _least(row.kernel, name):
                yield replace(row, blocks={**row.blocks, name: side})


def _least(kernel: str, block: str) -> int:
    """The smallest side: tensor cores take 16, and the dropout mask of scores groups of 32 keys."""
    if block == "BLOCK_R":
        return 1
    return 32 if kernel.startswith("attention.") and block == "BLOCK_N" else 16


def _other_warps(row: Launch) -> Iterator[Launch]:
    return (replace(row, num_warps=n) for n in (1, 2, 4, 8, 16, 32) if n != row.num_warps)


def _other_stages(row: Launch) -> Iterator[Launch]:
    return (replace(row, num_stages=n) for n in (1, 2, 3, 4) if n != row.num_stages)


def write(tuned: Iterable[Launch]) -> None:
    """Add the rows to the table, in place of older ones of the same kernel, size, bits and arch."""
    table = {(key(row), row.arch): row for row in (*launches.rows(), *tuned)}
    launches.write(list(table.values()))
