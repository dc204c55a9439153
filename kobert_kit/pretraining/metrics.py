"""``metrics.jsonl``: a row for each step and each evaluation of a run."""

import json
import math
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
        step: rows of later ones are forgotten: they will be done, and logged, again.
    """

    def __init__(self, file: IO[str] | None, track: Callable[[Row], None], step: int) -> None:
        self._file, self._track = file, track
        self._evaluated = -1 if file is None else _drop_after(file, step)

    def write(self, row: Row) -> None:
        """Add a row."""
        if self._file is not None:
            # JSON has no word for what is not a number.
            plain = {name: None if _is_no_number(value) else value for name, value in row.items()}
            self._file.write(json.dumps(plain) + "\n")
            self._file.flush()
            self._track(row)
            if "evaluation" in row:
                self._evaluated = row["step"]

    def has_evaluation(self, step: int) -> bool:
        """Whether there is one of that step; only the process that writes knows."""
        return self._evaluated == step

    def drop_after(self, step: int) -> None:
        """Forget rows of later steps: they will be done, and logged, again."""
        if self._file is not None:
            self._evaluated = _drop_after(self._file, step)


def _is_no_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


@contextmanager
def open_metrics(config: PretrainConfig, step: int, *, writes: bool) -> Iterator[Metrics]:
    """The metrics of a run that goes on after ``step``, in the process that ``writes`` them."""
    if not writes:
        yield Metrics(None, lambda row: None, step)
        return
    with (
        (config.out / METRICS).open("a+", encoding="utf-8") as file,
        tracking(config, step) as track,
    ):
        yield Metrics(file, track, step)


def _drop_after(file: IO[str], step: int) -> int:
    """The step of the last evaluation that is left, -1 if there is none."""
    # Steps only rise, so what is to go is the end; to cut it off is safe at any moment.
    file.seek(0)
    kept, evaluated = 0, -1
    for row in iter(file.readline, ""):
        if not row.endswith("\n") or (known := json.loads(row))["step"] > step:
            break
        kept = file.tell()
        evaluated = known["step"] if "evaluation" in known else evaluated
    file.truncate(kept)
    file.seek(kept)
    return evaluated
