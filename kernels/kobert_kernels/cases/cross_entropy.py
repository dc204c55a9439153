"""Cross-entropy: few and many words, rows that do not count, each option alone and with others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dispatch import Call
from .case import Case, Op, Tensors, itemsize

IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class CrossEntropyCase(Case):
    """Cross-entropy of `rows` rows over `width` words."""

    rows: int = 1
    width: int = 2
    ignore: Literal["none", "some", "all"] = "none"
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    loss_scale: float = 1.0
    """The gradient that arrives at the loss: 1 as in training, or a gradient scaler's factor."""
    mean: float = 0.0
    """Added to the logits: it changes nothing but the rounding."""

    op: ClassVar[str] = "cross_entropy"
    consumed: ClassVar[tuple[str, ...]] = ("logits",)
    sums_over_rows: ClassVar[tuple[str, ...]] = ("loss",)

    @property
    def results(self) -> tuple[str, ...]:
        """The loss, and how many labels are on top."""
        return ("loss", "correct")

    @property
    def shape(self) -> str:
        """Rows by words, and the options."""
        return "-".join([f"{self.rows}x{self.width}", *_options(self)])

    @property
    def summed_rows(self) -> int:
        """Those that are not ignored."""
        return len([row for row in range(self.rows) if not _is_ignored(row, self.ignore)])

    def facts(self, device: torch.device) -> Call:
        """The number of words."""
        return Call(op=self.op, device=device, dtype=self.dtype, size=self.width)

    def draw(self, generator: torch.Generator) -> Tensors:
        """Normal logits; every other label is the word on top."""
        logits = 3 * torch.randn(self.rows, self.width, generator=generator) + self.mean
        labels = _labels(self.rows, self.width, self.ignore, generator)
        is_top = (torch.arange(self.rows) % 2 == 1) & (labels != IGNORED)
        return {"logits": logits, "labels": torch.where(is_top, logits.argmax(1), labels)}

    def arguments(self, leaves: Tensors) -> Tensors:
        """Logits to be consumed, and labels, at unaligned addresses if sliced."""
        if self.layout != "sliced":
            return super().arguments(leaves)
        logits = F.pad(leaves["logits"], (1, 2), value=float("nan"))[:, 1:-2]
        return {"logits": logits, "labels": F.pad(leaves["labels"], (1, 1))[1:-1]}

    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """Loss and number of hits."""
        options = {"label_smoothing": self.label_smoothing, "z_loss": self.z_loss}
        return tuple(op(inputs["logits"], inputs["labels"], **options))

    def incoming(self, results: list[Tensor]) -> list[Tensor]:
        """The loss scale."""
        return [torch.full_like(loss, self.loss_scale) for loss in results]

    def fewest_bytes(self) -> tuple[int, int]:
        """Forward: logits, gradient, labels. Backward: nothing, unless there is a scale.

        fp16 always has one, as 1 / rows waits for backward.
        """
        row = self.width * itemsize(self)[0]
        is_scaled = self.loss_scale != 1.0 or self.dtype == torch.float16
        forward = (self.summed_rows + self.rows) * row + 8 * self.rows
        return forward, 4 + 2 * self.rows * row * is_scaled


@dataclass(frozen=True, kw_only=True)
class LinearCrossEntropyCase(Case):
    """Logits of `rows` rows over `width` words from `hidden` features, and their cross-entropy."""

    rows: int = 1
    width: int = 2
    hidden: int = 8
    bias: bool = True
    ignore: Literal["none", "some", "all"] = "none"
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    loss_scale: float = 1.0
    """The gradient that arrives at the loss: 1 as in training, or a gradient scaler's factor."""
    chunk: int | None = None
    """Rows that the budget holds, if not all."""

    op: ClassVar[str] = "linear_cross_entropy"
    parameters: ClassVar[tuple[str, ...]] = ("weight", "bias")
    sums_over_rows: ClassVar[tuple[str, ...]] = ("loss", "dweight", "dbias")

    @property
    def results(self) -> tuple[str, ...]:
        """The loss, and how many labels are on top."""
        return ("loss", "correct")

    @property
    def shape(self) -> str:
        """Rows by words by features, and the options."""
        parts = [f"{self.rows}x{self.width}x{self.hidden}", *_options(self)]
        parts += ["no_bias"] * (not self.bias) + [f"chunk{self.chunk}"] * (self.chunk is not None)
        return "-".join(parts)

    @property
    def summed_rows(self) -> int:
        """Those that are not ignored."""
        return len([row for row in range(self.rows) if not _is_ignored(row, self.ignore)])

    def facts(self, device: torch.device) -> Call:
        """The number of words."""
        return Call(op=self.op, device=device, dtype=self.dtype, size=self.width)

    def draw(self, generator: torch.Generator) -> Tensors:
        """Features and weights that give logits of standard deviation 3."""
        drawn = {"x": torch.randn(self.rows, self.hidden, generator=generator)}
        weight = torch.randn(self.width, self.hidden, generator=generator)
        drawn["weight"] = 3 * weight / self.hidden**0.5
        if self.bias:
            drawn["bias"] = torch.randn(self.width, generator=generator)
        drawn["labels"] = _labels(self.rows, self.width, self.ignore, generator)
        return drawn

    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """Loss and number of hits."""
        x, weight, bias = inputs["x"], inputs["weight"], inputs.get("bias")
        budget = 2**40
        if self.chunk is not None:
            budget = self.chunk * self.width * x.dtype.itemsize
        options = {"label_smoothing": self.label_smoothing, "z_loss": self.z_loss}
        return tuple(op(x, weight, bias, inputs["labels"], **options, budget_bytes=budget))

    def incoming(self, results: list[Tensor]) -> list[Tensor]:
        """The loss scale."""
        return [torch.full_like(loss, self.loss_scale) for loss in results]

    def fewest_bytes(self) -> tuple[int, int]:
        """Forward: the inputs, and what is saved: dlogits, or in chunks dx, dweight and dbias.

        Backward: what was saved, the gradients, and with dlogits the inputs again.
        """
        wide, narrow = itemsize(self)
        x = self.rows * self.hidden * wide
        parameters = (self.width * self.hidden + self.bias * self.width) * narrow
        if self.chunk is not None:
            return 2 * (x + parameters) + 8 * self.rows, x + parameters
        dlogits = self.rows * self.width * wide
        return x + parameters + dlogits + 8 * self.rows, dlogits + 2 * (x + parameters)

    def flops(self) -> tuple[int, int]:
        """One product forward, two backward; in chunks all three forward."""
        product = 2 * self.rows * self.width * self.hidden
        return (3 * product, 0) if self.chunk is not None else (product, 2 * product)


def _options(case: CrossEntropyCase | LinearCrossEntropyCase) -> list[str]:
    parts = [f"{case.ignore}_ignored"] * (case.ignore != "none")
    parts += [f"smoothing{case.label_smoothing:g}"] * (case.label_smoothing > 0)
    parts += [f"z{case.z_loss:g}"] * (case.z_loss > 0)
    parts += [f"scale{case.loss_scale:g}"] * (case.loss_scale != 1)
    mean = getattr(case, "mean", 0.0)
    return parts + [f"mean{mean:g}"] * (mean != 0)


def _is_ignored(row: int, ignore: str) -> bool:
    """Of some: two of five rows, the first among them."""
    return ignore == "all" or (ignore == "some" and row % 5 in (0, 3))


def _labels(rows: int, width: int, ignore: str, generator: torch.Generator) -> Tensor:
    labels = torch.randint(width, (rows,), generator=generator)
    ignored = torch.tensor([_is_ignored(row, ignore) for row in range(rows)], dtype=torch.bool)
    return labels.masked_fill(ignored, IGNORED)


CASES = (
    CrossEntropyCase(rows=1, width=2),
    CrossEntropyCase(rows=0, width=16),
    CrossEntropyCase(rows=7, width=3, ignore="some"),
    CrossEntropyCase(rows=33, width=2, label_smoothing=0.1, loss_scale=3.0),
    CrossEntropyCase(rows=33, width=100, ignore="some", loss_scale=-0.37),
    CrossEntropyCase(rows=7, width=100, ignore="all", z_loss=0.01),
    CrossEntropyCase(rows=33, width=129, z_loss=0.01),
    CrossEntropyCase(rows=7, width=129, label_smoothing=0.1, z_loss=0.01, layout="sliced"),
    CrossEntropyCase(rows=33, width=129, ignore="some", layout="sliced", loss_scale=65536.0),
    CrossEntropyCase(rows=7, width=1000, ignore="some", label_smoothing=0.1, z_loss=0.01),
    CrossEntropyCase(rows=1, width=1031, layout="sliced"),
    CrossEntropyCase(rows=7, width=1031, ignore="some", label_smoothing=0.3, mean=100.0),
    # More than the largest tile: two sweeps over each row.
    CrossEntropyCase(rows=2, width=20001, label_smoothing=0.1, z_loss=0.01),
    LinearCrossEntropyCase(rows=1, width=100),
    LinearCrossEntropyCase(rows=0, width=3, chunk=0),
    LinearCrossEntropyCase(rows=33, width=100, bias=False, loss_scale=3.0),
    LinearCrossEntropyCase(rows=33, width=129, ignore="some", label_smoothing=0.1, z_loss=0.01),
    LinearCrossEntropyCase(rows=33, width=100, ignore="some", chunk=7, loss_scale=-0.37),
    LinearCrossEntropyCase(rows=7, width=129, ignore="some", bias=False, chunk=0, z_loss=0.01),
    LinearCrossEntropyCase(rows=7, width=129, layout="sliced", weight_dtype=torch.float32),
    LinearCrossEntropyCase(
        rows=7, width=100, chunk=4, weight_dtype=torch.float32, loss_scale=65536.0
    ),
)
LARGE_CASES = (
    CrossEntropyCase(rows=4096, width=32768, ignore="some"),
    CrossEntropyCase(rows=1280, width=128256, ignore="some", loss_scale=3.0),
    CrossEntropyCase(rows=1280, width=32001, label_smoothing=0.1, z_loss=1e-4),
    LinearCrossEntropyCase(
        rows=2560, width=32768, hidden=768, ignore="some", weight_dtype=torch.float32
    ),
    LinearCrossEntropyCase(
        rows=2560, width=32768, hidden=768, chunk=1024, weight_dtype=torch.float32
    ),
)
BENCHMARKS = (
    CrossEntropyCase(rows=4915, width=32768),
    CrossEntropyCase(rows=4915, width=128256),
    LinearCrossEntropyCase(rows=4915, width=32768, hidden=768, weight_dtype=torch.float32),
    LinearCrossEntropyCase(rows=4915, width=128256, hidden=768, weight_dtype=torch.float32),
    LinearCrossEntropyCase(
        rows=4915, width=128256, hidden=768, chunk=2560, weight_dtype=torch.float32
    ),
)
