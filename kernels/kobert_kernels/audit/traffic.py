"""How many bytes the kernels move, counted in Triton's interpreter.

A kernel is charged for every 32-byte sector that it reads or writes, once for a launch: what memory
must deliver if the caches hold whatever is asked for twice. What one program asks for twice, and no
other program at all, is counted apart: no vector of weights, but an input that only a cache saves
from being read again.

The number of rows is what one of the 132 multiprocessors of an H100 gets of 32768 tokens, and the
interpreter launches as many backward programs as one multiprocessor gets: so partial sums weigh
here what they weigh there. Activations are fp16, as the interpreter's bf16 is wrong.

Run as a program with TRITON_INTERPRET=1. The argument is a JSON list of ops, empty for all; the
answer is a JSON line for each direction of each call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from triton.runtime import interpreter

from .. import parity
from ..cases import Case
from .calls import traffic_calls

SECTOR = 32
Addresses = npt.NDArray[np.uint64]


@dataclass
class _Launch:
    """The addresses of the elements that one launch reads, by program and size, and writes."""

    reads: dict[tuple[tuple[int, ...], int], list[Addresses]] = field(default_factory=dict)
    writes: list[Addresses] = field(default_factory=list)

    @property
    def moved(self) -> int:
        return _sectors([a for calls in self.reads.values() for a in calls]) + _sectors(self.writes)

    @property
    def read_again(self) -> int:
        again = 0
        for size in {size for _, size in self.reads}:
            programs = [calls for (_, its_size), calls in self.reads.items() if its_size == size]
            times = [np.unique(np.concatenate(calls), return_counts=True) for calls in programs]
            _, first, readers = np.unique(
                np.concatenate([t[0] for t in times]), return_index=True, return_counts=True
            )
            reads = np.concatenate([t[1] for t in times])[first]
            again += size * int((reads - 1)[readers == 1].sum())
        return again


def _sectors(addresses: list[Addresses]) -> int:
    if not addresses:
        return 0
    return SECTOR * len(np.unique(np.concatenate(addresses) // np.uint64(SECTOR)))


@contextmanager
def _counting() -> Iterator[list[_Launch]]:
    """One entry for every launch inside."""
    builder = interpreter.interpreter_builder
    load, store = builder.create_masked_load, builder.create_masked_store
    run = interpreter.InterpretedFunction.run
    launches: list[_Launch] = []

    def counted_run(self: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        launches.append(_Launch())
        return run(self, *args, **options)

    def counted_load(pointers: Any, mask: Any, *rest: Any) -> Any:  # noqa: ANN401
        size = pointers.get_element_ty().primitive_bitwidth // 8
        reads = launches[-1].reads.setdefault((builder.grid_idx, size), [])
        reads.append(np.unique(pointers.data[mask.data]))
        return load(pointers, mask, *rest)

    def counted_store(pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:  # noqa: ANN401
        launches[-1].writes.append(pointers.data[mask.data])
        return store(pointers, value, mask, *rest)

    with (
        mock.patch.object(interpreter.InterpretedFunction, "run", counted_run),
        mock.patch.object(builder, "create_masked_load", counted_load),
        mock.patch.object(builder, "create_masked_store", counted_store),
    ):
        yield launches


def count(case: Case) -> Iterator[dict[str, Any]]:
    """Forward and backward of one call."""
    triton_op = parity.implementation(case.op, "triton")
    forward_launches = 0

    def forward(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        nonlocal forward_launches
        result = triton_op(*args, **options)
        forward_launches = len(launches)
        return result

    with _counting() as launches:
        case.run(forward, case.inputs("cpu"))
    directions = {"forward": launches[:forward_launches], "backward": launches[forward_launches:]}
    for (direction, parts), fewest in zip(directions.items(), case.fewest_bytes(), strict=True):
        yield {
            "op": case.op,
            "case": case.name,
            "direction": direction,
            "fewest": fewest,
            "moved": sum(part.moved for part in parts),
            "read_again": sum(part.read_again for part in parts),
        }


def main() -> None:
    """Print a line for each direction of each call."""
    for case in traffic_calls(json.loads(sys.argv[1])):
        for line in count(case):
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
