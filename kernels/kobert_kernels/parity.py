"""Parity: what every op is compared on, and what counts as equal.

The exact answer is the PyTorch reference in fp64, on inputs already rounded to the dtype under
test. A kernel passes if it is not much farther from it than plain PyTorch in that dtype is:

    max error <= k * max error of PyTorch + floor      k = 2 forward, 3 backward
    rms error <= 1.5 * rms error of PyTorch + floor / 4

floor is 2 ulp of the dtype at max |exact|, times sqrt(rows) for a sum over rows, whose rounding
errors add up like a random walk. A quarter of it is 0.5 ulp: rounding to nearest alone leaves an
rms of 0.29 ulp. Both are needed: the maximum finds one wrong row, the rms an error spread over all
of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from .attention import attention_reference, attention_triton
from .layer_norm import layer_norm_reference, layer_norm_triton

Tensors = dict[str, Tensor]
Op = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class LayerNormCase:
    """LayerNorm of `rows` rows."""

    rows: int
    width: int
    residual: bool = False
    dropout: float = 0.0
    mean: float = 0.0
    """Added to x: with a large mean a variance from E[z^2] - E[z]^2 cancels."""
    weight_dtype: torch.dtype | None = None
    """The dtype of weight and bias, if not `dtype`."""
    dtype: torch.dtype = torch.float32

    sums_over_rows: ClassVar[tuple[str, ...]] = ("dweight", "dbias")
    kernel: ClassVar[Op] = staticmethod(layer_norm_triton)
    reference: ClassVar[Op] = staticmethod(layer_norm_reference)

    @property
    def name(self) -> str:
        """For people and test ids."""
        parts = [f"layer_norm-{self.rows}x{self.width}"]
        parts += ["residual"] * self.residual + [f"dropout{self.dropout}"] * (self.dropout > 0)
        parts += [f"mean{self.mean:g}"] * (self.mean != 0)
        parts += ["mixed"] * (self.weight_dtype is not None) + [_short(self.dtype)]
        return "-".join(parts)

    def inputs(self, device: torch.device | str) -> Tensors:
        """Random inputs, the incoming gradient `grad` among them, equal on every device."""
        draw = torch.Generator().manual_seed(0)
        shape = (self.rows, self.width)
        named = {"x": torch.randn(shape, generator=draw) + self.mean}
        if self.residual:
            named["residual"] = torch.randn(shape, generator=draw)
        named["grad"] = torch.randn(shape, generator=draw)
        weight_dtype = self.weight_dtype or self.dtype
        for name in ("weight", "bias"):
            named[name] = torch.randn(self.width, generator=draw).to(weight_dtype)
        return {
            name: t.to(device, t.dtype if name in ("weight", "bias") else self.dtype)
            for name, t in named.items()
        }

    def run(self, op: Op, inputs: Tensors) -> Tensors:
        """The op's result `y` and all gradients."""
        leaves = {n: t.detach().requires_grad_() for n, t in inputs.items() if n != "grad"}
        seed = torch.tensor([1234], device=inputs["x"].device) if self.dropout > 0 else None
        y = op(**leaves, dropout=self.dropout, seed=seed)
        return _with_gradients(y, leaves, inputs["grad"])


@dataclass(frozen=True, kw_only=True)
class AttentionCase:
    """Attention over packed sequences of the given lengths."""

    lengths: tuple[int, ...]
    heads: int
    head_size: int
    dropout: float = 0.0
    scale: float | None = None
    dtype: torch.dtype = torch.float32

    sums_over_rows: ClassVar[tuple[str, ...]] = ()
    kernel: ClassVar[Op] = staticmethod(attention_triton)
    reference: ClassVar[Op] = staticmethod(attention_reference)

    @property
    def name(self) -> str:
        """For people and test ids."""
        lengths = "+".join(map(str, self.lengths[:6])) + "+" * (len(self.lengths) > 6)
        parts = [f"attention-{lengths}-h{self.heads}-d{self.head_size}"]
        parts += [f"dropout{self.dropout}"] * (self.dropout > 0)
        parts += [f"scale{self.scale}"] * (self.scale is not None) + [_short(self.dtype)]
        return "-".join(parts)

    def inputs(self, device: torch.device | str) -> Tensors:
        """Random inputs; q, k and v are views of one packed tensor, as a model has them."""
        draw = torch.Generator().manual_seed(0)
        shape = (sum(self.lengths), 3, self.heads, self.head_size)
        q, k, v = torch.randn(shape, generator=draw).to(device, self.dtype).unbind(1)
        grad = torch.randn(q.shape, generator=draw).to(device, self.dtype)
        return {"q": q, "k": k, "v": v, "grad": grad}

    def run(self, op: Op, inputs: Tensors) -> Tensors:
        """The op's result `y` and all gradients."""
        leaves = {n: t.detach().requires_grad_() for n, t in inputs.items() if n != "grad"}
        device = inputs["q"].device
        bounds = torch.tensor((0, *self.lengths)).cumsum(0).to(device, torch.int32)
        seed = torch.tensor([1234], device=device) if self.dropout > 0 else None
        longest = max(self.lengths, default=0)
        y = op(
            leaves["q"],
            leaves["k"],
            leaves["v"],
            bounds,
            longest,
            scale=self.scale,
            dropout=self.dropout,
            seed=seed,
        )
        return _with_gradients(y, leaves, inputs["grad"])


Case = LayerNormCase | AttentionCase

# Small enough for Triton's interpreter. Widths and lengths of 1, primes, powers of two and one
# beside them; each head size; each option alone and with others.
_CASES: tuple[Case, ...] = (
    LayerNormCase(rows=1, width=1),
    LayerNormCase(rows=7, width=3, residual=True),
    LayerNormCase(rows=16, width=64, dropout=0.1),
    LayerNormCase(rows=37, width=100, residual=True, dropout=0.1),
    LayerNormCase(rows=19, width=129, residual=True, dropout=0.5, weight_dtype=torch.float32),
    LayerNormCase(rows=5, width=768, residual=True),
    # The rounding of one mean moves a whole row, so it takes many rows to compare two roundings.
    LayerNormCase(rows=64, width=769, mean=1000.0),
    LayerNormCase(rows=2, width=1031, residual=True, dropout=0.1),
    # Not (1,): dQ and dK of a lone token are exactly 0, and the floor with them.
    AttentionCase(lengths=(1, 2), heads=1, head_size=16),
    AttentionCase(lengths=(5, 0, 17, 1), heads=2, head_size=16, dropout=0.1),
    AttentionCase(lengths=(31, 33), heads=2, head_size=32),
    AttentionCase(lengths=(64, 3, 13), heads=2, head_size=64, dropout=0.1),
    AttentionCase(lengths=(37,), heads=1, head_size=64, scale=0.3),
    AttentionCase(lengths=(7, 40), heads=1, head_size=96, dropout=0.1),
    AttentionCase(lengths=(29, 2), heads=1, head_size=128),
)
# BERT's own shapes and several tiles per sequence, for a GPU.
_LARGE_CASES: tuple[Case, ...] = (
    LayerNormCase(rows=4096, width=768, residual=True, dropout=0.1),
    LayerNormCase(rows=4097, width=1024, residual=True),
    AttentionCase(lengths=(128,) * 32, heads=12, head_size=64, dropout=0.1),
    AttentionCase(lengths=(512, 100, 511, 0, 257), heads=12, head_size=64, dropout=0.1),
    AttentionCase(lengths=(512, 300), heads=16, head_size=64),
    AttentionCase(lengths=(200, 129), heads=8, head_size=96, dropout=0.1),
    AttentionCase(lengths=(200, 129), heads=8, head_size=128, dropout=0.1),
)


def cases(dtype: torch.dtype, *, large: bool) -> list[Case]:
    """Every case in one dtype: those for the interpreter, and if `large` those for a GPU too."""
    return [replace(case, dtype=dtype) for case in _CASES + (_LARGE_CASES if large else ())]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far one tensor is from the exact answer, and how far it may be."""

    name: str
    error: float
    allowed_error: float
    rms: float
    allowed_rms: float

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.error <= self.allowed_error and self.rms <= self.allowed_rms

    def __str__(self) -> str:
        return (
            f"{self.name}: max {self.error:.2e} (allowed {self.allowed_error:.2e}), "
            f"rms {self.rms:.2e} (allowed {self.allowed_rms:.2e})"
        )


def compare(
    name: str, ours: Tensor, plain: Tensor, exact: Tensor, *, factor: float, summed_rows: int = 1
) -> Comparison:
    """Apply the rule to one tensor.

    Args:
        name: of the tensor.
        ours: from the implementation under test.
        plain: from PyTorch in the same dtype.
        exact: from PyTorch in fp64 on the same inputs.
        factor: 2 for results, 3 for gradients.
        summed_rows: how many rows were added up for one element.

    Raises:
        ValueError: the tensors differ in shape, or `ours` and `plain` in dtype.
    """
    if ours.shape != exact.shape or plain.shape != exact.shape or ours.dtype != plain.dtype:
        raise ValueError(
            f"{name}: {ours.dtype} {list(ours.shape)} against {plain.dtype} {list(plain.shape)} "
            f"and {list(exact.shape)}"
        )
    if exact.numel() == 0:
        return Comparison(name=name, error=0.0, allowed_error=0.0, rms=0.0, allowed_rms=0.0)
    error, plain_error = ours.double() - exact, plain.double() - exact
    floor = 2 * _ulp(ours.dtype, exact.abs().max().item()) * math.sqrt(summed_rows)
    return Comparison(
        name=name,
        error=error.abs().max().item(),
        allowed_error=factor * plain_error.abs().max().item() + floor,
        rms=error.square().mean().sqrt().item(),
        allowed_rms=1.5 * plain_error.square().mean().sqrt().item() + floor / 4,
    )


def check(case: Case, device: torch.device | str, op: Op | None = None) -> list[Comparison]:
    """Run a case and compare its result and gradients; `op` is the Triton kernel if not given."""
    inputs = case.inputs(device)
    ours = case.run(op or case.kernel, inputs)
    return compare_all(case, ours)


def compare_all(case: Case, ours: Tensors) -> list[Comparison]:
    """Compare what `case.run` returned with what PyTorch gives in the same dtype and in fp64."""
    inputs = case.inputs(ours["y"].device)
    plain = case.run(case.reference, inputs)
    exact = case.run(case.reference, {name: t.double() for name, t in inputs.items()})
    return [
        compare(
            name,
            ours[name],
            plain[name],
            exact[name],
            factor=2.0 if name == "y" else 3.0,
            summed_rows=inputs["grad"].shape[0] if name in case.sums_over_rows else 1,
        )
        for name in exact
    ]


def _with_gradients(y: Tensor, leaves: Tensors, grad: Tensor) -> Tensors:
    gradients = torch.autograd.grad(y, list(leaves.values()), grad)
    named = {f"d{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return {"y": y.detach()} | named


def _ulp(dtype: torch.dtype, value: float) -> float:
    """The distance between neighbouring numbers of `dtype` near `value`."""
    info = torch.finfo(dtype)
    return info.eps * 2.0 ** math.floor(math.log2(max(abs(value), info.tiny)))


def _short(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[dtype]
