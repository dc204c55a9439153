"""What a person may choose about batches. Nothing here needs NumPy, which `--help` waits for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kobert_vocab.errors import InputError

Pairing = Literal["none", "next", "order"]
"""What a sequence is made of.

none: ``[CLS] text [SEP]`` (RoBERTa: Liu et al. 2019, section 4.2, DOC-SENTENCES).
next: ``[CLS] A [SEP] B [SEP]``, B following A or random (Devlin et al. 2019, section 3.1).
order: the same, B following A or the two exchanged (Lan et al. 2020, section 3.1).
"""
SHORTEST = 8  # tokens of a window: two texts of two tokens with their special ones
SPECIALS: dict[Pairing, int] = {"none": 2, "next": 3, "order": 3}  # tokens that are not text

Unit = Literal["piece", "word", "morpheme"]
"""What is masked as a whole. Outside Korean a morpheme is a word."""

Rule = Literal["exact", "bernoulli"]
"""How tokens are chosen.

exact: the same share of each sequence, rounded, as in BERT's code.
bernoulli: each unit by a coin of its own, as in ``transformers``.
"""


@dataclass(frozen=True, kw_only=True)
class Masking:
    """What is masked and how."""

    rate: float = 0.15
    """Share of tokens to predict."""
    last_rate: float | None = None
    """The rate that is reached after ``steps``, in equal steps; it stays the same if not given."""
    steps: int = 0
    """Steps over which the rate changes."""
    rule: Rule = "exact"
    """exact: the same share of each sequence; bernoulli: each unit by a coin of its own."""
    unit: Unit = "piece"
    """What is masked as a whole: piece, word (in Korean an eojeol) or morpheme."""
    longest_unit: int = 8
    """Units of more pieces than this are masked in parts."""
    masked: float = 0.8
    """Of the tokens to predict, the share that becomes [MASK]."""
    random: float = 0.1
    """Of the tokens to predict, the share that becomes a random piece; the rest stays."""

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("last_rate", self.last_rate)):
            if value is not None and not 0 < value < 1:
                raise InputError(f"masking.{name} is {value}; it must lie in (0, 1)")
        if (self.last_rate is None) != (self.steps == 0):
            raise InputError("masking.last_rate and masking.steps belong together")
        if self.masked < 0 or self.random < 0 or self.masked + self.random > 1:
            raise InputError(
                f"masking.masked is {self.masked} and masking.random {self.random}; "
                "they are shares of one whole"
            )
        if self.longest_unit < 1:
            raise InputError(f"masking.longest_unit is {self.longest_unit}; at least 1")

    def rate_at(self, step: int) -> float:
        """The rate of a step."""
        if self.last_rate is None:
            return self.rate
        if step >= self.steps:
            return self.last_rate
        return self.rate + (self.last_rate - self.rate) * step / self.steps

    @property
    def highest_rate(self) -> float:
        """The highest rate of any step."""
        return max(self.rate, self.last_rate or 0.0)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one mix of languages."""

    windows: int | None = None
    """How long it lasts; the last phase may go on for ever."""
    languages: int | tuple[str, ...] | None = None
    """The largest so many, or those named; all if not given."""
    alpha: float = 0.3
    """Shares are token counts to this power: 1 as the text is, 0 all equal."""
    most_epochs: float | None = None
    """UniMax, in place of alpha: shares are equal, but nothing is read more often than this."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Least share of a language; the others shrink in proportion."""
    caps: Mapping[str, float] = field(default_factory=dict)
    """Largest share of a language; the others grow in proportion."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise InputError(f"languages.alpha is {self.alpha}; it must lie in [0, 1]")
        if self.windows is not None and self.windows < 1:
            raise InputError(f"languages.windows is {self.windows}; it must be at least 1")
        if self.most_epochs is not None and self.most_epochs <= 0:
            raise InputError(f"languages.most_epochs is {self.most_epochs}; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How the corpus becomes batches."""

    length: int = 128
    """Tokens of a window, and of the longest sequence."""
    windows: int = 256
    """Windows per step; each is packed with sequences of one language."""
    first_windows: int | None = None
    """Windows of the first step, a divisor of windows; batches grow from there."""
    ramp_steps: int = 0
    """Steps after which a batch is full."""
    pairing: Pairing = "next"
    """One text in a sequence (none), or two: the second following or random (next), or the two
    perhaps exchanged (order)."""
    masking: Masking = field(default_factory=Masking)
    """Which tokens are to be predicted."""
    languages: Phase = field(default_factory=Phase)
    """How often each language comes."""
    any_vocabulary: bool = False
    """Take the ids of a corpus that was built with another vocabulary for ids of this one."""

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise InputError(f"data.windows is {self.windows}; it must be at least 1")
        if (self.first_windows is None) != (self.ramp_steps == 0):
            raise InputError("data.first_windows and data.ramp_steps belong together")
        if self.ramp_steps < 0:
            raise InputError(f"data.ramp_steps is {self.ramp_steps}; it must be at least 1")
        first = self.windows if self.first_windows is None else self.first_windows
        if first < 1 or self.windows % first:
            raise InputError(f"data.first_windows is {first}; it must divide {self.windows}")
        if self.length < SHORTEST:
            raise InputError(f"data.length is {self.length}; it must be at least {SHORTEST}")
