"""A corpus is a folder: per language flat memory-mapped token ids, and one manifest.

``<language>/tokens.bin`` holds the ids of all sentences end to end; ``sentences.bin`` where each
sentence begins in it, ``documents.bin`` where each document begins among the sentences (both with
one more entry for the end); ``hashes.bin`` a 64-bit hash of each document's ids. All numbers are
little-endian; the manifest names the width of a token.

A document is held out of training when its hash is below the language's threshold. So the split is
a function of the text alone, and all copies of a document fall on the same side.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kobert_vocab.errors import InputError

FORMAT = 1
MANIFEST = "manifest.json"
BUFFER = (
    1 << 20
)  # tokens of one language kept before they are written; 421 languages x 4 MB at most

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
class Manifest:
    """``manifest.json``."""

    vocabulary: str
    """Fingerprint of the vocabulary that gave the ids."""
    vocabulary_size: int
    token_dtype: str
    languages: dict[str, LanguageCounts]
    fingerprint: str
    """SHA-256 over every shard file, by name."""
    format: int = FORMAT


class Shard:
    """One language's documents, memory-mapped."""

    def __init__(self, folder: Path, language: str, manifest: Manifest) -> None:
        self.language = language
        self.counts = manifest.languages[language]
        self.tokens: Ints = _mapped(folder / "tokens.bin", manifest.token_dtype)
        self.sentences: Int64s = _mapped(folder / "sentences.bin", "<i8")
        self.documents: Int64s = _mapped(folder / "documents.bin", "<i8")
        self.hashes: npt.NDArray[np.uint64] = _mapped(folder / "hashes.bin", "<u8")

    def held_out(self) -> Bools:
        """Which documents are kept for evaluation."""
        return np.asarray(self.hashes) < np.uint64(self.counts.held_out_below)


def _mapped(path: Path, dtype: str) -> Any:  # noqa: ANN401  # of the type the caller says
    if path.stat().st_size == 0:  # mmap refuses empty files
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
            InputError: it is not a corpus folder, or of another format.
        """
        try:
            raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(
                f"{folder}: not a corpus (no {MANIFEST}); make one with: kobert corpus build"
            ) from error
        except json.JSONDecodeError as error:
            raise InputError(f"{folder / MANIFEST}: not JSON ({error})") from error
        if raw.get("format") != FORMAT:
            raise InputError(
                f"{folder}: corpus format {raw.get('format')}, this version reads {FORMAT}; "
                "build the corpus again"
            )
        raw["languages"] = {code: LanguageCounts(**row) for code, row in raw["languages"].items()}
        manifest = Manifest(**raw)
        shards = {code: Shard(folder / code, code, manifest) for code in manifest.languages}
        return cls(manifest, shards)


@dataclass
class _Buffer:
    tokens: list[int] = field(default_factory=list)
    sentence_lengths: list[int] = field(default_factory=list)
    document_lengths: list[int] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    bytes: int = 0


class ShardWriter:
    """Writes the documents of all languages into a folder; the manifest comes last.

    Args:
        folder: an empty folder.
        vocabulary_size: decides the width of a token.
    """

    def __init__(self, folder: Path, vocabulary_size: int) -> None:
        self._folder = folder
        self._vocabulary_size = vocabulary_size
        self.token_dtype = "<u2" if vocabulary_size <= 1 << 16 else "<u4"
        self._buffers: dict[str, _Buffer] = {}

    def add(self, language: str, sentences: list[list[int]], text_bytes: int) -> None:
        """Append one document, given as the ids of its sentences."""
        buffer = self._buffers.setdefault(language, _Buffer())
        ids = [token for sentence in sentences for token in sentence]
        digest = hashlib.blake2b(np.asarray(ids, dtype="<u4").tobytes(), digest_size=8).digest()
        buffer.tokens += ids
        buffer.sentence_lengths += [len(sentence) for sentence in sentences]
        buffer.document_lengths.append(len(sentences))
        buffer.hashes.append(int.from_bytes(digest, "little"))
        buffer.bytes += text_bytes
        if len(buffer.tokens) >= BUFFER:
            self._flush(language, buffer)

    def _flush(self, language: str, buffer: _Buffer) -> None:
        folder = self._folder / language
        folder.mkdir(exist_ok=True)
        for name, values, dtype in (
            ("tokens.bin", buffer.tokens, self.token_dtype),
            # Lengths for now; `finish` turns them into offsets.
            ("sentences.bin", buffer.sentence_lengths, "<i8"),
            ("documents.bin", buffer.document_lengths, "<i8"),
            ("hashes.bin", buffer.hashes, "<u8"),
        ):
            with (folder / name).open("ab") as file:
                file.write(np.asarray(values, dtype=dtype).tobytes())
            values.clear()

    def finish(self, vocabulary: str, held_out: float) -> Manifest:
        """Write what is left, the offsets and the manifest.

        Args:
            vocabulary: the vocabulary's fingerprint.
            held_out: share of each language's documents to keep for evaluation.
        """
        counts = {}
        for language, buffer in sorted(self._buffers.items()):
            self._flush(language, buffer)
            counts[language] = _finish_shard(self._folder / language, buffer.bytes, held_out)
        manifest = Manifest(
            vocabulary=vocabulary,
            vocabulary_size=self._vocabulary_size,
            token_dtype=self.token_dtype,
            languages=counts,
            fingerprint=_fingerprint(self._folder),
        )
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
        (self._folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        return manifest


def _finish_shard(folder: Path, text_bytes: int, held_out: float) -> LanguageCounts:
    totals = {}
    for name in ("sentences.bin", "documents.bin"):
        lengths = np.fromfile(folder / name, dtype="<i8")
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        offsets.astype("<i8").tofile(folder / name)
        totals[name] = (len(lengths), int(offsets[-1]))
    hashes = np.sort(np.fromfile(folder / "hashes.bin", dtype="<u8"))
    return LanguageCounts(
        documents=totals["documents.bin"][0],
        sentences=totals["sentences.bin"][0],
        tokens=totals["sentences.bin"][1],
        bytes=text_bytes,
        held_out_below=_threshold(hashes, held_out),
    )


def _threshold(sorted_hashes: npt.NDArray[np.uint64], share: float) -> int:
    """The hash below which about ``share`` of the documents lie; 0 keeps them all for training.

    At least one document is held out when there are four or more; with fewer, training needs all.
    """
    count = len(sorted_hashes)
    if share == 0 or count < 4:
        return 0
    return int(sorted_hashes[max(1, round(count * share))])


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.bin")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
