"""The angles by which ModernBERT turns queries and keys (Su et al., "RoFormer", 2021).

Shapes: P positions, D head size.
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, [P, D/2]."""


class RotaryTable(nn.Module):
    """Cosines and sines of position times base^(-2i/D), in fp32 whatever the model is cast to.

    Args:
        positions: P.
        head_size: D.
        base: the slowest angle is about 1/base for each position.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, positions: int, head_size: int, base: float) -> None:
        super().__init__()
        # Each step in fp32, as transformers goes. At position 8,000 an angle is thus wrong by up to
        # 5e-4, the same in training and later; released weights expect just these.
        # On the CPU even where a model is made without memory: no file has these tables.
        exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device="cpu") / head_size
        places = torch.arange(positions, dtype=torch.float32, device="cpu")
        angles = places[:, None] * (1.0 / base**exponents)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self) -> Rotary:
        """The tables."""
        return self.cos, self.sin

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Follows a model to its device, not into its dtype: in bf16 a cosine has two digits.
        super()._apply(lambda table: table.to(fn(table).device), recurse)  # type: ignore[no-untyped-call]
        return self
