"""The sampled text by file and by language, its words counted once for all vocabularies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kobert_vocab.count import has_spaces
from kobert_vocab.normalize import nfc
from kobert_vocab.report.sample import Sample

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """The text of one file, language or all, with its words counted once for all vocabularies."""

    samples: tuple[int, ...]
    """Places of its samples."""
    spaced: tuple[int, ...]
    """Those in languages that put spaces between words."""
    lines: int
    characters: int
    bytes: int
    words: Counts
    """Places in `Text.words`."""
    counts: Counts
    running: int


@dataclass(frozen=True)
class Text:
    """The sampled text, taken apart."""

    samples: list[Sample]
    words: list[str]
    """All different words, composed."""
    all: Part
    languages: dict[str, Part]
    files: dict[str, Part]

    def counts_of(self, language: str) -> Counter[str]:
        """How often each word of a language comes."""
        part = self.languages.get(language)
        if part is None:
            return Counter()
        return Counter(
            {self.words[i]: int(n) for i, n in zip(part.words, part.counts, strict=True)}
        )


def take_apart(samples: list[Sample]) -> Text:
    """Count the words of each sample."""
    counted = [_count(found) for found in samples]
    words = sorted(set().union(*counted))
    places = {word: i for i, word in enumerate(words)}

    def part(chosen: Sequence[int]) -> Part:
        counts: Counter[str] = Counter()
        for i in chosen:
            counts.update(counted[i])
        lines = [line for i in chosen for line in samples[i].lines]
        return Part(
            samples=tuple(chosen),
            spaced=tuple(i for i in chosen if has_spaces(samples[i].language)),
            lines=len(lines),
            characters=sum(map(len, lines)),
            bytes=sum(len(line.encode()) for line in lines),
            words=np.array([places[word] for word in counts], dtype=np.int64),
            counts=np.array(list(counts.values()), dtype=np.int64),
            running=counts.total(),
        )

    by_language: dict[str, list[int]] = {}
    for i, found in enumerate(samples):
        by_language.setdefault(found.language, []).append(i)
    return Text(
        samples=samples,
        words=words,
        all=part(range(len(samples))),
        languages={language: part(chosen) for language, chosen in sorted(by_language.items())},
        files={name: part([i]) for i, name in enumerate(_file_names(samples))},
    )


def _count(found: Sample) -> Counter[str]:
    words: Counter[str] = Counter()
    if has_spaces(found.language):
        for line in found.lines:
            words.update(nfc(line).split())
    return words


def _file_names(samples: Sequence[Sample]) -> list[str]:
    """Base names only: a path says things of a machine that a report should not."""
    seen: Counter[str] = Counter()
    names = []
    for found in samples:
        seen[found.name] += 1
        n = seen[found.name]
        names.append(found.name if n == 1 else f"{found.name} ({n})")
    return names
