"""The audited calls: made from the one list of cases, so that no second list can lag behind."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields, replace
from typing import Any

import torch

from .. import launches
from ..cases import Case, benchmarks, cases
from ..cases.attention import AttentionCase
from ..cases.cross_entropy import LinearCrossEntropyCase

# Numbers of rows, which change no instruction.
TALL = {"rows", "vocabulary", "positions"}
ROWS = 16
# Sequences up to 32, 64 and 128 tokens have backward kernels of their own.
LENGTHS = (32, 64, 128, 256)
PROCESSORS = 132  # of an H100
LONGEST_COUNTED = 512  # the interpreter is slow


def calls() -> list[Case]:
    """Calls that reach every row of the launch table.

    At every size of the table the op's first and last timed calls and the one with the most
    options, which needs the most registers; and every combination of options that is tested for
    parity, at the size of the first. fp16 is left out: to the compiler it is bf16 with other
    conversions.
    """
    chosen: dict[Case, None] = {}
    for dtype in (torch.bfloat16, torch.float32):
        timed: dict[str, list[Case]] = {}
        for case in benchmarks(dtype):
            timed.setdefault(case.op, []).append(case)
        for op, calls_of_op in timed.items():
            for case in (calls_of_op[0], max(calls_of_op, key=_options), calls_of_op[-1]):
                for size in _sizes(op):
                    chosen |= dict.fromkeys(_small(case, _width(case, size)))
    for case in cases(torch.bfloat16, large=False):
        if case.layout == "packed":
            chosen |= dict.fromkeys(_small(case, _size(timed[case.op][0])))
    return list(chosen)


def _options(case: Case) -> int:
    return case.shape.count("-")


def traffic_calls(ops: Collection[str] = ()) -> list[Case]:
    """Each combination of options that is timed, with what one multiprocessor gets of it."""
    chosen: dict[Case, Case] = {}
    timed = [case for case in benchmarks(torch.float16) if _sizes(case.op)]
    for case in timed:
        if ops and case.op not in ops:
            continue
        if isinstance(case, AttentionCase):
            if len(set(case.lengths)) == 1 and case.longest <= LONGEST_COUNTED:
                chosen[case] = replace(case, lengths=case.lengths[:1], heads=1)
        else:
            rows = max(_tall(other)["rows"] for other in timed if other.op == case.op)
            shared = {
                name: -(-n // PROCESSORS) for name, n in (_tall(case) | {"rows": rows}).items()
            }
            chosen.setdefault(next(_small(case, 0)), _with(case, **shared))
    return list(chosen.values())


def _sizes(op: str) -> list[int]:
    return sorted({row.size for row in launches.rows() if row.kernel.startswith(op + ".")})


def _size(case: Case) -> int:
    return case.facts(torch.device("cpu")).size


def _width(case: Case, size: int) -> int:
    """One that is rounded up to `size`: like 768, it is not itself a power of two."""
    return size * 3 // 4 if size >= 64 and case.op != "attention" else size


def _small(case: Case, size: int) -> Iterator[Case]:
    if isinstance(case, AttentionCase):
        for length in LENGTHS:
            yield replace(case, lengths=(length,), unused=0, heads=2, head_size=size)
    elif isinstance(case, LinearCrossEntropyCase):
        yield replace(case, rows=ROWS, width=size, hidden=64)  # one that 16 divides
    else:
        yield _with(case, width=size, **dict.fromkeys(_tall(case), ROWS))


def _tall(case: Case) -> dict[str, int]:
    values = {f.name: getattr(case, f.name) for f in fields(case) if f.name in TALL}
    return {name: rows for name, rows in values.items() if rows > 0}  # 0 positions are no table


def _with(case: Case, **changes: Any) -> Case:  # noqa: ANN401
    return replace(case, **changes)
