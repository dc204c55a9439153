"""Where the morphemes of a Korean word begin, as cuts in the word as it is written.

A cut stands where a morpheme begins only if everything before it has ended: 갔 is 가 + 았 in one
syllable and stays whole, 배웠습니다 is cut before 습니다 alone. So no letter is ever restored or
lost, and the vocabulary needs no analyser when it is used.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from kobert_vocab.errors import InputError
from kobert_vocab.hangul import is_syllable
from kobert_vocab.suffixes import suffix_cuts
from kobert_vocab.word_counts import Row, read_counts

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

BOUNDARIES = ("all", "je", "none")
ANALYSERS = ("kiwi", "rules")
BATCH = 1000

_PARTICLES_AND_ENDINGS = ("J", "E", "VCP", "XSV", "XSA")  # Sejong tags

Cuts = Callable[[Sequence[str]], Iterator[list[int]]]


@dataclass(frozen=True, kw_only=True)
class Analyser:
    """What cuts Korean words, with what a vocabulary records of it."""

    name: str
    version: str
    boundaries: str
    cut: Cuts

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


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
        return Analyser(name="rules", version="1", boundaries=boundaries, cut=_rules)
    tags = _PARTICLES_AND_ENDINGS if boundaries == "je" else ("",)
    return Analyser(
        name="kiwi", version=kiwi, boundaries=boundaries, cut=lambda words: _kiwi(words, tags)
    )


def cut_words(words: Iterable[str], analyser: Analyser) -> dict[str, list[int]]:
    """The cuts of each word with Hangul, perhaps none; other words are left out."""
    words = list(words)
    letters = sorted({word[slice(*span)] for word in words if (span := letter_span(word))})
    cuts = dict(zip(letters, _with_progress(letters, analyser), strict=True))
    found = ((word, cuts_of_word(word, cuts)) for word in words)
    return {word: places for word, places in found if places is not None}


def write_cuts(
    counts: str, out: str, *, analyser: str, boundaries: str, least: int, known: Sequence[str]
) -> None:
    """Cut the Korean words that occur ``least`` times and more; runs in a process of its own.

    Args:
        counts: a sorted file of word counts.
        out: file of ``letters <tab> cuts`` lines, the cuts separated by commas, sorted. Letters
            are a word without the punctuation around it.
        analyser: as for `find_analyser`.
        boundaries: as for `find_analyser`.
        least: rarer words are left out.
        known: files as this writes, of the same analyser and boundaries: what is in them is taken
            from there.
    """
    found = find_analyser(analyser, boundaries)
    letters = set(_letters_of(read_counts(Path(counts)), least))
    cuts: dict[str, str] = {}
    for path in known:
        cuts.update((word, row) for word, row in _read_rows(Path(path)) if word in letters)
    new = sorted(letters - cuts.keys())
    for word, places in zip(new, _with_progress(new, found), strict=True):
        cuts[word] = ",".join(map(str, places))
    with Path(out).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\t{cuts[word]}\n" for word in sorted(cuts))


def read_cuts(path: Path) -> dict[str, list[int]]:
    """The cuts of each word's letters, as `write_cuts` wrote them."""
    return {
        word: [int(cut) for cut in places.split(",") if cut] for word, places in _read_rows(path)
    }


def cuts_of_word(word: str, cuts: Mapping[str, list[int]]) -> list[int] | None:
    """Where to cut ``word``; None if it is not known, or has no Hangul."""
    span = letter_span(word)
    if span is None:
        return None
    start, end = span
    found = cuts.get(word[start:end])
    return None if found is None else [start + cut for cut in found]


def _letters_of(rows: Iterable[Row], least: int) -> Iterator[str]:
    for word, count in rows:
        if count >= least and (span := letter_span(word)):
            yield word[slice(*span)]


def _read_rows(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            word, _, places = line.removesuffix("\n").partition("\t")
            yield word, places


def has_hangul(word: str) -> bool:
    """Whether a syllable of Hangul is in ``word``."""
    return any(map(is_syllable, word))


def letter_span(word: str) -> tuple[int, int] | None:
    """Where ``word`` begins and ends without the punctuation around it, if Hangul is in it."""
    if not has_hangul(word):
        return None
    inside = [i for i, char in enumerate(word) if char.isalnum()]
    return inside[0], inside[-1] + 1


def _with_progress(words: Sequence[str], analyser: Analyser) -> Iterator[list[int]]:
    rest = iter(words)
    with tqdm(total=len(words), desc="cutting", unit="word", disable=None) as bar:
        while batch := list(islice(rest, BATCH)):
            for word, cuts in zip(batch, analyser.cut(batch), strict=True):
                yield [cut for cut in cuts if _may_cut(word, cut)]
            bar.update(len(batch))


def _may_cut(word: str, cut: int) -> bool:
    # Never inside a number, a Latin word, an address, an emoji or a run of jamo such as ㅋㅋㅋ.
    return 0 < cut < len(word) and (is_syllable(word[cut - 1]) or is_syllable(word[cut]))


def _rules(words: Sequence[str]) -> Iterator[list[int]]:
    return map(suffix_cuts, words)


def _kiwi_version() -> str | None:
    """The versions of the analyser and of its model: either changes the cuts."""
    try:
        return f"{version('kiwipiepy')} (model {version('kiwipiepy_model')})"
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
