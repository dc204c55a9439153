"""The language plan: how often each language comes, and which one comes when.

Shares are the languages' token counts to the power alpha (Conneau et al. 2020, section 3.1:
alpha 0.3; multilingual BERT used 0.7). A table of one period spreads them evenly by largest
deficit, so that any stretch of samples has the right mix, and sample n's language and its number
within the language are two look-ups.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kobert_vocab.errors import InputError

# Samples in one period of the table: a share of 1 in 65,536 still comes up, and it takes 10 ms.
PERIOD = 1 << 16


@dataclass(frozen=True)
class LanguagePlan:
    """Languages with their shares, and the table that spreads them."""

    languages: tuple[str, ...]
    shares: npt.NDArray[np.float64]
    _table: npt.NDArray[np.int64]
    """[PERIOD], the language of each sample of a period."""
    _rank: npt.NDArray[np.int64]
    """[PERIOD], how many samples of the same language came before it in the period."""
    _per_period: npt.NDArray[np.int64]
    """[languages], samples in a period."""

    def sample(self, number: int) -> tuple[str, int]:
        """The language of the global sample ``number``, and its number within that language."""
        period, place = divmod(number, PERIOD)
        language = self._table[place]
        within = period * self._per_period[language] + self._rank[place]
        return self.languages[language], int(within)


def language_plan(
    tokens: Mapping[str, int], alpha: float, floors: Mapping[str, float] | None = None
) -> LanguagePlan:
    """Plan for languages with so many training tokens each.

    Args:
        tokens: by language.
        alpha: 1 keeps the shares of the text, 0 makes all languages equal.
        floors: least share of a language; the others shrink in proportion.

    Raises:
        InputError: a floor for a language that is not there, or floors that leave nothing.
    """
    languages = tuple(sorted(tokens))
    weights = np.array([tokens[code] for code in languages], dtype=np.float64) ** alpha
    shares = _with_floors(languages, weights / weights.sum(), floors or {})
    per_period = _whole(shares)
    table = _spread(per_period)
    rank = np.empty(PERIOD, dtype=np.int64)
    for language, count in enumerate(per_period):
        rank[table == language] = np.arange(count)
    return LanguagePlan(languages, shares, table, rank, per_period)


def _with_floors(
    languages: tuple[str, ...], shares: npt.NDArray[np.float64], floors: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    least = np.zeros_like(shares)
    for code, floor in floors.items():
        if code not in languages:
            raise InputError(f"a floor for {code!r}, but the corpus has no such training text")
        least[languages.index(code)] = floor
    lifted = (least > shares) & (least > 0)
    room = 1 - least[lifted].sum()
    if room <= 0:
        raise InputError(f"the floors {dict(floors)} leave nothing for the other languages")
    result: npt.NDArray[np.float64] = np.where(lifted, least, shares * room / shares[~lifted].sum())
    return result


def _whole(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Whole numbers that sum to PERIOD, each at least 1, by largest remainder."""
    exact = shares * (PERIOD - len(shares))
    whole = np.floor(exact).astype(np.int64)
    short = PERIOD - len(shares) - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:short]] += 1
    return whole + 1


def _spread(per_period: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place occurrence k of a language at (k + 1/2) / count of the period, all in order."""
    languages = np.repeat(np.arange(len(per_period)), per_period)
    occurrence = np.concatenate([np.arange(count) for count in per_period])
    due = (occurrence + 0.5) / per_period[languages]
    return languages[np.lexsort((languages, due))]
