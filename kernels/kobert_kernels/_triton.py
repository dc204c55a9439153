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
except ModuleNotFoundError as error:
    if error.name != "triton":
        raise  # a broken installation is not a missing one

    class _Missing:
        """Stands for `triton` and `triton.language` while the kernels are being defined."""

        constexpr = int  # called when the kernel files are imported, always on an int
        tensor = object

        def jit(self, function: Callable[..., Any], **options: object) -> _Missing:
            return self

        def __getitem__(self, grid: object) -> Callable[..., Any]:
            raise RuntimeError("triton is not installed: pip install triton")

    triton = tl = _Missing()

# What a kernel parameter is. To Triton's compiler, which looks these names up, all three are one
# type.
Pointer: TypeAlias = tl.tensor  # a torch tensor outside, the address of its first element inside
Scalar: TypeAlias = tl.tensor  # one number
Tile: TypeAlias = tl.tensor  # a block of numbers or addresses in registers

__all__ = ["Pointer", "Scalar", "Tile", "jit", "on_device_of", "tl"]


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
