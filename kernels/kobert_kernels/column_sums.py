"""The second stage of every gradient that is a sum over rows.

In the first stage each program of a backward kernel adds up the rows it meets and writes one row of
partial sums. Here these are added in a fixed order. No locks and no atomics: equal inputs give
equal bits.

Legend: K sums, P programs of the first stage, N width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import Pointer, Scalar, accumulator, jit, offset, tl
from .launches import launch


@jit("programs")
def _column_sums_kernel(
    partials_ptr: Pointer,
    sums_ptr: Pointer,
    programs: Scalar,
    N: Scalar,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(partials_ptr.dtype.element_ty)
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    which = tl.program_id(1)
    total = tl.zeros((BLOCK_P, BLOCK_N), ACC)
    for first in range(0, programs, BLOCK_P):
        program = first + tl.arange(0, BLOCK_P)
        inside = (program < programs)[:, None] & (column < N)[None, :]
        row = offset(which * programs + program, N)
        total += tl.load(partials_ptr + row[:, None] + column[None, :], mask=inside, other=0.0)
    tl.store(sums_ptr + offset(which, N) + column, tl.sum(total, 0), mask=column < N)


def column_sums(partials: Tensor) -> Tensor:
    """[K, P, N] fp32 to [K, N]."""
    count, programs, width = partials.shape
    sums = torch.empty((count, width), dtype=partials.dtype, device=partials.device)
    tile = launch("column_sums", size=32, dtype=partials.dtype, device=partials.device)
    grid = (-(-width // tile.blocks["BLOCK_N"]), count)
    _column_sums_kernel[grid](partials, sums, programs, width, **tile.options)
    return sums


def first_stage_programs(device: torch.device, tiles: int, per_processor: int) -> int:
    """How many programs share `tiles` tiles of rows: a few for each multiprocessor."""
    if device.type != "cuda":
        return min(tiles, per_processor)  # the interpreter runs them one after another
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return min(tiles, per_processor * processors)
