"""The steps of a build, each a folder of files with their hashes, so that none is done twice.

A step's folder is named by its name and by a hash of all that shapes it: the options and the
hashes of the steps before it. A build that was interrupted, or that runs again with an option
changed further down the road, finds the folders of the steps that are still right and goes on
behind them.
"""

import hashlib
import importlib.metadata
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder

RECORD = "step.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that is done."""

    folder: Path
    hash: str
    """SHA-256 over its files, for the steps behind it."""
    before: bool
    """Whether an earlier run did it."""


class Steps:
    """The steps done in a work folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        """Seconds that each kind of step took, whenever it was done."""

    def run(
        self,
        name: str,
        shaped_by: Mapping[str, object],
        make: Callable[[Path], None],
        *,
        one_of_many: bool = False,
    ) -> Step:
        """The step called ``name``: as it was done before, if its files are whole, else made now.

        Args:
            name: what is done, as part of a folder's name.
            shaped_by: all that the files depend on, as JSON takes it.
            make: writes the files into the folder it is given.
            one_of_many: it is not worth a line of its own in the log.
        """
        shaped_by = {"versions": _versions(), **shaped_by}
        folder = self._place(name, shaped_by)
        record = _read(folder)
        before = record is not None
        if record is None:
            record = _make(folder, shaped_by, make)
        self.seconds[name] = round(self.seconds.get(name, 0.0) + record["seconds"], 2)
        if not one_of_many:
            log.info("%s: %s", name, "done before" if before else f"{record['seconds']:.1f} s")
        return _step(folder, record, before)

    def existing(self, name: str, shaped_by: Mapping[str, object]) -> Step | None:
        """As `run`, but None if the step was not done before or a file of it has changed."""
        folder = self._place(name, {"versions": _versions(), **shaped_by})
        record = _read(folder)
        return None if record is None else _step(folder, record, before=True)

    def _place(self, name: str, shaped_by: Mapping[str, object]) -> Path:
        content = json.dumps(shaped_by, sort_keys=True)
        key = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / f"{name}-{key[:16]}"  # 64 bits are enough to tell them apart

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time what leaves nothing here, and log it when it is done."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        log.info("%s: %.1f s", name, self.seconds[name])

    def done(self, name: str, shaped_by: Mapping[str, object]) -> Iterator[Step]:
        """The steps called ``name`` that lie here whole and were shaped by this among others."""
        for folder in sorted(self.folder.glob(f"{name}-*")):
            record = _read(folder)
            if record and record["shaped_by"].items() >= shaped_by.items():
                yield _step(folder, record, before=True)


@contextmanager
def steps_of(out: Path, work: str | Path | None) -> Iterator[Steps]:
    """The steps behind ``out``, in the folder ``work`` or a hidden one that goes with the block.

    The steps that are done when the block fails are kept for the next try.

    Raises:
        InputError: ``work`` cannot be used.
    """
    if work and Path(work).exists() and not Path(work).is_dir():
        raise InputError(f"{work}: not a folder; choose another --work")
    if work and Path(work).resolve() == out.resolve():
        raise InputError(f"{work}: both --out and --work; the steps need a folder of their own")
    folder = Path(work) if work else out.parent / f".{out.name}.steps"
    try:
        yield Steps(folder)
    except BaseException:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        elif folder.is_dir() and not work:  # else the user has named the folder
            log.info("finished steps are kept in %s and used by the next try", folder)
        raise
    if not work:
        shutil.rmtree(folder)


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("kobert-kit", "sentencepiece")}


def _make(
    folder: Path, shaped_by: Mapping[str, object], make: Callable[[Path], None]
) -> dict[str, Any]:
    if folder.exists():
        log.info("%s: damaged, made again", folder.name)
        shutil.rmtree(folder)
    start = time.perf_counter()
    with new_folder(folder) as partial:
        make(partial)
        record = {
            "shaped_by": shaped_by,
            "files": _hashes(partial),
            "seconds": round(time.perf_counter() - start, 2),
        }
        content = json.dumps(record, ensure_ascii=True, indent=2) + "\n"
        (partial / RECORD).write_text(content, encoding="utf-8")
    return record


def _read(folder: Path) -> dict[str, Any] | None:
    """The record of the step in ``folder``; None if there is none or a file has changed."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record if record["files"] == _hashes(folder) else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return None


def _step(folder: Path, record: Mapping[str, Any], before: bool) -> Step:
    content = json.dumps(record["files"], sort_keys=True)
    return Step(folder=folder, hash=hashlib.sha256(content.encode()).hexdigest(), before=before)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.name != RECORD)
    return {path.name: _file_hash(path) for path in files}


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
