"""What documents are read from: a file, a folder of one data set, a data set of the hub."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kobert_vocab.reading.packing import PACKINGS

KINDS = (".txt", ".jsonl", ".csv", ".tsv", ".xml", ".wet")  # plain or packed
SUFFIXES = (*(kind + packing for kind in KINDS for packing in PACKINGS), ".parquet")
SUFFIXES_IN_WORDS = f"{', '.join(KINDS)} (plain, {', '.join(PACKINGS[1:])}) and .parquet"
SAVED_SPLIT = ("state.json", "dataset_info.json")  # what `Dataset.save_to_disk` leaves
SAVED_SPLITS = "dataset_dict.json"  # and `DatasetDict.save_to_disk`, beside a folder per split


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file or data set to read and the language its text is in."""

    path: Path
    """A file, or a folder that `datasets` saved; for a data set of the hub its name."""
    language: str
    config: str | None = None
    """Which part of a data set of the hub; None for what lies on disk."""
    revision: str | None = None
    """The commit of a data set of the hub; None for what lies on disk."""
    guessed: bool = False
    """Whether the language is a guess from the text, so that a row's own goes before it."""

    def __str__(self) -> str:
        return str(self.path) if self.config is None else f"{self.path.as_posix()}:{self.config}"

    def identity(self) -> str:
        """A hash that is another one when the source has changed, found without reading it.

        Of what lies on disk it covers the place, sizes and times of change, of a data set of the
        hub its name, config and commit; of both the language.
        """
        parts = [self.language, *(["guessed"] if self.guessed else [])]
        if self.config is not None:
            parts += [self.path.as_posix(), self.config, str(self.revision)]
        for file in self._files():
            status = file.stat()
            parts += [str(file.resolve()), str(status.st_size), str(status.st_mtime_ns)]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def size(self) -> int | None:
        """Bytes on disk; None for a data set of the hub."""
        if self.config is not None:
            return None
        return sum(file.stat().st_size for file in self._files())

    def _files(self) -> list[Path]:
        if self.config is not None:
            return []
        if self.path.is_dir():
            return sorted(file for file in self.path.rglob("*") if file.is_file())
        return [self.path]


def is_saved_data_set(path: Path) -> bool:
    """Whether ``path`` is a folder that ``save_to_disk`` of the library ``datasets`` made."""
    return (path / SAVED_SPLITS).is_file() or all((path / name).is_file() for name in SAVED_SPLIT)
