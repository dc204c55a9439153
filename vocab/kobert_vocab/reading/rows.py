"""One text as a file has it, with what the file itself says of it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kobert_vocab.reading.problems import Report

TEXT = "text"
LANGUAGES, TITLES = ("language", "lang"), ("title", "url")
LONGEST_TITLE = 200  # characters; a title is for listings


class Row(NamedTuple):
    """A text and its place; `kobert_vocab.reading.documents` makes a document of it."""

    number: int
    """The line where it begins, or the row, page id or record number."""
    text: str
    language: str | None = None
    """A code, not yet looked up; None where the file does not say."""
    title: str = ""


Rows = Iterator[Row]
PlacedRows = Iterator[tuple[Row, int]]
"""Each row with how many bytes of its source have been read by then."""


def row_of(
    where: str, number: int, text: str, fields: Mapping[str, object], report: Report
) -> Row | None:
    """The row of ``text`` and the other ``fields``; None if half a character is in the text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # "\ud800" in JSON is no character
        report("broken encoding", f"{where}: half a surrogate pair in the text")
        return None
    return Row(number, text, _first(fields, LANGUAGES) or None, short(_first(fields, TITLES)))


def _first(fields: Mapping[str, object], names: tuple[str, ...]) -> str:
    found = (fields.get(name) for name in names)
    return next((value for value in found if isinstance(value, str) and value), "")


def short(title: str) -> str:
    """``title`` on one line of at most `LONGEST_TITLE` characters."""
    line = " ".join(title[: 2 * LONGEST_TITLE].split())[:LONGEST_TITLE]
    return line.encode("utf-8", "replace").decode()
