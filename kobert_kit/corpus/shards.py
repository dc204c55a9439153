"""A corpus is a folder: per language flat memory-mapped token ids, and one manifest.

``<language>/tokens.bin`` holds the ids of all sentences end to end; ``sentences.bin`` where each
sentence begins in it, ``documents.bin`` where each document begins among the sentences (both with
one more entry for the end). For each document ``hashes.bin`` has the fingerprint of its text,
``sources.bin`` the number of its source in the manifest and ``lines.bin`` its place there. A corpus
whose morphemes were analysed has a bit for each token in ``morphemes.bin``: whether one begins
there. All numbers are little-endian; the manifest names the width of a token.

A document is held out of training when its hash is below the language's threshold. So the split is
a function of the text alone, and all copies of a document fall on the same side.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kobert_vocab.errors import InputError

FORMAT = 2
MANIFEST = "manifest.json"
SMALL = 1 << 20  # documents of a language whose held-out share is counted exactly

Ints = npt.NDArray[np.integer]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LanguageCounts:
    """What one language's shard holds."""

    documents: int
    sentences: int
    tokens: int
    bytes: int
    """UTF-8 bytes of the text the tokens stand for."""
    held_out_below: int
    """Documents with a smaller hash are kept for evaluation."""


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """What became of the documents of one source that are in one language."""

    source: int
    """Its number among the sources."""
    language: str
    read: int
    """Documents."""
    read_bytes: int
    kept: int
    """Documents."""
    sentences: int
    tokens: int
    words: int
    """Between blanks, of what was kept; so are sentences, tokens and bytes."""
    bytes: int
    dropped: Mapping[str, int]
    """Documents by reason: short, symbols, language, repetitive, exact copy, near copy, ..."""
    changed: Mapping[str, int]
    """Characters, lines or numbers that each step of cleaning took."""

    def __add__(self, other: "SourceCounts") -> "SourceCounts":
        """Both together; they are of one source and language."""
        names = ("read", "read_bytes", "kept", "sentences", "tokens", "words", "bytes")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return replace(
            self,
            **sums,
            dropped=dict(Counter(self.dropped) + Counter(other.dropped)),
            changed=dict(Counter(self.changed) + Counter(other.changed)),
        )


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file or data set that was read."""

    name: str
    problems: Mapping[str, int]
    """Faults by kind; what they spoilt is not in the corpus."""
    messages: tuple[str, ...]
    """The first of them."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """``manifest.json``."""

    vocabulary: str
    """Fingerprint of the vocabulary that gave the ids."""
    vocabulary_size: int
    token_dtype: str
    morphemes: bool
    """Whether it is known where morphemes begin."""
    languages: dict[str, LanguageCounts]
    sources: tuple[SourceFile, ...]
    counts: tuple[SourceCounts, ...]
    examples: Mapping[str, tuple[str, ...]]
    """Beginnings of documents that were dropped, by reason."""
    options: Mapping[str, object]
    fingerprint: str
    """SHA-256 over every shard file, by name."""
    format: int = FORMAT


class Shard:
    """One language's documents, memory-mapped."""

    def __init__(self, folder: Path, language: str, manifest: Manifest) -> None:
        self.language = language
        self.counts = manifest.languages[language]
        tokens, documents = self.counts.tokens, self.counts.documents
        self.tokens: Ints = _mapped(folder / "tokens.bin", manifest.token_dtype, tokens)
        self.sentences: Int64s = _mapped(folder / "sentences.bin", "<i8", self.counts.sentences + 1)
        self.documents: Int64s = _mapped(folder / "documents.bin", "<i8", documents + 1)
        self.hashes: npt.NDArray[np.uint64] = _mapped(folder / "hashes.bin", "<u8", documents)
        self.sources: Ints = _mapped(folder / "sources.bin", "<u4", documents)
        self.lines: Int64s = _mapped(folder / "lines.bin", "<i8", documents)
        self._morphemes: npt.NDArray[np.uint8] | None = (
            _mapped(folder / "morphemes.bin", "u1", -(-tokens // 8)) if manifest.morphemes else None
        )

    def morphemes(self, begin: int, end: int) -> Bools:
        """[end - begin] whether a morpheme begins at each token of a range.

        Raises:
            InputError: the corpus was built without.
        """
        if self._morphemes is None:
            raise InputError(
                "the corpus does not know where morphemes begin; build it with --sentences kiwi"
            )
        first = begin // 8
        found = np.unpackbits(self._morphemes[first : (end + 7) // 8], bitorder="little")
        return found[begin - 8 * first : end - 8 * first].astype(np.bool_)

    def held_out(self) -> Bools:
        """Which documents are kept for evaluation."""
        return np.asarray(self.hashes) < np.uint64(self.counts.held_out_below)


def _mapped(path: Path, dtype: str, length: int) -> Any:  # noqa: ANN401  # of the type the caller says
    if not path.is_file():
        raise InputError(f"{path}: no such file; copy the corpus again, or build it again")
    size, expected = path.stat().st_size, length * np.dtype(dtype).itemsize
    if size != expected:
        raise InputError(
            f"{path}: {size:,} bytes, but {expected:,} by {MANIFEST}; "
            "copy the corpus again, or build it again"
        )
    if size == 0:  # mmap refuses empty files
        return np.zeros(0, dtype=dtype)
    # As a plain array: each slice of a `memmap` takes 4 microseconds more.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


@dataclass(frozen=True)
class Corpus:
    """A corpus folder opened for reading."""

    manifest: Manifest
    shards: dict[str, Shard]

    @classmethod
    def load(cls, folder: Path) -> "Corpus":
        """Open a folder that `ShardWriter` wrote.

        Raises:
            InputError: it is not a corpus folder, of another format, or not whole.
        """
        try:
            raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"{folder}: not a corpus (no {MANIFEST}); make one with: kobert corpus build"
            ) from error
        except ValueError as error:  # no JSON, or not even UTF-8
            raise InputError(f"{folder / MANIFEST}: not JSON ({error})") from error
        found = raw.get("format") if isinstance(raw, dict) else None
        if found != FORMAT:
            raise InputError(
                f"{folder}: corpus format {found}, this version reads {FORMAT}; "
                "build the corpus again"
            )
        raw["languages"] = {code: LanguageCounts(**row) for code, row in raw["languages"].items()}
        raw["sources"] = tuple(SourceFile(**row) for row in raw["sources"])
        raw["counts"] = tuple(SourceCounts(**row) for row in raw["counts"])
        manifest = Manifest(**raw)
        shards = {code: Shard(folder / code, code, manifest) for code in manifest.languages}
        return cls(manifest, shards)
