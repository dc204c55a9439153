"""A comparison as plain text for a terminal."""

import unicodedata
from collections.abc import Sequence
from itertools import groupby

from kobert_vocab.report.compare import Comparison
from kobert_vocab.report.rows import Row, rows
from kobert_vocab.report.summary import sentences

BEST, UNFAIR = " *", " ?"
LEGEND = "* best, where one is better; ? short because more than 1 % of the tokens are unknown"
GAP = "  "
LONGEST_NAME = 24  # columns of a terminal that a vocabulary's name may take


def render(comparison: Comparison) -> str:
    """Sentences, then a table with a column for each vocabulary; ``*`` marks the best."""
    names = [shortened(v.name) for v in comparison.vocabularies]
    lines = [*sentences(comparison), ""]
    made = rows(comparison)
    label_width = max(map(columns, (row.label for row in made))) + 2
    widths = [
        max(columns(name), *(columns(row.cells[i]) for row in made)) for i, name in enumerate(names)
    ]
    lines.append(" " * label_width + _line(names, [""] * len(names), widths))
    for section, group in groupby(made, key=lambda row: row.section):
        lines += [section, *(_labelled(row, label_width, widths) for row in group)]
    lines += ["", LEGEND, *used(comparison)]
    return "\n".join(map(printable, lines)) + "\n"


def used(comparison: Comparison) -> list[str]:
    """What the numbers are over, in sentences."""
    files = comparison.files
    lines, all_lines = sum(f.lines_used for f in files), sum(f.lines for f in files)
    parts = [f"Text: {lines:,} of {all_lines:,} lines, files: {len(files)}."]
    if comparison.silver_words:
        parts.append(f"Silver: {comparison.silver_words:,} words by {comparison.analyser}.")
    parts += [f"Gold: {g.exact:,} of {g.words:,} words of {g.name}." for g in comparison.gold]
    return parts


def _labelled(row: Row, label_width: int, widths: Sequence[int]) -> str:
    return padded(f"  {row.label}", label_width) + _line(row.cells, _marks(row), widths)


def _marks(row: Row) -> list[str]:
    return [BEST if b else UNFAIR if u else "" for b, u in zip(row.best, row.unfair, strict=True)]


def _line(cells: Sequence[str], marks: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(
        GAP + " " * (width - columns(cell)) + cell + (mark or " " * len(BEST))
        for cell, mark, width in zip(cells, marks, widths, strict=True)
    )


def padded(text: str, width: int) -> str:
    """``text`` with blanks behind it up to ``width`` columns."""
    return text + " " * (width - columns(text))


def shortened(name: str) -> str:
    """``name`` cut to `LONGEST_NAME` columns."""
    if columns(name) <= LONGEST_NAME:
        return name
    while columns(name) >= LONGEST_NAME:
        name = name[:-1]
    return name + "…"


def printable(line: str) -> str:
    """``line`` without what moves the cursor of a terminal; a file's name may hold that."""
    return "".join(char if char.isprintable() else "?" for char in line).rstrip()


def columns(text: str) -> int:
    """Columns that ``text`` takes: two for Hangul and Hanja, none for marks that join."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
