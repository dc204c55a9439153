"""Rows of a ``.csv`` or ``.tsv``: a header with a column ``text``, quoted as spreadsheets do."""

import csv
from collections.abc import Iterator
from pathlib import Path

from kobert_vocab.reading.lines import read_lines
from kobert_vocab.reading.problems import Problems, Report
from kobert_vocab.reading.rows import TEXT, Rows, row_of

# Characters. The csv module holds a field in 4 bytes a character and doubles that as it grows, so
# 64 MiB, and for a moment 128.
LONGEST_FIELD = 16 << 20
DELIMITERS = {".csv": ",", ".tsv": "\t"}
ADVICE = 'a field with quotes or line ends in it stands in "quotes", those within it doubled'


def csv_rows(path: Path, lines: Iterator[tuple[int, str]], delimiter: str, report: Report) -> Rows:
    """A row for each record after the header, numbered by its first line."""
    fed = _Lines(lines)
    reader = csv.reader(fed, delimiter=delimiter, strict=True)
    names = _header(path, reader, fed, report)
    if names is None:
        return
    while True:
        fed.begin()
        try:
            values = _next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            report("not CSV", f"{path}:{fed.first}: not CSV ({error}); {ADVICE}")
            continue
        if not values or fed.has_gap:  # a line within was reported and left out
            continue
        fields = dict(zip(names, values, strict=False))
        if TEXT not in fields:
            report("no text field", f"{path}:{fed.first}: only {len(values)} fields, none {TEXT!r}")
            continue
        row = row_of(f"{path}:{fed.first}", fed.first, fields[TEXT], fields, report)
        if row is not None:
            yield row


def has_text_column(path: Path, delimiter: str) -> bool:
    """Whether the header of a table names a column ``text``."""
    with path.open("rb") as raw:
        lines = read_lines(path, raw, Problems().add)  # faults are for whoever reads the text
        _, header = next(lines, (1, ""))
    return TEXT in next(csv.reader([header], delimiter=delimiter), [])


def _header(
    path: Path, reader: Iterator[list[str]], fed: "_Lines", report: Report
) -> list[str] | None:
    try:
        names = _next(reader)
    except StopIteration:
        return None  # an empty file, which whoever reads it says
    except csv.Error as error:
        report("not CSV", f"{path}:1: not CSV ({error}); {ADVICE}")
        return None
    if TEXT not in names:
        found = ", ".join(map(repr, names))[:200]
        report(
            "no text field",
            f"{path}:{fed.first}: no column {TEXT!r} in the header; found {found}; "
            f"rename the one with the text to {TEXT!r}",
        )
        return None
    return names


def _next(reader: Iterator[list[str]]) -> list[str]:
    # The limit is one for the whole process, so it is ours only while we read.
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(before)


class _Lines:
    """Lines with their ends, as `csv` wants them, that know where a record began."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._number = 0
        self._fresh = True
        self.first = 1
        self.has_gap = False

    def begin(self) -> None:
        self._fresh, self.has_gap = True, False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        if self._fresh:
            self.first, self._fresh = number, False
        elif number != self._number + 1:
            self.has_gap = True
        self._number = number
        return line + "\n"
