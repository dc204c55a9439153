"""Word counts on disk: sorted ``word <tab> count`` files, read as a stream and merged.

Sorted by code points, two files merge in one pass, and a text of any size needs no more memory
than a line.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from zlib import crc32

import numpy as np

Row = tuple[str, int]
_BATCH = 100_000  # words whose characters are counted at a time
MANY = 100  # words seen so often or more are one class in `LanguageCounts.types_by_count`


def write_counts(path: Path, rows: Iterable[Row]) -> None:
    """Write sorted rows."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\t{count}\n" for word, count in rows)


def read_counts(path: Path) -> Iterator[Row]:
    """The rows of a file, in their order."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            word, count = line.split("\t")
            yield word, int(count)


def merge(paths: Sequence[Path]) -> Iterator[Row]:
    """The rows of all files, sorted, the counts of a word added up."""
    streams = [read_counts(path) for path in paths]
    if len(streams) == 1:
        yield from streams[0]
        return
    for word, rows in groupby(heapq.merge(*streams), key=itemgetter(0)):
        yield word, sum(count for _, count in rows)


@dataclass(frozen=True, kw_only=True)
class LanguageCounts:
    """What is known of the words of a language without reading them again."""

    types: int
    """Different words."""
    words: int
    """Words, each as often as it occurs."""
    characters: int
    """Characters of the words, a space before most included."""
    personal: int
    """Words left out because they held personal data."""
    types_by_count: list[int]
    """How many words occur once, twice and so on; the last number is of those seen `MANY` times
    and more."""
    alphabet: dict[str, int]
    """How often each character occurs."""

    @classmethod
    def read(cls, path: Path) -> "LanguageCounts":
        """Read what `summarize` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def least_count(self, most_types: int) -> int:
        """The least count that leaves at most ``most_types`` different words (at most `MANY`)."""
        left = self.types
        for count, types in enumerate(self.types_by_count, start=1):
            if left <= most_types:
                return count
            left -= types
        return MANY

    def types_from(self, count: int) -> int:
        """How many different words occur ``count`` times and more (at most `MANY`)."""
        return sum(self.types_by_count[count - 1 :])


def summarize(rows: Iterable[Row], out: Path, *, personal: str) -> Iterator[Row]:
    """Pass ``rows`` on but for ``personal``, and write what `LanguageCounts` holds to ``out``."""
    rows = iter(rows)
    types = words = characters = left_out = 0
    by_count = [0] * MANY
    codes = np.zeros(0x110000, dtype=np.int64)
    while batch := list(islice(rows, _BATCH)):
        if batch[0][0] == personal:  # the first of all rows
            left_out = batch.pop(0)[1]
        for word, count in batch:
            types += 1
            words += count
            characters += len(word) * count
            by_count[min(count, MANY) - 1] += 1
        codes += _count_codes(batch)
        yield from batch
    alphabet = {chr(code): int(codes[code]) for code in np.flatnonzero(codes)}
    counts = LanguageCounts(
        types=types,
        words=words,
        characters=characters,
        personal=left_out,
        types_by_count=by_count,
        alphabet=alphabet,
    )
    out.write_text(json.dumps(asdict(counts), ensure_ascii=True), encoding="utf-8")


def _count_codes(rows: Sequence[Row]) -> "np.typing.NDArray[np.int64]":
    text = np.frombuffer("".join(word for word, _ in rows).encode("utf-32-le"), dtype=np.uint32)
    lengths = np.fromiter((len(word) for word, _ in rows), dtype=np.int64, count=len(rows))
    counts = np.fromiter((count for _, count in rows), dtype=np.int64, count=len(rows))
    # As floats these are exact below 2**53.
    totals = np.bincount(text, weights=np.repeat(counts, lengths), minlength=0x110000)
    return totals.astype(np.int64)


def most_frequent(rows: Iterable[Row], counts: LanguageCounts, most_types: int) -> Iterator[Row]:
    """The ``most_types`` most frequent rows; of those that are equally frequent at the end, some.

    Which is decided by a hash of the word, so that it is the same words in any order. About as many
    as asked are given.
    """
    least = counts.least_count(most_types)
    rarer = counts.types_by_count[least - 2] if least > 1 else 0
    room = most_types - counts.types_from(least)
    for word, count in rows:
        some = count == least - 1 and crc32(word.encode()) * rarer < room << 32
        if count >= least or some:
            yield word, count
