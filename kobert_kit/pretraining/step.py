"""One batch through the model: tensors, loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kobert_kit.corpus.batches import IGNORED, Batch
from kobert_kit.encoder import PretrainingModel


@dataclass(frozen=True, kw_only=True)
class BatchTensors:
    """A `Batch` on a device; see there for the shapes."""

    tokens: Tensor
    positions: Tensor
    segments: Tensor
    cu_seqlens: Tensor
    max_seqlen: int
    masked: Tensor
    labels: Tensor
    is_next: Tensor

    @classmethod
    def on(cls, device: torch.device, batch: Batch) -> "BatchTensors":
        """Copy a batch to ``device``."""
        return cls(
            **{
                name: torch.from_numpy(getattr(batch, name)).to(device, non_blocking=True)
                for name in (
                    "tokens",
                    "positions",
                    "segments",
                    "cu_seqlens",
                    "masked",
                    "labels",
                    "is_next",
                )
            },
            max_seqlen=batch.max_seqlen,
        )


@dataclass(frozen=True)
class Output:
    """What a batch gives."""

    masked_logits: Tensor
    """[M, V]"""
    next_logits: Tensor
    """[S, 2]"""
    masked_loss: Tensor
    """Mean over the used slots, in nats."""
    next_loss: Tensor

    @property
    def loss(self) -> Tensor:
        """Masked words plus next sentence, as in BERT."""
        return self.masked_loss + self.next_loss


def run_batch(model: PretrainingModel, batch: BatchTensors, seed: Tensor | None = None) -> Output:
    """Logits and losses; ``seed`` int64[1] draws the dropout masks in training mode."""
    x = model.encoder(
        batch.tokens,
        batch.positions,
        batch.segments,
        batch.cu_seqlens,
        batch.max_seqlen,
        seed,
    )
    masked_logits = model.masked_logits(x, batch.masked)
    next_logits = model.next_sentence_logits(x, batch.cu_seqlens)
    return Output(
        masked_logits,
        next_logits,
        F.cross_entropy(masked_logits.float(), batch.labels, ignore_index=IGNORED),
        F.cross_entropy(next_logits.float(), batch.is_next),
    )
