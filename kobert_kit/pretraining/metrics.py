"""``metrics.jsonl``: a row for each step and each evaluation of a run."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

METRICS = "metrics.jsonl"


class Metrics:
    """The rows of a run, written as they come. A row has its ``step``.

    Args:
        file: to write to; None in processes that do not write.
    """

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row."""
        if self._file is not None:
            # JSON has no word for what is not a number.
            plain = {name: None if value != value else value for name, value in row.items()}
            self._file.write(json.dumps(plain) + "\n")
            self._file.flush()

    def drop_after(self, step: int) -> None:
        """Forget rows of later steps: they will be done, and logged, again."""
        if self._file is None:
            return
        self._file.seek(0)
        rows = self._file.readlines()
        kept = [row for row in rows if row.endswith("\n") and json.loads(row)["step"] <= step]
        self._file.seek(0)
        self._file.truncate()
        self._file.writelines(kept)
        self._file.flush()


@contextmanager
def open_metrics(run: Path, *, writes: bool) -> Iterator[Metrics]:
    """The metrics of a run's folder, in the process that ``writes`` them."""
    if not writes:
        yield Metrics(None)
        return
    with (run / METRICS).open("a+", encoding="utf-8") as file:
        yield Metrics(file)
