"""A batch: sequences end to end, without padding between them (contract 3 of the design).

Shapes: T tokens of all S sequences, M slots for predictions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IGNORED = -100  # label of what is not predicted, PyTorch's own convention
PADDING = -1  # language of what only fills a batch up


@dataclass(frozen=True, kw_only=True)
class Batch:
    """T is the same in every batch: what is left is filled with sequences of ``[PAD]``."""

    tokens: npt.NDArray[np.int32]
    """[T], with masks applied."""
    positions: npt.NDArray[np.int32]
    """[T], place in the sequence."""
    segments: npt.NDArray[np.int32]
    """[T], 0 for A, 1 for B."""
    cu_seqlens: npt.NDArray[np.int32]
    """[S+1], where each sequence begins."""
    max_seqlen: int
    masked: npt.NDArray[np.int64]
    """[M], positions to predict; unused slots point at 0."""
    labels: npt.NDArray[np.int64]
    """[M], the true ids; unused slots carry -100."""
    is_next: npt.NDArray[np.int64]
    """[S], 0 when B follows A, 1 when it is random (or the two are exchanged), -100 without B."""
    language: npt.NDArray[np.int64]
    """[S], index into the languages of the batches' plan; -1 for padding."""

    @property
    def text_tokens(self) -> int:
        """Tokens that are not padding."""
        return int(self.text_lengths.sum())

    @property
    def text_lengths(self) -> npt.NDArray[np.int64]:
        """Of the sequences that are not padding, [N]."""
        return np.diff(self.cu_seqlens).astype(np.int64)[: int((self.language != PADDING).sum())]
