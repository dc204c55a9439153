"""Embeddings: tables of one row and of many, each alone and with others; runs of equal ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..dispatch import Call
from .case import Case, Op, Tensors, itemsize

MASKED = 0.12
"""Of all tokens, the share that BERT replaces by [MASK]."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingCase(Case):
    """Embeddings of `rows` tokens; if the tables have another dtype, inside autocast's region."""

    rows: int = 1
    width: int = 1
    vocabulary: int = 30522
    """At most: few tokens are a small call, as there are never more than four words for each."""
    positions: int = 0
    """Rows of the table; 0 for none."""
    segments: int = 0
    """Rows of the table; 0 for none."""
    affine_bias: bool = True
    dropout: float = 0.0
    padding: bool = False
    """The first word is padding."""
    long_ids: bool = False
    """64 bits, not 32."""

    op: ClassVar[str] = "embedding"
    parameters: ClassVar[tuple[str, ...]] = (
        *("words", "position_table", "segment_table", "weight", "bias"),
    )
    sums_over_rows: ClassVar[tuple[str, ...]] = (
        *("dwords", "dposition_table", "dsegment_table", "dweight", "dbias"),
    )

    @property
    def shape(self) -> str:
        """Tokens by width, the tables' rows and the options."""
        parts = [f"{self.rows}x{self.width}", f"words{self.words}"]
        parts += [f"positions{self.positions}"] * (self.positions > 0)
        parts += [f"segments{self.segments}"] * (self.segments > 0)
        parts += ["no_bias"] * (not self.affine_bias) + ["padding"] * self.padding
        parts += [f"dropout{self.dropout}"] * (self.dropout > 0) + ["int64"] * self.long_ids
        return "-".join(parts)

    @property
    def words(self) -> int:
        """Rows of the table."""
        return max(1, min(self.vocabulary, 4 * self.rows))

    @property
    def summed_rows(self) -> int:
        """All tokens, for a word or segment that is everywhere."""
        return self.rows

    def facts(self, device: torch.device) -> Call:
        """Width and dropout."""
        return Call(
            op=self.op, device=device, dtype=self.dtype, size=self.width, dropout=self.dropout
        )

    def draw(self, generator: torch.Generator) -> Tensors:
        """Normal numbers, and tokens of which every eighth is the same."""
        drawn = self._ids(generator)
        tables = {"words": self.words, "position_table": self.positions}
        for name, rows in (tables | {"segment_table": self.segments}).items():
            if rows > 0:
                drawn[name] = torch.randn((rows, self.width), generator=generator)
        drawn["weight"] = torch.randn(self.width, generator=generator)
        if self.affine_bias:
            drawn["bias"] = torch.randn(self.width, generator=generator)
        if self.dropout > 0:
            drawn["seed"] = torch.tensor([1234])
        return drawn

    def _ids(self, generator: torch.Generator) -> Tensors:
        masked = torch.rand(self.rows, generator=generator) < MASKED
        tokens = torch.randint(self.words, (self.rows,), generator=generator)
        drawn = {"tokens": tokens.masked_fill(masked, self.words // 2)}
        if self.positions > 0:
            drawn["positions"] = torch.arange(self.rows) % self.positions
        if self.segments > 0:
            drawn["segments"] = torch.randint(self.segments, (self.rows,), generator=generator)
        return {name: self._laid_out(ids) for name, ids in drawn.items()}

    def _laid_out(self, ids: Tensor) -> Tensor:
        ids = ids if self.long_ids else ids.int()
        if self.layout != "sliced":
            return ids
        return torch.stack((ids, torch.full_like(ids, -(10**9))), 1)[:, 0]

    def call(self, op: Op, inputs: Tensors) -> tuple[Tensor, ...]:
        """The embeddings."""
        mixed = self.weight_dtype is not None and self.dtype.itemsize == 2
        padding_idx = 0 if self.padding else None
        with torch.autocast(inputs["words"].device.type, self.dtype, enabled=mixed):
            return (op(**inputs, dropout=self.dropout, padding_idx=padding_idx),)

    def fewest_bytes(self) -> tuple[int, int]:
        """Forward: ids, the rows that occur, y. Backward: these, dy and each table's gradient."""
        wide, narrow = itemsize(self)
        ids = self._ids(torch.Generator().manual_seed(0))
        read = sum(t.numel() * t.itemsize for t in ids.values()) + 2 * 4 * self.rows
        rows = sum(len(set(t.tolist())) for t in ids.values()) + 1 + self.affine_bias
        read += rows * self.width * narrow
        y = self.rows * self.width * wide
        rows = self.words + self.positions + self.segments + 1 + self.affine_bias
        return read + y, read + y + rows * self.width * narrow


CASES = (
    EmbeddingCase(rows=1, width=3),
    EmbeddingCase(rows=0, width=16, positions=4, segments=2),
    EmbeddingCase(rows=9, width=3, positions=5, long_ids=True),
    EmbeddingCase(rows=21, width=64, segments=1, affine_bias=False),
    EmbeddingCase(rows=37, width=60, vocabulary=11, positions=16, segments=2, dropout=0.1),
    EmbeddingCase(rows=37, width=33, positions=8, segments=2, padding=True, layout="sliced"),
    EmbeddingCase(rows=40, width=48, vocabulary=5, segments=3, dropout=0.3, layout="expanded"),
    EmbeddingCase(rows=23, width=129, positions=7, weight_dtype=torch.float32),
    # Runs that end with a chunk, within one, and that go through several.
    EmbeddingCase(rows=100, width=8, vocabulary=2, positions=3),
    EmbeddingCase(rows=5, width=769, positions=5, segments=2),
)
LARGE_CASES = (
    EmbeddingCase(rows=4096, width=768, positions=512, segments=2, dropout=0.1, padding=True),
    EmbeddingCase(rows=4097, width=1024, vocabulary=128256, positions=514, segments=1),
    EmbeddingCase(rows=333, width=8192, segments=2, affine_bias=False, long_ids=True),
    EmbeddingCase(rows=20000, width=192, vocabulary=3, positions=128),
)
BENCHMARKS = tuple(
    EmbeddingCase(
        rows=32768,
        width=width,
        vocabulary=vocabulary,
        positions=512,
        segments=2,
        dropout=0.1,
        padding=True,
        weight_dtype=table_dtype,
    )
    for width, vocabulary, table_dtype in (
        (768, 32768, torch.float32),
        (768, 128256, torch.float32),
        (1024, 32768, torch.float32),
        (768, 32768, None),
    )
)
