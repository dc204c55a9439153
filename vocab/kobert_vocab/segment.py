"""Where the morphemes of a Korean word begin, as cuts in the word as it is written.

A cut stands where a morpheme begins only if everything before it has ended: 갔 is 가 + 았 in one
syllable and stays whole, 배웠습니다 is cut before 습니다 alone. So no letter is ever restored or
lost, and the vocabulary needs no analyser when it is used.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tqdm import tqdm

from kobert_vocab.errors import InputError
from kobert_vocab.suffixes import suffix_cuts

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

BOUNDARIES = ("all", "je", "none")
ANALYSERS = ("kiwi", "rules")
# With more types than this, those seen once are not cut, which Kiwi would take an hour over in
# 10 GB of text (it cuts about 20,000 words a second on two cores).
TYPES_TO_CUT_ALL = 500_000
BATCH = 1000

_PARTICLES_AND_ENDINGS = ("J", "E", "VCP", "XSV", "XSA")  # Sejong tags

Cuts = Callable[[Sequence[str]], Iterator[list[int]]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Analyser:
    """What cuts Korean words, with what a vocabulary records of it."""

    name: str
    version: str
    cut: Cuts


def find_analyser(name: str | None, boundaries: str) -> Analyser:
    """The analyser called ``name``; by default ``kiwi`` where it is installed, else ``rules``.

    Raises:
        InputError: there is no such analyser, it is not installed, or no such choice of boundaries.
    """
    if boundaries not in BOUNDARIES:
        raise InputError(f"boundaries {boundaries!r}: choose one of {', '.join(BOUNDARIES)}")
    if name not in (None, *ANALYSERS):
        raise InputError(f"analyser {name!r}: choose one of {', '.join(ANALYSERS)}")
    kiwi = _kiwi_version()
    if name == "kiwi" and kiwi is None:
        raise InputError(
            "analyser kiwi is not installed: pip install 'kobert-kit[korean]', or choose rules"
        )
    if name == "rules" or kiwi is None:
        return Analyser(name="rules", version="1", cut=_rules)
    tags = _PARTICLES_AND_ENDINGS if boundaries == "je" else ("",)
    return Analyser(name="kiwi", version=kiwi, cut=lambda words: _kiwi(words, tags))


def cut_words(words: Counter[str], analyser: Analyser) -> dict[str, list[int]]:
    """The cuts of each word with Hangul, perhaps none; words too rare to look at are left out."""
    least = 2 if len(words) > TYPES_TO_CUT_ALL else 1
    spans = {
        word: span
        for word, count in words.items()
        if count >= least and (span := _letters(word)) is not None
    }
    cores = sorted({word[start:end] for word, (start, end) in spans.items()})
    log.info("analyser: %s %s, %d words", analyser.name, analyser.version, len(cores))
    cuts = dict(zip(cores, _with_progress(cores, analyser), strict=True))
    return {
        word: [start + cut for cut in cuts[word[start:end]]] for word, (start, end) in spans.items()
    }


def has_hangul(word: str) -> bool:
    """Whether a syllable of Hangul is in ``word``."""
    return any(map(_is_syllable, word))


def _letters(word: str) -> tuple[int, int] | None:
    """Where ``word`` begins and ends without the punctuation around it, if Hangul is in it."""
    if not has_hangul(word):
        return None
    inside = [i for i, char in enumerate(word) if char.isalnum()]
    return inside[0], inside[-1] + 1


def _with_progress(cores: list[str], analyser: Analyser) -> Iterator[list[int]]:
    with tqdm(total=len(cores), desc="cutting", unit="word", disable=None) as bar:
        for start in range(0, len(cores), BATCH):
            batch = cores[start : start + BATCH]
            for word, cuts in zip(batch, analyser.cut(batch), strict=True):
                yield [cut for cut in cuts if _may_cut(word, cut)]
            bar.update(len(batch))


def _may_cut(word: str, cut: int) -> bool:
    # Never inside a number, a Latin word, an address, an emoji or a run of jamo such as ㅋㅋㅋ.
    return 0 < cut < len(word) and (_is_syllable(word[cut - 1]) or _is_syllable(word[cut]))


def _is_syllable(char: str) -> bool:
    return "가" <= char <= "힣"


def _rules(words: Sequence[str]) -> Iterator[list[int]]:
    return map(suffix_cuts, words)


def _kiwi_version() -> str | None:
    try:
        return version("kiwipiepy")
    except PackageNotFoundError:
        return None


@cache
def _kiwi_model() -> "Kiwi":
    from kiwipiepy import Kiwi  # here: its model takes 1.4 s and 0.5 GB

    return Kiwi()


def _kiwi(words: Sequence[str], tags: tuple[str, ...]) -> Iterator[list[int]]:
    """The cuts before the morphemes whose tag begins with one of ``tags``."""
    for morphemes in _kiwi_model().tokenize(words):
        cuts, end = [], 0
        for morpheme in morphemes:
            if morpheme.start >= end > 0 and morpheme.tag.startswith(tags):
                cuts.append(morpheme.start)
            end = max(end, morpheme.start + morpheme.len)
        yield sorted(set(cuts))  # the 이 dropped from 정사라니 begins where 라니 does
