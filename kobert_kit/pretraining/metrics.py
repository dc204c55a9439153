"""``metrics.jsonl``: a row for each step and each evaluation of a run."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from kobert_kit.pretraining.config import PretrainConfig
from kobert_kit.pretraining.trackers import Row, tracking

METRICS = "metrics.jsonl"


class Metrics:
    """The rows of a run, written as they come. A row has its ``step``.

    Args:
        file: to write to; None in processes that do not write.
        track: gives rows to the trackers.
    """

    def __init__(self, file: IO[str] | None, track: Callable[[Row], None]) -> None:
        self._file, self._track = file, track

    def write(self, row: Row) -> None:
        """Add a row."""
        if self._file is not None:
            # JSON has no word for what is not a number.
            plain = {name: None if value != value else value for name, value in row.items()}
            self._file.write(json.dumps(plain) + "\n")
            self._file.flush()
            self._track(row)

    def drop_after(self, step: int) -> None:
        """Forget rows of later steps: they will be done, and logged, again."""
        if self._file is not None:
            _drop_after(self._file, step)


@contextmanager
def open_metrics(config: PretrainConfig, step: int, *, writes: bool) -> Iterator[Metrics]:
    """The metrics of a run that goes on after ``step``, in the process that ``writes`` them."""
    if not writes:
        yield Metrics(None, lambda row: None)
        return
    with (config.out / METRICS).open("a+", encoding="utf-8") as file:
        _drop_after(file, step)
        with tracking(config, step) as track:
            yield Metrics(file, track)


def _drop_after(file: IO[str], step: int) -> None:
    # Steps only rise, so what is to go is the end; to cut it off is safe at any moment.
    file.seek(0)
    kept = 0
    for row in iter(file.readline, ""):
        if not row.endswith("\n") or json.loads(row)["step"] > step:
            break
        kept = file.tell()
    file.truncate(kept)
    file.seek(kept)
