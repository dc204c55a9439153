"""What shapes a vocabulary, beside its text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kobert_vocab.errors import InputError
from kobert_vocab.segment import Analyser


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of `kobert_vocab.train`, checked.

    Raises:
        InputError: an option is out of its range.
    """

    size: int
    rate: float
    alpha: float
    korean_floor: float
    korean_cap: float
    unused: int
    analyser: Analyser | None
    """None where no word is cut."""
    user_words: Sequence[str]
    parallel: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"size {self.size}: give the number of pieces, for example 32000")
        if not 0 <= self.rate <= 1:
            raise InputError(f"rate {self.rate}: must be between 0 and 1")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"alpha {self.alpha}: must be between 0 and 1")
        if not 0 <= self.korean_floor < 1:
            raise InputError(f"korean_floor {self.korean_floor}: must be at least 0 and below 1")
        if not self.korean_floor <= self.korean_cap <= 1:
            raise InputError(
                f"korean_cap {self.korean_cap}: must be at least korean_floor and at most 1"
            )
        if self.unused < 0:
            raise InputError(f"unused {self.unused}: must be 0 or more")
