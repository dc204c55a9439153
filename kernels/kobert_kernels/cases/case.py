"""What a case is: an op, a shape, a dtype and a memory layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ..dispatch import Call

Tensors = dict[str, Tensor]
Op = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Case(ABC):
    """One call of an op, with everything that it is given drawn from a fixed seed."""

    dtype: torch.dtype = torch.float32
    weight_dtype: torch.dtype | None = None
    """The dtype of `parameters`, if not `dtype`."""
    layout: Literal["packed", "sliced", "expanded"] = "packed"
    """sliced: each matrix lies one element off inside a wider one full of NaN, so that nothing is
    aligned and whatever is read beyond a row shows; expanded: incoming gradients have every stride
    0, as after `.sum()`."""

    op: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]] = ()
    consumed: ClassVar[tuple[str, ...]] = ()
    """Inputs that the op writes over; `run` gives it copies."""
    sums_over_rows: ClassVar[tuple[str, ...]] = ()
    """Results that add up one number for each row: their rounding errors add up as well."""

    @property
    @abstractmethod
    def shape(self) -> str:
        """Sizes and the options that are on: 37x100-residual-dropout0.1."""

    @property
    def results(self) -> tuple[str, ...]:
        """Names of what `call` returns."""
        return ("y",)

    @property
    @abstractmethod
    def summed_rows(self) -> int:
        """How many rows `sums_over_rows` add up."""

    def facts(self, device: torch.device) -> Call:
        """What the choice of an implementation depends on."""
        raise NotImplementedError

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Tensors:
        """All inputs, on the CPU: floating point in fp32, integers as the op takes them."""

    @abstractmethod
    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """The op's `results`."""

    @abstractmethod
    def fewest_bytes(self) -> tuple[int, int]:
        """What forward and backward must move at least: each input and each result once."""

    def flops(self) -> tuple[int, int]:
        """Floating-point operations of the matrix products, forward and backward."""
        return 0, 0

    @property
    def name(self) -> str:
        """Of the case: op, shape, layout, dtype."""
        parts = [self.op, self.shape] + [self.layout] * (self.layout != "packed")
        parts += ["mixed"] * (self.weight_dtype is not None)
        return "-".join([*parts, short(self.dtype)])

    def inputs(self, device: torch.device | str) -> Tensors:
        """The same numbers on every device, rounded to the dtype of the case."""
        drawn = self.draw(torch.Generator().manual_seed(0))
        return {name: self._placed(name, t).to(device) for name, t in drawn.items()}

    def _placed(self, name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        is_parameter = name in self.parameters
        tensor = tensor.to((self.weight_dtype or self.dtype) if is_parameter else self.dtype)
        if self.layout != "sliced" or is_parameter:
            return tensor
        wider = tensor.new_full((*tensor.shape[:-1], tensor.shape[-1] + 3), float("nan"))
        wider[..., 1:-2] = tensor
        return wider[..., 1:-2]

    def leaves(self, inputs: Tensors) -> Tensors:
        """The inputs, those that are floating point asking for a gradient."""
        return {
            name: t.detach().requires_grad_() if t.is_floating_point() else t
            for name, t in inputs.items()
        }

    def arguments(self, leaves: Tensors) -> Tensors:
        """What to pass to `call`: a copy where the op consumes its input."""
        return {name: t.clone() if name in self.consumed else t for name, t in leaves.items()}

    def run(self, op: Op, inputs: Tensors) -> Tensors:
        """Results and gradients by name; the gradient of `x` is `dx`."""
        leaves = self.leaves(inputs)
        results = self.call(op, self.arguments(leaves))
        smooth = [t for t in results if t.requires_grad]
        wanted = {name: t for name, t in leaves.items() if t.requires_grad}
        gradients = torch.autograd.grad(
            smooth, list(wanted.values()), self.incoming(smooth), materialize_grads=True
        )
        named = {f"d{name}": g for name, g in zip(wanted, gradients, strict=True)}
        return {n: t.detach() for n, t in zip(self.results, results, strict=True)} | named

    def incoming(self, results: list[Tensor]) -> list[Tensor]:
        """The gradients that arrive at `results`, rounded to the dtype of the case."""
        generator = torch.Generator().manual_seed(1)
        gradients = []
        for result in results:
            shape = result.shape if self.layout != "expanded" else (1,) * result.dim()
            drawn = torch.randn(shape, generator=generator).to(self.dtype)
            gradients.append(drawn.to(result.device, result.dtype).expand(result.shape))
        return gradients


def short(dtype: torch.dtype) -> str:
    """fp32 for torch.float32, and so on."""
    return str(dtype).removeprefix("torch.").replace("bfloat", "bf").replace("float", "fp")


def itemsize(case: Case) -> tuple[int, int]:
    """Bytes of an element of the activations, and of the parameters."""
    return case.dtype.itemsize, (case.weight_dtype or case.dtype).itemsize
