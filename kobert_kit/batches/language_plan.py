"""The language plan: how often each language comes, and which one comes when.

Shares are the languages' token counts to the power alpha (Conneau et al. 2020, section 3.1:
alpha 0.3; multilingual BERT used 0.7), or as even as a limit on repeats allows (UniMax: Chung et
al. 2023, algorithm 1). A table of one period spreads them evenly, so that any stretch of windows
has the right mix, and window n's language and its number within the language are two look-ups.

A plan may have phases, each with languages and shares of its own, as multilingual ModernBERT adds
languages in three steps (Marone et al. 2025, section 3). A language goes on reading where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from kobert_kit.batches.options import Phase
from kobert_kit.corpus.shards import Int64s
from kobert_vocab.errors import InputError

Shares = dict[str, float]

# Windows in one period of the table: a share of 1 in 65,536 still comes up, and it takes 10 ms.
PERIOD = 1 << 16
_GOLDEN = 0.618033988749895  # its multiples modulo 1 lie far apart (Weyl's sequence)


@dataclass(frozen=True)
class _Mix:
    """One phase, spread over a period."""

    shares: npt.NDArray[np.float64]
    """[languages]"""
    table: Int64s
    """[PERIOD], the language of each window of a period."""
    rank: Int64s
    """[PERIOD], how many windows of the same language came before it in the period."""
    per_period: Int64s
    """[languages], windows in a period."""

    def before(self, number: int) -> Int64s:
        """[languages] windows of each language among the first ``number``."""
        periods, rest = divmod(number, PERIOD)
        started = np.bincount(self.table[:rest], minlength=len(self.per_period))
        before: Int64s = periods * self.per_period + started
        return before


class LanguagePlan:
    """Which language each window is in.

    Args:
        tokens: training tokens of each language.
        phases: one after the other; all but the last have ``windows``.
        window: tokens in a window, for the epochs of UniMax.

    Raises:
        InputError: a phase names a language that is not there, or its shares cannot be.
    """

    def __init__(self, tokens: Mapping[str, int], phases: Sequence[Phase], window: int) -> None:
        self.languages = tuple(sorted(tokens))
        lengths = _lengths(phases)
        self._first = np.array([0, *accumulate(lengths)], dtype=np.int64)
        self._mixes = [
            _mix(self.languages, shares(tokens, phase, budget=window * (phase.windows or 0)))
            for phase in phases
        ]
        self._before = np.zeros((len(phases), len(self.languages)), dtype=np.int64)
        for i, length in enumerate(lengths):
            self._before[i + 1] = self._before[i] + self._mixes[i].before(length)

    def shares(self, phase: int = 0) -> Shares:
        """Of the windows of a phase, by language."""
        return dict(zip(self.languages, self._mixes[phase].shares.tolist(), strict=True))

    def windows(self, number: int) -> dict[str, int]:
        """How many of the first ``number`` windows are in each language."""
        phase = int(np.searchsorted(self._first, number, side="right")) - 1
        counts = self._before[phase] + self._mixes[phase].before(number - int(self._first[phase]))
        return dict(zip(self.languages, counts.tolist(), strict=True))

    def find(self, numbers: Int64s) -> tuple[Int64s, Int64s]:
        """The language of each of the windows ``numbers`` [N], and its number in that language."""
        language, within = np.empty_like(numbers), np.empty_like(numbers)
        phases = np.searchsorted(self._first, numbers, side="right") - 1
        for phase in np.unique(phases):
            mine, mix = phases == phase, self._mixes[phase]
            period, place = np.divmod(numbers[mine] - self._first[phase], PERIOD)
            found = mix.table[place]
            language[mine] = found
            within[mine] = (
                self._before[phase][found] + period * mix.per_period[found] + mix.rank[place]
            )
        return language, within


def _lengths(phases: Sequence[Phase]) -> list[int]:
    lengths = []
    for phase in phases[:-1]:
        if phase.windows is None:
            raise InputError("only the last phase of a language plan may go on for ever")
        lengths.append(phase.windows)
    return lengths


def shares(tokens: Mapping[str, int], phase: Phase, *, budget: int = 0) -> Shares:
    """The share of each language in a phase; 0 for those that are not in it.

    Args:
        tokens: training tokens of each language.
        phase: what is asked for.
        budget: tokens read in it, for UniMax.

    Raises:
        InputError: a language is not there, or floors and caps cannot be held.
    """
    chosen = _chosen(tokens, phase)
    if phase.most_epochs is not None:
        weights = _unimax({code: tokens[code] for code in chosen}, budget, phase.most_epochs)
    else:
        weights = {code: float(tokens[code]) ** phase.alpha for code in chosen}
    limited = _limited(weights, phase.floors, phase.caps)
    return {code: limited.get(code, 0.0) for code in sorted(tokens)}


def _chosen(tokens: Mapping[str, int], phase: Phase) -> list[str]:
    if phase.languages is None:
        return list(tokens)
    if isinstance(phase.languages, int):
        return sorted(tokens, key=lambda code: (-tokens[code], code))[: phase.languages]
    for code in phase.languages:
        _check_there(code, tokens, "in a phase")
    return list(phase.languages)


def _check_there(code: str, there: Mapping[str, object], what: str) -> None:
    if code not in there:
        raise InputError(f"{code!r} is {what}, but the corpus has no such training text")


def _unimax(tokens: Mapping[str, int], budget: int, most_epochs: float) -> dict[str, float]:
    """Tokens to read of each: an equal part of what is left, the smallest languages first."""
    if budget <= 0:
        raise InputError(
            "languages.most_epochs needs languages.windows: how many the run reads (steps times "
            "data.windows)"
        )
    left, weights = float(budget), {}
    for i, code in enumerate(sorted(tokens, key=lambda code: (tokens[code], code))):
        weights[code] = min(left / (len(tokens) - i), most_epochs * tokens[code])
        left -= weights[code]
    return weights


def _limited(
    weights: Mapping[str, float], floors: Mapping[str, float], caps: Mapping[str, float]
) -> Shares:
    """Shares in proportion to ``weights`` where the limits allow it."""
    for code in {**floors, **caps}:
        _check_there(code, weights, "in the floors or caps")
    weight = np.array(list(weights.values()))
    low = np.array([floors.get(code, 0.0) for code in weights])
    high = np.array([caps.get(code, 1.0) for code in weights])
    if low.sum() > 1 or high.sum() < 1 or (low > high).any():
        raise InputError(
            f"no shares hold the floors {dict(floors)} and caps {dict(caps)}: floors may make up "
            "at most 1, caps at least 1, and a cap cannot be below its floor"
        )
    found = weight / weight.sum()
    if (found < low).any() or (found > high).any():
        found = np.clip(_scale(weight, low, high) * weight, low, high)
    return dict(zip(weights, found.tolist(), strict=True))


def _scale(
    weight: npt.NDArray[np.float64], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> float:
    """What ``weight`` is multiplied by for the limited shares to make up 1, by bisection."""
    below, above = 0.0, 1 / float(weight.min())
    for _ in range(200):  # to the last bit of a float64
        middle = (below + above) / 2
        if np.clip(middle * weight, low, high).sum() < 1:
            below = middle
        else:
            above = middle
    return above


def _mix(languages: Sequence[str], shared: Shares) -> _Mix:
    wanted = np.array([shared[code] for code in languages])
    per_period = _whole(wanted)
    table = _spread(per_period)
    rank = np.empty(PERIOD, dtype=np.int64)
    for language, count in enumerate(per_period):
        rank[table == language] = np.arange(count)
    return _Mix(wanted, table, rank, per_period)


def _whole(wanted: npt.NDArray[np.float64]) -> Int64s:
    """Whole numbers that sum to PERIOD, at least 1 for each share, by largest remainder."""
    present = (wanted > 0).astype(np.int64)
    exact = wanted * (PERIOD - present.sum())
    whole = np.floor(exact).astype(np.int64)
    short = PERIOD - int(present.sum()) - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:short]] += 1
    per_period: Int64s = whole + present
    return per_period


def _spread(per_period: Int64s) -> Int64s:
    """[PERIOD] the language of each window: each one's at equal distances in what larger ones left.

    So the windows of the largest language are never more than one off, and others hardly more. They
    begin at places that lie far apart, or small languages of like size would come all at once.
    """
    table = np.empty(PERIOD, dtype=np.int64)
    free = np.arange(PERIOD)
    for turn, language in enumerate(np.argsort(-per_period, kind="stable").tolist()):
        count = int(per_period[language])
        if count:
            place = ((np.arange(count) + (turn + 1) * _GOLDEN % 1) * (len(free) / count)).astype(
                int
            )
            table[free[place]] = language
            free = np.delete(free, place)
    return table
