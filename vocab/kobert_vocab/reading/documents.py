"""The documents of a source, whatever kind of file it is, with a progress bar or without."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Protocol

from tqdm import tqdm

from kobert_vocab.languages import UNKNOWN, find_language
from kobert_vocab.reading.csv_rows import csv_rows
from kobert_vocab.reading.json_lines import json_rows
from kobert_vocab.reading.lines import read_lines
from kobert_vocab.reading.packing import kind_of
from kobert_vocab.reading.problems import Problems, Report, report_to
from kobert_vocab.reading.rows import PlacedRows, Row, Rows
from kobert_vocab.reading.sources import Source, is_saved_data_set
from kobert_vocab.reading.tables import hub_rows, parquet_rows, saved_rows
from kobert_vocab.reading.texts import blank_separated
from kobert_vocab.reading.wet import wet_rows
from kobert_vocab.reading.wikipedia import dump_rows


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document's text, a sentence or paragraph per line, with where it begins."""

    text: str
    language: str
    path: Path
    line: int
    """Of a file of lines; the row of a table, the page id of a dump, the number of a record."""
    title: str = ""
    """Of a page; the address of a web page; a row's field ``title`` or ``url``."""


def read_documents(source: Source, problems: Problems | None = None) -> Iterator[Document]:
    """The documents of one source, in order.

    With ``problems`` what is bad in the source is counted there and left out, and never raises:
    a broken line or record alone, of a broken archive all that follows.

    Raises:
        InputError: without ``problems``, it is empty, broken, in an unknown encoding, or has a line
            without text; a package to read it with is missing, or the hub cannot be reached.
        OSError: the disk cannot be read.
    """
    for document, _ in read_with_places(source, problems):
        yield document


def read_all(
    sources: Sequence[Source], task: str, problems: Problems | None = None
) -> Iterator[Document]:
    """The documents of all sources, with a progress bar as of `reading`.

    Raises:
        InputError: as `read_documents`.
    """
    with reading(sources, task) as read:
        for source in sources:
            yield from read(source, problems)


class Reader(Protocol):
    """Reads one source, with faults as `read_documents` takes them."""

    def __call__(self, source: Source, problems: Problems | None = None) -> Iterator[Document]:
        """The documents of ``source``, in order."""


@contextmanager
def reading(sources: Sequence[Source], task: str) -> Iterator[Reader]:
    """A progress bar over the (packed) bytes of ``sources``, and what reads one of them.

    They are to be read in their order; some may be left out. With a data set of the hub among them
    the whole is not known, and the bar only counts.
    """
    sizes = [source.size() for source in sources]
    before = dict(zip(sources, accumulate((size or 0 for size in sizes), initial=0), strict=False))
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with tqdm(total=total, unit="B", unit_scale=True, desc=task, disable=None) as bar:

        def read(source: Source, problems: Problems | None = None) -> Iterator[Document]:
            start = bar.n if total is None else before[source]
            for document, place in read_with_places(source, problems):
                yield document
                bar.update(start + place - bar.n)

        yield read
        if total is not None:
            bar.update(total - bar.n)


def read_with_places(
    source: Source, problems: Problems | None = None
) -> Iterator[tuple[Document, int]]:
    """As `read_documents`, each with how many (packed) bytes of the source are read by then."""
    report = report_to(problems)
    found = False
    for row, read in _rows(source, report):
        if row.text.strip():
            found = True
            document = Document(
                text=row.text,
                language=_language(source, row, report),
                path=source.path,
                line=row.number,
                title=row.title,
            )
            yield document, read
    if not found:
        kind = "file" if source.path.is_file() else "set"
        report("no text", f"{source}: no text in this {kind}")


def _language(source: Source, row: Row, report: Report) -> str:
    if not source.guessed or row.language is None:
        return source.language
    code = find_language(row.language)
    if code is None and row.language.lower() != UNKNOWN:
        report(
            "unknown language",
            f"{source}:{row.number}: {row.language[:40]!r} is not a language code this kit knows; "
            f"use ISO 639 codes, or name the language of the whole file: ko={source.path.name}",
        )
    return code or UNKNOWN


def _rows(source: Source, report: Report) -> PlacedRows:
    path = source.path
    if source.config is not None:
        yield from hub_rows(path.as_posix(), source.config, source.revision, report)
    elif is_saved_data_set(path):
        yield from saved_rows(path, source.size() or 0, report)
    elif path.suffix == ".parquet":
        yield from parquet_rows(path, report)
    else:
        with path.open("rb") as raw:
            for row in _rows_of_file(path, raw, report):
                yield row, raw.tell()


def _rows_of_file(path: Path, raw: IO[bytes], report: Report) -> Rows:
    match kind_of(path.name):
        case ".xml":
            return dump_rows(path, raw, report)
        case ".wet":
            return wet_rows(path, raw, report)
        case ".jsonl":
            return json_rows(path, read_lines(path, raw, report), report)
        case ".csv":
            return csv_rows(path, read_lines(path, raw, report), ",", report)
        case ".tsv":
            return csv_rows(path, read_lines(path, raw, report), "\t", report)
        case _:
            return blank_separated(read_lines(path, raw, report))
