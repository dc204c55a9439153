"""Rows of a ``.jsonl``: an object per line, with a string ``text``."""

import json
from collections.abc import Iterator
from pathlib import Path

from kobert_vocab.reading.problems import Report
from kobert_vocab.reading.rows import TEXT, Rows, row_of


def json_rows(path: Path, lines: Iterator[tuple[int, str]], report: Report) -> Rows:
    """A row for each line; blank ones are skipped."""
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of 4,301 digits is a ValueError
            report("not JSON", f"{where}: not JSON ({error})")
            continue
        if not isinstance(fields, dict) or not isinstance(fields.get(TEXT), str):
            found = ", ".join(map(repr, fields)) if isinstance(fields, dict) else _kind(fields)
            report("no text field", f'{where}: no field "text" with a string; found {found[:200]}')
            continue
        row = row_of(where, number, fields[TEXT], fields, report)
        if row is not None:
            yield row


def _kind(value: object) -> str:
    return type(value).__name__
