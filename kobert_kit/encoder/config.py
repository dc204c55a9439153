"""The shape of an encoder."""

from dataclasses import dataclass, fields
from typing import Literal

from kobert_vocab.errors import InputError

HEAD_SIZES = (16, 32, 64, 96, 128)  # what the attention kernel is built for

Family = Literal["bert", "modern"]
NORM_EPS: dict[Family, float] = {"bert": 1e-12, "modern": 1e-5}
OF_THE_OTHER: dict[Family, tuple[str, ...]] = {
    "bert": ("mlp_dropout", "global_every", "window", "global_rotary_base", "local_rotary_base"),
    "modern": ("segments",),
}
"""The fields that a family does not have."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Classic BERT or ModernBERT. The defaults are those of BERT-Base.

    bert: post-norm, learned positions, two segments, GELU, biases (Devlin et al. 2019).
    modern: pre-norm, rotary positions, GeGLU, a window in most layers, no biases but the decoder's
    (Warner et al., "Smarter, better, faster, longer", 2024).
    """

    vocab_size: int
    family: Family = "bert"
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    """Width inside the feed-forward layer: of GELU's result, or GeGLU's."""
    max_positions: int = 512
    """Longest sequence in tokens. bert: each position has a learned vector."""
    segments: int = 2
    """bert: sentence A and sentence B."""
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    """``gelu`` is the erf form, Hugging Face's default; ``gelu_tanh`` that of Google's code."""
    hidden_dropout: float = 0.1
    """bert: of the embeddings and of what attention and feed-forward add; modern: of what attention
    adds alone."""
    attention_dropout: float = 0.1
    """Of the attention weights."""
    mlp_dropout: float = 0.0
    """modern: of GeGLU's result."""
    global_every: int = 3
    """modern: layers 0, n, 2n and so on see all of a sequence, the others a window."""
    window: int = 128
    """modern: tokens of the window, half on each side of the token that looks."""
    global_rotary_base: float = 10_000.0
    """modern: the slowest angle of layers that see all is about 1/base. 160,000 in the released
    models, which were first trained with 10,000."""
    local_rotary_base: float = 10_000.0
    """modern: that of layers with a window."""
    norm_eps: float = 0.0
    """0 stands for the family's own: 1e-12 of bert, 1e-5 of modern."""
    init_std: float = 0.02
    """Matrices start as a normal of this deviation, cut at two deviations."""
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.family not in NORM_EPS:
            raise InputError(f"family is {self.family!r}; it must be one of {', '.join(NORM_EPS)}")
        if self.norm_eps == 0:
            object.__setattr__(self, "norm_eps", NORM_EPS[self.family])
        for name in ("vocab_size", "hidden_size", "layers", "heads", "intermediate_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.hidden_size % self.heads or self.head_size not in HEAD_SIZES:
            raise InputError(
                f"hidden_size {self.hidden_size} over {self.heads} heads gives a head size of "
                f"{self.hidden_size / self.heads:g}; it must be one of {HEAD_SIZES}"
            )
        for name in ("hidden_dropout", "attention_dropout", "mlp_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in [0, 1)")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in OF_THE_OTHER[self.family] and value != field.default:
                raise InputError(f"{field.name} is {value}; family {self.family} has no such thing")
        if self.global_every < 1 or self.window < 2:
            raise InputError(
                f"global_every is {self.global_every} and window {self.window}; "
                "they must be at least 1 and 2"
            )
        if min(self.global_rotary_base, self.local_rotary_base) <= 1:
            raise InputError("global_rotary_base and local_rotary_base must be above 1")

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.heads

    @property
    def gelu_form(self) -> Literal["none", "tanh"]:
        """The form of GELU, as the kernels call it."""
        return "tanh" if self.activation == "gelu_tanh" else "none"

    @property
    def has_biases(self) -> bool:
        """Whether linear layers and norms have biases; the decoder always has."""
        return self.family == "bert"

    def is_global(self, layer: int) -> bool:
        """Whether a layer, counted from 0, sees all of a sequence."""
        return self.family == "bert" or layer % self.global_every == 0
