"""A command run to its end, with its time and the memory of all its processes."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_EVERY = 0.2  # seconds


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command went."""

    seconds: float
    mib: int
    """The peak of all processes together; memory that they share counts once (Linux's PSS)."""
    finished: bool
    """False where it was stopped for taking too long, or failed."""


def run(command: list[str], *, log: Path, at_most: float) -> Run:
    """Run ``command``, its output in ``log``; stop it after ``at_most`` seconds."""
    start, peak = time.perf_counter(), 0
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
        while process.poll() is None and time.perf_counter() - start < at_most:
            peak = max(peak, sum(map(_kib, _tree(process.pid))))
            time.sleep(_EVERY)
        process.kill()  # does nothing to what has ended
        finished = process.wait() == 0
    seconds = round(time.perf_counter() - start, 1)
    return Run(seconds=seconds, mib=peak >> 10, finished=finished)


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += _tree(int(child))
    except OSError:  # it has just ended
        pass
    return found


def _kib(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith("Pss:")), 0)
