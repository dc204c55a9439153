"""GELU and GeGLU: widths of 1, primes, around the width of a tile; both forms, bias or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..dispatch import Call
from .case import Case, Op, Tensors, itemsize


@dataclass(frozen=True, kw_only=True)
class BiasGeluCase(Case):
    """GELU of `rows` rows."""

    rows: int = 1
    width: int = 1
    """Of the result."""
    bias: bool = True
    approximate: str = "none"
    scale: float = 2.0
    """Standard deviation of x: with 2, each twentieth number is where GELU is 0 or the identity."""

    op: ClassVar[str] = "bias_gelu"
    halves: ClassVar[int] = 1
    """Widths of the result that make up the width of x."""
    parameters: ClassVar[tuple[str, ...]] = ("bias",)
    sums_over_rows: ClassVar[tuple[str, ...]] = ("dbias",)

    @property
    def shape(self) -> str:
        """Rows by width, and the options."""
        parts = [f"{self.rows}x{self.width}"] + ["no_bias"] * (not self.bias)
        parts += [self.approximate] * (self.approximate != "none")
        return "-".join(parts + [f"scale{self.scale:g}"] * (self.scale != 2.0))

    @property
    def summed_rows(self) -> int:
        """All rows."""
        return self.rows

    def facts(self, device: torch.device) -> Call:
        """The width of x."""
        columns = self.halves * self.width
        return Call(op=self.op, device=device, dtype=self.dtype, size=columns)

    def draw(self, generator: torch.Generator) -> Tensors:
        """Normal numbers."""
        columns = self.halves * self.width
        drawn = {"x": torch.randn((self.rows, columns), generator=generator) * self.scale}
        if self.bias:
            drawn["bias"] = torch.randn(columns, generator=generator)
        return drawn

    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """The activations."""
        return (op(**inputs, approximate=self.approximate),)

    def fewest_bytes(self) -> tuple[int, int]:
        """Forward: x and y. Backward: dy, x and dx. The bias in both, its gradient in backward."""
        wide, narrow = itemsize(self)
        y, x = self.rows * self.width * wide, self.halves * self.rows * self.width * wide
        bias = self.bias * self.halves * self.width * narrow
        return x + y + bias, y + 2 * x + 2 * bias


@dataclass(frozen=True, kw_only=True)
class GegluCase(BiasGeluCase):
    """GeGLU of `rows` rows; x is twice as wide as the result."""

    op: ClassVar[str] = "geglu"
    halves: ClassVar[int] = 2


CASES = (
    BiasGeluCase(rows=1, width=1),
    BiasGeluCase(rows=0, width=16),
    BiasGeluCase(rows=19, width=64),
    BiasGeluCase(rows=19, width=64, approximate="tanh"),
    BiasGeluCase(rows=7, width=3, bias=False, approximate="tanh"),
    BiasGeluCase(rows=33, width=129, scale=6.0),
    BiasGeluCase(rows=70, width=307, layout="sliced"),
    BiasGeluCase(rows=41, width=130, layout="expanded", approximate="tanh"),
    BiasGeluCase(rows=23, width=100, weight_dtype=torch.float32),
    GegluCase(rows=1, width=1),
    GegluCase(rows=0, width=16),
    GegluCase(rows=18, width=32),
    GegluCase(rows=18, width=32, approximate="tanh"),
    GegluCase(rows=7, width=3, bias=False),
    GegluCase(rows=33, width=129, scale=6.0, approximate="tanh"),
    GegluCase(rows=50, width=307, layout="sliced"),
    GegluCase(rows=41, width=131, layout="expanded", bias=False),
    GegluCase(rows=23, width=52, weight_dtype=torch.float32),
)
LARGE_CASES = (
    BiasGeluCase(rows=4096, width=3072),
    BiasGeluCase(rows=4097, width=4096, approximate="tanh"),
    GegluCase(rows=4096, width=1152, bias=False),
    GegluCase(rows=1000, width=3072),
)
BENCHMARKS = (
    BiasGeluCase(rows=32768, width=3072, weight_dtype=torch.float32),
    BiasGeluCase(rows=32768, width=3072, weight_dtype=torch.float32, approximate="tanh"),
    GegluCase(rows=32768, width=1152, bias=False),
    GegluCase(rows=16384, width=3072, weight_dtype=torch.float32),
)
