"""The shape of an encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from kobert_vocab.errors import InputError

Family = Literal["bert", "modern"]
NORM_EPS: dict[Family, float] = {"bert": 1e-12, "modern": 1e-5}
OF_THE_OTHER: dict[Family, tuple[str, ...]] = {
    "bert": ("mlp_dropout", "global_every", "window", "global_rotary_base", "local_rotary_base"),
    "modern": ("segments", "embedding_size"),
}
"""The fields that a family does not have."""
MODEL_TYPES: dict[Family, tuple[str, ...]] = {
    "bert": ("bert", "roberta", "xlm-roberta", "camembert", "electra"),
    "modern": ("modernbert",),
}
"""The architectures of `transformers` that a family computes; the first is its own."""
ROBERTA = ("roberta", "xlm-roberta", "camembert")
MOST = 1 << 24  # of any size: no matrix then has more elements than an int64 counts
MOST_POSITIONS = 1 << 20
MOST_ANGLES = 1 << 26  # ModernBERT's are computed for all positions: 64 for each of 2^20


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Classic BERT or ModernBERT. The defaults are those of BERT-Base.

    bert: post-norm, learned positions, two segments, GELU, biases (Devlin et al. 2019).
    modern: pre-norm, rotary positions, GeGLU, a window in most layers, no biases but the decoder's
    (Warner et al., "Smarter, better, faster, longer", 2024).
    """

    vocab_size: int
    family: Family = "bert"
    model_type: str = ""
    """The class of `transformers` that a folder is for, one of `MODEL_TYPES`; empty is the first of
    the family. Those of RoBERTa (Liu et al. 2019) count positions from ``pad_id + 1``; ELECTRA
    (Clark et al. 2020) may have narrower embeddings."""
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    """Width inside the feed-forward layer: of GELU's result, or GeGLU's."""
    max_positions: int = 512
    """Longest sequence in tokens. bert: each position has a learned vector."""
    embedding_size: int = 0
    """electra: width of the embeddings, which a matrix widens; 0 stands for hidden_size."""
    segments: int = 2
    """bert: sentence A and sentence B; where there is one, both are it."""
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
    others: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """Settings of a ``config.json`` that change nothing here; they are written back."""

    def __post_init__(self) -> None:
        if self.family not in NORM_EPS:
            raise InputError(f"family is {self.family!r}; it must be one of {', '.join(NORM_EPS)}")
        for name, own in (
            ("norm_eps", NORM_EPS[self.family]),
            ("model_type", MODEL_TYPES[self.family][0]),
        ):
            if not getattr(self, name):
                object.__setattr__(self, name, own)
        if self.model_type not in MODEL_TYPES[self.family]:
            known = ", ".join(MODEL_TYPES[self.family])
            raise InputError(f"model_type is {self.model_type!r}; {self.family} has {known}")
        self._check_sizes()
        for name in ("hidden_dropout", "attention_dropout", "mlp_dropout", "norm_eps", "init_std"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in [0, 1)")
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in OF_THE_OTHER[self.family] and value != one.default:
                raise InputError(f"{one.name} is {value}; family {self.family} has no such thing")
        if self.window < 2:
            raise InputError(f"window is {self.window}; it must be at least 2")
        if min(self.global_rotary_base, self.local_rotary_base) <= 1:
            raise InputError("global_rotary_base and local_rotary_base must be above 1")

    def _check_sizes(self) -> None:
        sizes = ("vocab_size", "hidden_size", "layers", "heads", "intermediate_size")
        others = ("embedding_width", "segments", "max_positions", "global_every", "window")
        for name in (*sizes, *others):
            most = MOST_POSITIONS if name == "max_positions" else MOST
            size = getattr(self, name)
            if type(size) is not int or not 1 <= size <= most:  # nor True, which is 1
                raise InputError(
                    f"{name} is {size!r}; it must be a whole number between 1 and {most}"
                )
        if self.hidden_size % self.heads:
            raise InputError(
                f"hidden_size is {self.hidden_size}; {self.heads} heads cannot share it out"
            )
        if self.family == "modern" and self.head_size % 2:
            raise InputError(
                f"hidden_size {self.hidden_size} over {self.heads} heads gives a head size of "
                f"{self.head_size}; rotary positions turn pairs, so it must be even"
            )
        if self.family == "modern" and self.max_positions * self.head_size > MOST_ANGLES:
            raise InputError(
                f"max_positions is {self.max_positions}, with a head size of {self.head_size}; "
                f"their product must be at most {MOST_ANGLES}"
            )
        if type(self.pad_id) is not int or not 0 <= self.pad_id < self.vocab_size:
            raise InputError(
                f"pad_id is {self.pad_id!r}; the vocabulary has the ids 0 to {self.vocab_size - 1}"
            )

    @property
    def embedding_width(self) -> int:
        """Of the embeddings."""
        return self.embedding_size or self.hidden_size

    @property
    def first_position(self) -> int:
        """The row of a sequence's first token in the table of positions."""
        return first_position(self.model_type, self.pad_id)

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


def first_position(model_type: str, pad_id: int) -> int:
    """`EncoderConfig.first_position` of any architecture."""
    return pad_id + 1 if model_type in ROBERTA else 0
