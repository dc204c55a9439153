"""An inspection as plain text for a terminal."""

from collections.abc import Mapping, Sequence

from kobert_kit.corpus.cleaning_steps import cleaning_rows
from kobert_kit.corpus.inspection import (
    Inspection,
    LanguageFigures,
    SourceFigures,
    summed,
    together,
)
from kobert_vocab.report.names import language_name
from kobert_vocab.report.table import columns, padded, printable, shortened

SHOWN = 20  # rows of a table; what fits a terminal beside the two other tables
FAULTS = 5  # messages; all are in the JSON and on the page
GAP = "  "


def render(inspection: Inspection) -> str:
    """Tables of languages, of sources, and of what cleaning took; the first faults."""
    blocks = [_languages(inspection), _sources(inspection.sources), _cleaning(inspection)]
    messages = [line for source in inspection.sources for line in source.messages]
    if messages:
        blocks.append("\n".join(["first faults", *messages[:FAULTS]]))
    lines = "\n\n".join(blocks).split("\n")
    return "\n".join(map(printable, lines)) + "\n"


def decimals(value: float | None) -> str:
    """With two digits after the point; – of what there is not."""
    return "–" if value is None else f"{value:.2f}"


def listed(counts: Mapping[str, int]) -> str:
    """``3 short, 1 near copy``, the most first."""
    return ", ".join(f"{count:,} {name}" for name, count in summed([counts]).items())


def _languages(inspection: Inspection) -> str:
    def cells(row: LanguageFigures, label: str) -> list[str]:
        return [
            label,
            f"{row.kept:,}",
            f"{row.sentences:,}",
            f"{row.tokens:,}",
            f"{row.bytes:,}",
            f"{row.share:.2%}",
            decimals(row.fertility),
            decimals(row.bytes_per_token),
            f"{row.held_out:,}",
            f"{sum(row.dropped.values()):,}",
        ]

    rows = [cells(row, _named(row.language)) for row in inspection.languages[:SHOWN]]
    rest = inspection.languages[SHOWN:]
    if rest:
        rows.append(cells(together("", rest), f"{len(rest):,} more"))
    rows.append(cells(inspection.total, "all"))
    head = ["language", "documents", "sentences", "tokens", "bytes", "share"]
    head += ["tokens/word", "bytes/token", "held out", "dropped"]
    return _table(head, rows)


def _named(code: str) -> str:
    return f"{shortened(language_name(code))} {code}"


def _sources(sources: Sequence[SourceFigures]) -> str:
    def cells(name: str, rows: Sequence[SourceFigures]) -> list[str]:
        return [
            name,
            f"{sum(row.read for row in rows):,}",
            f"{sum(row.kept for row in rows):,}",
            listed(summed(row.problems for row in rows)),
            listed(summed(row.dropped for row in rows)),
        ]

    rows = [cells(shortened(row.name), [row]) for row in sources[:SHOWN]]
    rest = sources[SHOWN:]
    if rest:
        rows.append(cells(f"{len(rest):,} more", rest))
    return _table(["source", "read", "kept", "faults", "dropped"], rows, left=(3, 4))


def _cleaning(inspection: Inspection) -> str:
    rows = [
        [
            row.step,
            f"{row.taken:,}",
            row.unit,
            row.what,
            f"{language_name(row.most.language)}, {row.most_taken:,}",
        ]
        for row in cleaning_rows(inspection)
    ]
    if not rows:
        return "Cleaning took nothing."
    return _table(["cleaning", "taken", "of", "what", "most in"], rows, left=(2, 3, 4))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    """The first column and those of ``left`` begin at one place; the others, numbers, end there."""
    widths = [max(columns(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return GAP.join(
            padded(cell, width) if i == 0 or i in left else " " * (width - columns(cell)) + cell
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )

    return "\n".join(map(line, [head, *rows]))
