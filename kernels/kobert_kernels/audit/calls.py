"""The audited calls: made from the one list of cases, so that no second list can lag behind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

import torch

from .. import launches
from ..cases import Case, benchmarks, cases

TALL = {"rows", "vocabulary", "positions"}  # numbers of rows, which change no instruction
ROWS = 16
PROCESSORS = 132  # of an H100


def calls() -> list[Case]:
    """Calls that reach every row of the launch table.

    The timed calls, which are those of training, at every size of the table; and every combination
    of options that is tested for parity, at the size of the op's first timed call.
    """
    chosen: dict[Case, None] = {}
    for dtype in (torch.bfloat16, torch.float32):
        for case in benchmarks(dtype):
            chosen |= dict.fromkeys(_small(case, _width(size)) for size in _sizes(case.op))
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        timed = {case.op: case for case in reversed(benchmarks(dtype))}
        for case in cases(dtype, large=False):
            if case.layout == "packed":
                chosen[_small(case, getattr(timed[case.op], _size_field(case)))] = None
    return list(chosen)


def traffic_calls(ops: Collection[str] = ()) -> list[Case]:
    """Each combination of options that is timed, with what one multiprocessor gets of the rows."""
    chosen: dict[Case, Case] = {}
    timed = [case for case in benchmarks(torch.float16) if _sizes(case.op)]
    for case in timed:
        if not ops or case.op in ops:
            rows = max(_rows(other) for other in timed if other.op == case.op)
            chosen.setdefault(_small(case, 0), _share(_with(case, rows=rows)))
    return list(chosen.values())


def _sizes(op: str) -> list[int]:
    return sorted({row.size for row in launches.rows() if row.kernel.startswith(op + ".")})


def _width(size: int) -> int:
    """One that is rounded up to `size`: like 768, it is not itself a power of two."""
    return size * 3 // 4 if size >= 64 else size


def _size_field(case: Case) -> str:
    return "width"


def _rows(case: Case) -> int:
    return case.rows  # type: ignore[attr-defined, no-any-return]


def _small(case: Case, size: int) -> Case:
    return _with(case, **dict.fromkeys(_tall(case), ROWS), **{_size_field(case): size})


def _share(case: Case) -> Case:
    return _with(case, **{name: -(-rows // PROCESSORS) for name, rows in _tall(case).items()})


def _tall(case: Case) -> dict[str, int]:
    values = {f.name: getattr(case, f.name) for f in fields(case) if f.name in TALL}
    return {name: rows for name, rows in values.items() if rows > 0}  # 0 positions are no table


def _with(case: Case, **changes: Any) -> Case:  # noqa: ANN401
    return replace(case, **changes)
