"""The one list of cases: `kobert kernels check`, `inspect`, `bench` and the tests all read it."""

from __future__ import annotations

from dataclasses import replace

import torch

from . import attention, cross_entropy, embedding, gelu, layer_norm
from .case import Case, Op, Tensors

__all__ = ["Case", "Op", "Tensors", "benchmarks", "cases"]

_FILES = (attention, layer_norm, gelu, embedding, cross_entropy)


def cases(dtype: torch.dtype, *, large: bool) -> list[Case]:
    """Every case in one dtype: those for the interpreter, and if `large` those for a GPU too."""
    chosen: list[Case] = []
    for file in _FILES:
        chosen += file.CASES + (file.LARGE_CASES if large else ())
    return [replace(case, dtype=dtype) for case in chosen]


def benchmarks(dtype: torch.dtype) -> list[Case]:
    """The shapes that are timed."""
    return [replace(case, dtype=dtype) for file in _FILES for case in file.BENCHMARKS]
