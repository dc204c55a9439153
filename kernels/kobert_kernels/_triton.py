"""Triton where it is installed; where it is not, just enough of it to import the kernels.

The kernels stand beside their PyTorch references, so importing a reference runs the kernels'
decorators. macOS and Windows have no Triton wheel and need none: there only the references are
called.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import torch

try:
    import triton
    import triton.language as tl

    INSTALLED = True
except ModuleNotFoundError as error:
    if error.name != "triton":
        raise  # a broken installation is not a missing one

    INSTALLED = False

    class _Missing:
        """Stands for `triton` and `triton.language` while the kernels are being defined."""

        constexpr = int  # called when the kernel files are imported, always on an int
        tensor = object

        def jit(self, function: Callable[..., Any], **options: object) -> _Missing:
            return self

        def constexpr_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
            return function

        def __getitem__(self, grid: object) -> Callable[..., Any]:
            raise RuntimeError("triton is not installed: pip install triton")

    triton = tl = _Missing()

# Triton too reads the variable once, when a kernel is defined.
INTERPRETED = INSTALLED and triton.knobs.runtime.interpret

# What a kernel parameter is. To Triton's compiler, which looks these names up, all three are one
# type.
Pointer: TypeAlias = tl.tensor  # a torch tensor outside, the address of its first element inside
Scalar: TypeAlias = tl.tensor  # one number
Tile: TypeAlias = tl.tensor  # a block of numbers or addresses in registers

__all__ = [
    "Pointer",
    "Scalar",
    "Tile",
    "accumulator",
    "can_run_on",
    "jit",
    "offset",
    "on_device_of",
    "tl",
]


def jit(*do_not_specialize: str) -> Callable[[Callable[..., Any]], Any]:
    """`triton.jit`, naming the parameters that change from batch to batch.

    Triton compiles a kernel anew when an integer becomes 1 or stops being divisible by 16. For a
    number of rows or a longest length, which differ in every batch, that would mean compiling
    during training.
    """

    def decorate(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - triton has no types
        return triton.jit(function, do_not_specialize=list(do_not_specialize))

    return decorate


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[None]:
    """Launches inside go to the GPU of `tensor`; nothing for a tensor on a CPU."""
    context: AbstractContextManager[None] = torch.cuda.device_of(tensor)  # type: ignore[no-untyped-call]
    return context


def can_run_on(device: torch.device) -> str | None:
    """Why kernels cannot run on `device`, or None: they run on a GPU, and in the interpreter."""
    if not INSTALLED:
        return "triton is not installed"
    if device.type == "cuda" or INTERPRETED:
        return None
    return f"the kernels need a GPU, the tensors are on {device.type}"


@jit()
def offset(row: Tile, stride: Scalar) -> Tile:
    """How far `row` is from the start of its tensor, in 64 bits.

    Every kernel comes by its row offsets here: 17 thousand rows of logits over 128 thousand words
    are past 2^31 elements, and a 32-bit product would wrap silently.
    """
    return row.to(tl.int64) * stride


@triton.constexpr_function  # type: ignore[untyped-decorator]
def accumulator(element: Any) -> Any:  # noqa: ANN401 - a dtype of triton's
    """What sums over elements of a dtype are kept in: fp32, or fp64 where the input is fp64."""
    return tl.float64 if element == tl.float64 else tl.float32
