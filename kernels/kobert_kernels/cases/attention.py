"""Attention: lengths of 1, primes, tiles and one beside them; each option alone and with others.

No case has a window of 0, or lone tokens alone: dQ and dK are exactly 0 there, and of two roundings
of 0 one may be many times the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..dispatch import Call
from .case import Case, Op, Tensors

THETA = 10000.0  # of the angles of RoFormer and of ModernBERT's local layers


@dataclass(frozen=True, kw_only=True)
class AttentionCase(Case):
    """Attention within packed sequences of the given lengths."""

    lengths: tuple[int, ...] = ()
    unused: int = 0
    """Tokens after the last sequence, which belong to none."""
    heads: int = 1
    head_size: int = 64
    dropout: float = 0.0
    scale: float | None = None
    window: int | None = None
    rotary: bool = False

    op: ClassVar[str] = "attention"

    @property
    def shape(self) -> str:
        """Lengths, heads and the options."""
        alike = len(set(self.lengths)) == 1 and len(self.lengths) > 2
        lengths = f"{len(self.lengths)}x{self.lengths[0]}" if alike else _listed(self.lengths)
        parts = [lengths, f"h{self.heads}", f"d{self.head_size}"]
        parts += [f"unused{self.unused}"] * (self.unused > 0)
        parts += [f"dropout{self.dropout}"] * (self.dropout > 0)
        parts += [f"scale{self.scale}"] * (self.scale is not None)
        parts += [f"window{self.window}"] * (self.window is not None) + ["rotary"] * self.rotary
        return "-".join(parts)

    @property
    def longest(self) -> int:
        """Of all lengths."""
        return max(self.lengths, default=0)

    @property
    def tokens(self) -> int:
        """All of them, used or not."""
        return sum(self.lengths) + self.unused

    @property
    def summed_rows(self) -> int:
        """All tokens; no result is summed over them."""
        return self.tokens

    def facts(self, device: torch.device) -> Call:
        """Head size, longest length and the options."""
        return Call(
            op=self.op,
            device=device,
            dtype=self.dtype,
            size=self.head_size,
            length=self.longest,
            dropout=self.dropout,
            ragged=self.tokens != len(self.lengths) * self.longest,
            window=self.window is not None,
            rotary=self.rotary,
        )

    def draw(self, generator: torch.Generator) -> Tensors:
        """Normal numbers; the bounds, and the dropout seed where it is needed."""
        shape = (self.tokens, self.heads, self.head_size)
        drawn = {name: torch.randn(shape, generator=generator) for name in "qkv"}
        drawn["cu_seqlens"] = torch.tensor((0, *self.lengths)).cumsum(0).to(torch.int32)
        if self.dropout > 0:
            drawn["seed"] = torch.tensor([1234])
        return drawn

    def inputs(self, device: torch.device | str) -> Tensors:
        """As drawn; packed means that q, k and v are views of one tensor, as a model has them."""
        placed = super().inputs(device)
        if self.layout == "packed" and self.tokens > 0:
            qkv = torch.stack([placed[name] for name in "qkv"], dim=1).unbind(1)
            placed |= dict(zip("qkv", qkv, strict=True))
        return placed

    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """The tables of angles are no input: they get no gradient, and are fp32 in any dtype."""
        rotary = self._tables(inputs["q"].device) if self.rotary else None
        options = {"scale": self.scale, "dropout": self.dropout, "window": self.window}
        return (op(**inputs, max_seqlen=self.longest, rotary=rotary, **options),)

    def _tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        column = torch.arange(self.head_size // 2, device=device)
        frequency = THETA ** (-2 * column / self.head_size)
        angle = torch.arange(self.longest, device=device)[:, None] * frequency
        return angle.cos(), angle.sin()

    def fewest_bytes(self) -> tuple[int, int]:
        """Forward: q, k, v, o. Backward: these and do (up to 128 tokens without o), dq, dk, dv."""
        used, head = sum(self.lengths), self.heads * self.head_size * self.dtype.itemsize
        statistics = 4 * self.heads * used
        tables = 2 * 4 * self.longest * self.head_size // 2 * self.rotary
        forward = (3 * used + self.tokens) * head
        read = 4 if self.longest <= 128 else 5
        backward = (read * used + 3 * self.tokens) * head
        return forward + statistics + tables, backward + statistics + tables

    def flops(self) -> tuple[int, int]:
        """Two products forward and five backward, of the scores that are seen."""
        product = 2 * sum(map(self._seen, self.lengths)) * self.heads * self.head_size
        return 2 * product, 5 * product

    def _seen(self, length: int) -> int:
        if self.window is None or self.window >= length:
            return length * length
        return length * (2 * self.window + 1) - self.window * (self.window + 1)


def _listed(lengths: tuple[int, ...]) -> str:
    """At most six of them; a sum tells longer lists apart."""
    more = f"+..={sum(lengths)}" if len(lengths) > 6 else ""
    return ("+".join(map(str, lengths[:6])) or "none") + more


MODERN: dict[str, Any] = {"window": 64, "rotary": True}  # a local layer of ModernBERT

CASES = (
    AttentionCase(lengths=(1, 2), head_size=16),
    AttentionCase(lengths=(5, 0, 17, 1), heads=2, head_size=16, dropout=0.1),
    AttentionCase(lengths=(31, 33), heads=2, head_size=32),
    AttentionCase(lengths=(64, 3, 13), heads=2, dropout=0.1),
    AttentionCase(lengths=(37,), scale=0.3),
    AttentionCase(lengths=(7, 40), head_size=96, dropout=0.1),
    AttentionCase(lengths=(29, 2), head_size=128),
    AttentionCase(lengths=(), head_size=16),
    AttentionCase(lengths=(0, 0), unused=5, heads=2, head_size=16, dropout=0.1),
    AttentionCase(lengths=(1, 1, 4, 1), unused=3, heads=2, head_size=16),
    AttentionCase(lengths=(129,), head_size=16, dropout=0.1),
    AttentionCase(lengths=(70, 33), head_size=16, window=7),
    AttentionCase(lengths=(70, 9), head_size=32, window=40, dropout=0.1),
    AttentionCase(lengths=(20, 21), head_size=32, window=1000),
    AttentionCase(lengths=(40, 17), heads=2, head_size=16, rotary=True),
    AttentionCase(lengths=(34, 5), head_size=96, rotary=True),
    AttentionCase(lengths=(5, 0, 9, 1), unused=2, head_size=16, dropout=0.2, window=2, rotary=True),
    AttentionCase(lengths=(66, 8), unused=7, head_size=96, dropout=0.1, window=9, rotary=True),
    AttentionCase(lengths=(35, 6), heads=2, head_size=32, dropout=0.1, layout="sliced"),
    AttentionCase(lengths=(50, 3), unused=4, head_size=64, **MODERN, layout="sliced"),
    AttentionCase(lengths=(33, 12), unused=1, heads=2, head_size=16, layout="expanded"),
    AttentionCase(lengths=(41,), head_size=32, dropout=0.1, window=6, layout="expanded"),
)
LARGE_CASES = (
    AttentionCase(lengths=(128,) * 32, heads=12, dropout=0.1),
    AttentionCase(lengths=(64, 33, 1, 0, 60) * 8, unused=9, heads=12, dropout=0.1),
    AttentionCase(lengths=(30, 32, 5) * 8, heads=12),
    AttentionCase(lengths=(512, 100, 511, 0, 257), unused=100, heads=12, dropout=0.1),
    AttentionCase(lengths=(512, 300), heads=16),
    AttentionCase(lengths=(128, 90, 127) * 4, heads=12, dropout=0.1, **MODERN),
    AttentionCase(lengths=(1500, 700), unused=60, heads=12, **MODERN),
    AttentionCase(lengths=(600, 129), heads=12, dropout=0.1, rotary=True),
    AttentionCase(lengths=(200, 129), heads=8, head_size=96, dropout=0.1),
    AttentionCase(lengths=(200, 129), heads=8, head_size=128, dropout=0.1),
    AttentionCase(lengths=(128, 65, 32), heads=8, head_size=128, dropout=0.1, **MODERN),
    AttentionCase(lengths=(400, 129), heads=8, head_size=128, dropout=0.1, **MODERN),
    AttentionCase(lengths=(128, 200), heads=4, head_size=32, dropout=0.1),
    AttentionCase(lengths=(128, 200), heads=4, head_size=16, rotary=True),
)
# 128 documents of 16 to 511 tokens in a batch of fixed capacity.
_DOCUMENTS: dict[str, Any] = {
    "lengths": tuple(16 + 73 * n % 496 for n in range(128)),
    "unused": 1000,
}
BENCHMARKS = (
    *(
        AttentionCase(lengths=(length,) * (tokens // length), heads=12, dropout=dropout)
        for length, tokens in ((128, 32768), (512, 32768), (2048, 16384), (8192, 16384))
        for dropout in (0.0, 0.1)
    ),
    *(AttentionCase(**_DOCUMENTS, heads=12, dropout=dropout) for dropout in (0.0, 0.1)),
    AttentionCase(lengths=(8192, 8192), heads=12, **MODERN),
    AttentionCase(lengths=(8192, 8192), heads=12, rotary=True),
    AttentionCase(lengths=(512,) * 32, heads=8, head_size=128),
    AttentionCase(lengths=(512,) * 32, heads=8, head_size=128, dropout=0.1),
)
