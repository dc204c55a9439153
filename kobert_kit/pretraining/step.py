"""One batch through the model: tensors, loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kobert_kit.batches.batch import IGNORED, Batch
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
class Losses:
    """What a batch is trained on."""

    masked: Tensor
    """Mean over the used slots, in nats."""
    correct: Tensor
    """Used slots in which the right word has the highest logit."""
    next: Tensor
    """Mean over the sequences of two texts, in nats; 0 if there are none."""

    @property
    def total(self) -> Tensor:
        """Masked words plus next sentence, as in BERT."""
        return self.masked + self.next


def losses(model: PretrainingModel, batch: BatchTensors, seed: Tensor | None = None) -> Losses:
    """Both losses of a batch; ``seed`` int64[1] draws the dropout masks in training mode."""
    x = _encoded(model, batch, seed)
    masked, correct = model.masked_loss(x, batch.masked, batch.labels)
    next_logits = model.next_sentence_logits(x, batch.cu_seqlens)
    pairs = (batch.is_next != IGNORED).sum().clamp(min=1)
    following = F.cross_entropy(next_logits.float(), batch.is_next, reduction="sum") / pairs
    return Losses(masked, correct, following)


def logits(model: PretrainingModel, batch: BatchTensors) -> tuple[Tensor, Tensor]:
    """[M, V] of the masked words and [S, 2] of the next sentence."""
    x = _encoded(model, batch, None)
    return model.masked_logits(x, batch.masked), model.next_sentence_logits(x, batch.cu_seqlens)


def _encoded(model: PretrainingModel, batch: BatchTensors, seed: Tensor | None) -> Tensor:
    x: Tensor = model.encoder(
        *(batch.tokens, batch.positions, batch.segments),
        *(batch.cu_seqlens, batch.max_seqlen, seed),
    )
    return x
