"""A bounded part of any amount of text: lines drawn by their place, the same ones each time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kobert_vocab.reading import find_sources, read_all

LINES_AT_MOST = 100_000  # over all files; a share to 0.3 % at worst, in seconds per vocabulary
CHARACTERS_AT_MOST = 20_000_000
LONGEST_LINE = 10_000  # characters; of a longer line this much is used
_ALL = 1 << 64


@dataclass
class Sample:
    """Lines of one file, each of them in with the same chance."""

    name: str
    language: str
    lines: list[str] = field(default_factory=list)
    characters: int = 0
    """Of ``lines``."""
    seen: int = 0
    """Lines that are not blank in the file."""
    _keys: list[int] = field(default_factory=list)
    _below: int = _ALL

    def add(self, line: str) -> None:
        """Keep a line if its place is drawn."""
        # By a hash of its place: every second line would be all questions or all answers in a
        # dialogue, and a generator would draw other lines once a file is added before this one.
        key = int.from_bytes(hashlib.blake2b(b"%d" % self.seen, digest_size=8).digest())
        self.seen += 1
        if key < self._below:
            self._keys.append(key)
            self.lines.append(line[:LONGEST_LINE])
            self.characters += len(self.lines[-1])

    def halve(self) -> None:
        """Let half of the lines go, and half of those to come."""
        self._below //= 2
        kept = [at for at, key in enumerate(self._keys) if key < self._below]
        self._keys = [self._keys[at] for at in kept]
        self.lines = [self.lines[at] for at in kept]
        self.characters = sum(map(len, self.lines))


def read_samples(texts: Sequence[str | Path]) -> list[Sample]:
    """Read what ``texts`` name, as for `find_sources`, and keep lines of each file.

    Raises:
        InputError: an input cannot be used.
    """
    samples: list[Sample] = []
    for source in find_sources(texts):
        name = source.path.name if source.path.exists() else str(source)  # one of the hub
        found = Sample(name, source.language)
        samples.append(found)
        lines, characters = _totals(samples)
        for document in read_all([source], f"reading {name}"):
            before = len(found.lines), found.characters
            for line in document.text.splitlines():
                if line.strip():
                    found.add(line.strip())
            lines += len(found.lines) - before[0]
            characters += found.characters - before[1]
            while lines > LINES_AT_MOST or characters > CHARACTERS_AT_MOST:
                _halve_largest(samples, by_lines=lines > LINES_AT_MOST)
                lines, characters = _totals(samples)
    return samples


def _totals(samples: Sequence[Sample]) -> tuple[int, int]:
    return sum(len(s.lines) for s in samples), sum(s.characters for s in samples)


def _halve_largest(samples: Sequence[Sample], *, by_lines: bool) -> None:
    max(samples, key=lambda s: len(s.lines) if by_lines else s.characters).halve()


def evenly(lines: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of ``lines``, evenly spread."""
    step = max(1, -(-len(lines) // most))
    return list(lines[::step])
