"""The shape of an encoder."""

from dataclasses import dataclass
from typing import Literal

from kobert_vocab.errors import InputError

HEAD_SIZES = (16, 32, 64, 96, 128)  # what the attention kernel is built for


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Classic BERT (Devlin et al. 2019): post-norm, learned positions, two segments.

    Names are neutral so that a second family (pre-norm, rotary) can add its own fields.
    The defaults are those of BERT-Base.
    """

    vocab_size: int
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 512
    """Longest sequence in tokens; each position has a learned vector."""
    segments: int = 2
    """Sentence A and sentence B."""
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    """``gelu`` is the erf form, Hugging Face's default; ``gelu_tanh`` that of Google's code."""
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02
    """Matrices start as a normal of this deviation, cut at two deviations."""
    pad_id: int = 0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "layers", "heads", "intermediate_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.hidden_size % self.heads or self.head_size not in HEAD_SIZES:
            raise InputError(
                f"hidden_size {self.hidden_size} over {self.heads} heads gives a head size of "
                f"{self.hidden_size / self.heads:g}; it must be one of {HEAD_SIZES}"
            )
        for name in ("hidden_dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in [0, 1)")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.heads
