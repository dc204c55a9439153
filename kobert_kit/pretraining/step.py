"""One batch through the model: tensors, loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    used: int
    """Slots with a label."""
    pairs: int
    """Sequences of two texts."""

    @classmethod
    def on(cls, device: torch.device, batch: Batch) -> "BatchTensors":
        """Copy a batch to ``device``; a GPU goes on with its work meanwhile."""
        cuda = device.type == "cuda"

        def copied(name: str) -> Tensor:
            tensor = torch.from_numpy(getattr(batch, name))
            return (tensor.pin_memory() if cuda else tensor).to(device, non_blocking=True)

        return cls(
            **{
                name: copied(name)
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
            used=int((batch.labels != IGNORED).sum()),
            pairs=int((batch.is_next != IGNORED).sum()),
        )


@dataclass(frozen=True)
class Losses:
    """What a batch is trained on: of a part of it, its share of the whole batch's means."""

    masked: Tensor
    """Mean over the used slots, in nats."""
    correct: Tensor
    """Used slots in which the right word has the highest logit."""
    next: Tensor
    """Mean over the sequences of two texts, in nats; 0 if there are none, or no head for them."""

    @property
    def total(self) -> Tensor:
        """Masked words plus next sentence, as in BERT."""
        return self.masked + self.next


def losses(
    model: nn.Module,
    batch: BatchTensors,
    seed: Tensor | None = None,
    counts: Tensor | None = None,
) -> Losses:
    """Both losses of a batch, or of a part of one.

    Args:
        model: a `PretrainingModel`, perhaps shared by processes, in training mode.
        batch: or a part of it.
        seed: int64[1], draws the dropout masks.
        counts: [2], used slots and pairs of the whole batch, where this is a part of it.
    """
    used, pairs = (batch.used, batch.pairs) if counts is None else counts
    masked, correct, next_logits = model(
        *(batch.tokens, batch.positions, batch.segments, batch.cu_seqlens, batch.max_seqlen),
        *(batch.masked, batch.labels, seed),
    )
    following = torch.zeros_like(masked)
    if next_logits is not None:
        following = F.cross_entropy(next_logits.float(), batch.is_next, reduction="sum")
    least = max(1, pairs) if counts is None else counts[1].clamp(min=1)
    return Losses(masked * (batch.used / used), correct, following / least)


def logits(model: PretrainingModel, batch: BatchTensors) -> tuple[Tensor, Tensor | None]:
    """[M, V] of the masked words and [S, 2] of the next sentence, of a model that has that head."""
    return model.logits(
        *(batch.tokens, batch.positions, batch.segments, batch.cu_seqlens, batch.max_seqlen),
        batch.masked,
    )
