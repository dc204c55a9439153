"""Parity: what counts as equal, and proof that the rule can fail.

The exact answer is the PyTorch reference in fp64, on inputs already rounded to the dtype under
test. A kernel passes if it is not much farther from it than plain PyTorch in that dtype is:

    max error <= k * max error of PyTorch + floor      k = 2 forward, 3 backward
    rms error <= 1.5 * rms error of PyTorch + floor / 4

floor is 2 ulp of the dtype at max |exact|, times sqrt(rows) for a sum over rows, whose rounding
errors add up like a random walk. A quarter of it is 0.5 ulp: rounding to nearest alone leaves an
rms of 0.29 ulp. Both are needed: the maximum finds one wrong row, the rms an error spread over all
of them.

A rule that nothing fails proves nothing. So each comparison is repeated with results that are wrong
on purpose (`DAMAGES`), each of which the rule must reject.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import dispatch
from .cases import Case, Op, Tensors


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far one tensor is from the exact answer, and how far it may be."""

    name: str
    error: float
    plain_error: float
    allowed_error: float
    rms: float
    allowed_rms: float

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.error <= self.allowed_error and self.rms <= self.allowed_rms

    @property
    def of_limit(self) -> float:
        """The error over what is allowed, of maximum and rms the worse: above 1 it fails."""
        return max(_ratio(self.error, self.allowed_error), _ratio(self.rms, self.allowed_rms))

    def __str__(self) -> str:
        return (
            f"{self.name}: max {self.error:.2e} (allowed {self.allowed_error:.2e}), "
            f"rms {self.rms:.2e} (allowed {self.allowed_rms:.2e})"
        )


def _ratio(error: float, allowed: float) -> float:
    if error <= allowed:
        return error / allowed if allowed > 0 else 0.0
    return error / allowed if allowed > 0 else math.inf  # NaN lands here and stays NaN


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
        zero = dict.fromkeys(("error", "plain_error", "allowed_error", "rms", "allowed_rms"), 0.0)
        return Comparison(name=name, **zero)
    error, plain_error = ours.double() - exact, plain.double() - exact
    largest = plain_error.abs().max().item()
    floor = 0.0  # of a count
    if ours.is_floating_point():
        floor = 2 * _ulp(ours.dtype, exact.abs().max().item()) * math.sqrt(summed_rows)
    return Comparison(
        name=name,
        error=error.abs().max().item(),
        plain_error=largest,
        allowed_error=factor * largest + floor,
        rms=error.square().mean().sqrt().item(),
        allowed_rms=1.5 * plain_error.square().mean().sqrt().item() + floor / 4,
    )


def _ulp(dtype: torch.dtype, value: float) -> float:
    """The distance between neighbouring numbers of `dtype` near `value`."""
    info = torch.finfo(dtype)
    return info.eps * 2.0 ** math.floor(math.log2(max(abs(value), info.tiny)))


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a case must give: in fp64, and what plain PyTorch makes of it."""

    case: Case
    plain: Tensors
    exact: Tensors

    def compare(self, ours: Tensors) -> list[Comparison]:
        """One comparison for each result and gradient."""
        return [self.compare_one(name, ours[name]) for name in self.exact]

    def compare_one(self, name: str, ours: Tensor) -> Comparison:
        """Apply the rule to one of them."""
        return compare(
            name,
            ours,
            self.plain[name],
            self.exact[name],
            factor=2.0 if name in self.case.results else 3.0,
            summed_rows=self.case.summed_rows if name in self.case.sums_over_rows else 1,
        )


def answers(case: Case, inputs: Tensors) -> Answers:
    """Run the PyTorch reference in the dtype of the case and in fp64."""
    reference = implementation(case.op, "torch")
    double = {n: t.double() if t.is_floating_point() else t for n, t in inputs.items()}
    return Answers(case=case, plain=case.run(reference, inputs), exact=case.run(reference, double))


def implementation(op: str, name: str) -> Op:
    """An implementation of an op by its name."""
    return next(i.run for i in dispatch.implementations(op) if i.name == name)


# Teeth

Damage = Callable[[Tensor], Tensor]


def _one_wrong_row(right: Tensor) -> Tensor:
    """The last row is the first; of a vector the last element."""
    wrong = right.clone()
    wrong[-1:] = right[:1]
    return wrong


def _swapped(right: Tensor) -> Tensor:
    """Rows in reverse order, as when an index runs the wrong way or two outputs are exchanged."""
    return right.flip(0)


def _few_bits(right: Tensor) -> Tensor:
    """As after a long sum in bf16.

    8 bits are left of fp32. Of 16-bit results 4, as terms that are smaller than an ulp of the
    running sum are lost.
    """
    if right.dtype == torch.float32:
        return right.bfloat16().float()
    exponent = torch.frexp(right.float())[1]
    return torch.ldexp(torch.ldexp(right.float(), 4 - exponent).round(), exponent - 4).to(
        right.dtype
    )


DAMAGES: dict[str, Damage] = {
    "zeros": torch.zeros_like,
    "one wrong row": _one_wrong_row,
    "swapped": _swapped,
    "few bits": _few_bits,
}


def teeth(known: Answers) -> Iterator[tuple[str, str, bool]]:
    """(tensor, damage, rejected) for every damage that makes a tensor worse than PyTorch's.

    The others are none: dQ of a lone token is exactly 0, and so is its copy of zeros.
    """
    for name, right in known.plain.items():
        if right.numel() == 0:
            continue
        for damage, apply in DAMAGES.items():
            wrong = apply(right[None] if right.dim() == 0 else right).view(right.shape)
            judged = known.compare_one(name, wrong)
            if judged.error > judged.plain_error:
                yield name, damage, not judged.passed


# The whole check of one case


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one case on one device."""

    case: Case
    comparisons: list[Comparison]
    teeth: int
    """Wrong results that the rule rejected."""
    toothless: list[str]
    """Wrong results that passed."""
    inputs_changed: list[str]

    @property
    def passed(self) -> bool:
        """All of it."""
        good = all(c.passed for c in self.comparisons)
        return good and not self.toothless and not self.inputs_changed

    @property
    def problems(self) -> list[str]:
        """In one line each."""
        lines = [str(c) for c in self.comparisons if not c.passed]
        lines += [f"the rule accepts {what}" for what in self.toothless]
        return lines + [f"input {name} was changed" for name in self.inputs_changed]


def check(case: Case, device: torch.device | str, op: Op | None = None) -> Verdict:
    """Run a case on poisoned memory and judge it; `op` is the Triton kernel if not given."""
    inputs = case.inputs(device)
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    with poisoned_memory():
        ours = case.run(op or implementation(case.op, "triton"), inputs)
    changed = [name for name, t in inputs.items() if not torch.equal(t, before[name])]
    known = answers(case, inputs)
    bites = list(teeth(known))
    return Verdict(
        case=case,
        comparisons=known.compare(ours),
        teeth=sum(rejected for _, _, rejected in bites),
        toothless=[f"{damage} for {name}" for name, damage, rejected in bites if not rejected],
        inputs_changed=changed,
    )


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """New memory holds NaN, so that an element no kernel wrote cannot pass for a result."""
    plain = {name: getattr(torch, name) for name in ("empty", "empty_like")}

    def poisoned(allocate: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def allocate_nan(*args: Any, **options: Any) -> Tensor:  # noqa: ANN401
            tensor = allocate(*args, **options)
            return tensor.fill_(math.nan) if tensor.is_floating_point() else tensor

        return allocate_nan

    for name, allocate in plain.items():
        setattr(torch, name, poisoned(allocate))
    try:
        yield
    finally:
        for name, allocate in plain.items():
            setattr(torch, name, allocate)
