"""LayerNorm: widths of 1, primes, powers of two and beside them; options alone and together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..dispatch import Call
from .case import Case, Op, Tensors, itemsize


@dataclass(frozen=True, kw_only=True)
class LayerNormCase(Case):
    """LayerNorm of `rows` rows."""

    rows: int = 1
    width: int = 1
    residual: bool = False
    linear_bias: bool = False
    dropout: float = 0.0
    return_sum: bool = False
    affine_bias: bool = True
    mean: float = 0.0
    """Added to x: with a large mean a variance from E[z^2] - E[z]^2 cancels."""

    op: ClassVar[str] = "layer_norm"
    parameters: ClassVar[tuple[str, ...]] = ("weight", "bias", "linear_bias")
    sums_over_rows: ClassVar[tuple[str, ...]] = ("dweight", "dbias", "dlinear_bias")

    @property
    def results(self) -> tuple[str, ...]:
        """The sum too, if it is asked for."""
        return ("y", "z") if self.return_sum else ("y",)

    @property
    def shape(self) -> str:
        """Rows by width, and the options."""
        parts = [f"{self.rows}x{self.width}"]
        parts += ["linear_bias"] * self.linear_bias + ["residual"] * self.residual
        parts += [f"dropout{self.dropout}"] * (self.dropout > 0) + ["sum"] * self.return_sum
        parts += ["no_bias"] * (not self.affine_bias) + [f"mean{self.mean:g}"] * (self.mean != 0)
        return "-".join(parts)

    @property
    def summed_rows(self) -> int:
        """All rows."""
        return self.rows

    def facts(self, device: torch.device) -> Call:
        """Width and dropout."""
        return Call(
            op=self.op, device=device, dtype=self.dtype, size=self.width, dropout=self.dropout
        )

    def draw(self, generator: torch.Generator) -> Tensors:
        """Normal numbers; the dropout seed where it is needed."""
        shape = (self.rows, self.width)
        drawn = {"x": torch.randn(shape, generator=generator) + self.mean}
        if self.residual:
            drawn["residual"] = torch.randn(shape, generator=generator)
        drawn["weight"] = torch.randn(self.width, generator=generator)
        if self.affine_bias:
            drawn["bias"] = torch.randn(self.width, generator=generator)
        if self.linear_bias:
            drawn["linear_bias"] = torch.randn(self.width, generator=generator)
        if self.dropout > 0:
            drawn["seed"] = torch.tensor([1234])
        return drawn

    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """y, and z where the sum is asked for."""
        result = op(**inputs, dropout=self.dropout, return_sum=self.return_sum)
        return result if self.return_sum else (result,)

    def fewest_bytes(self) -> tuple[int, int]:
        """Forward: x, residual, y, z. Backward: dy, dz, dx, dresidual and z, or x and residual."""
        wide, narrow = itemsize(self)
        matrix, statistics = self.rows * self.width * wide, 2 * 4 * self.rows
        vectors = self.width * narrow * (1 + self.affine_bias + self.linear_bias)
        forward = matrix * (2 + self.residual + self.return_sum)
        read = 3 if self.return_sum else 2 + self.residual  # dy, and z, dz or x, residual
        written = 1 + (self.residual and self.dropout > 0)  # dx and dresidual, if they differ
        return forward + statistics + vectors, matrix * (read + written) + statistics + 2 * vectors


BERT: dict[str, Any] = {"residual": True, "linear_bias": True, "dropout": 0.1}

CASES = (
    LayerNormCase(rows=1, width=1),
    LayerNormCase(rows=0, width=16, linear_bias=True, residual=True),
    LayerNormCase(rows=7, width=3, residual=True),
    LayerNormCase(rows=16, width=64, dropout=0.1),
    LayerNormCase(rows=9, width=65, linear_bias=True, affine_bias=False),
    LayerNormCase(rows=37, width=100, **BERT),
    LayerNormCase(rows=37, width=101, **BERT, layout="sliced"),
    LayerNormCase(rows=23, width=48, **BERT, layout="expanded"),
    LayerNormCase(rows=19, width=129, residual=True, dropout=0.5, weight_dtype=torch.float32),
    LayerNormCase(rows=5, width=768, residual=True),
    LayerNormCase(rows=13, width=96, residual=True, return_sum=True, affine_bias=False),
    LayerNormCase(rows=21, width=80, **BERT, return_sum=True, layout="sliced"),
    # The rounding of one mean moves a whole row, so it takes many rows to compare two roundings.
    LayerNormCase(rows=64, width=769, mean=1000.0),
    LayerNormCase(rows=2, width=1031, **BERT),
)
LARGE_CASES = (
    LayerNormCase(rows=4096, width=768, **BERT),
    LayerNormCase(rows=4097, width=1024, residual=True),
    LayerNormCase(rows=1000, width=1152, residual=True, return_sum=True, affine_bias=False),
    LayerNormCase(rows=333, width=8192, **BERT),
)
BENCHMARKS = (
    LayerNormCase(rows=32768, width=768, **BERT, weight_dtype=torch.float32),
    LayerNormCase(rows=32768, width=1024, **BERT, weight_dtype=torch.float32),
    LayerNormCase(rows=32768, width=768, weight_dtype=torch.float32),
    LayerNormCase(rows=32768, width=768, residual=True, return_sum=True, affine_bias=False),
    LayerNormCase(rows=8192, width=4096, **BERT, weight_dtype=torch.float32),
)
