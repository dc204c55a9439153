"""Writes a corpus folder (`kobert_kit.corpus.shards`), a part at a time."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.shards import (
    MANIFEST,
    SMALL,
    Bools,
    LanguageCounts,
    Manifest,
    SourceCounts,
    SourceFile,
)


@dataclass
class _Written:
    """What a language's files hold so far."""

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    bytes: int = 0
    bits: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    """Of the last byte of ``morphemes.bin``, which is not full yet."""


class ShardWriter:
    """Writes the documents of all languages into a folder; the manifest comes last.

    Args:
        folder: an empty folder.
        vocabulary_size: decides the width of a token.
        morphemes: whether to write where morphemes begin.
    """

    def __init__(self, folder: Path, vocabulary_size: int, *, morphemes: bool = False) -> None:
        self._folder = folder
        self._vocabulary_size = vocabulary_size
        self._morphemes = morphemes
        self.token_dtype = token_dtype(vocabulary_size)
        self._written: dict[str, _Written] = {}

    def append(self, language: str, documents: Documents, source: int) -> None:
        """Append documents of one language and source."""
        folder = self._folder / language
        if language not in self._written:
            folder.mkdir()
            self._written[language] = _Written()
            for name in ("sentences.bin", "documents.bin"):
                _append(folder / name, np.zeros(1), "<i8")
        written = self._written[language]
        _append(folder / "tokens.bin", documents.tokens, self.token_dtype)
        _append(folder / "sentences.bin", written.tokens + np.cumsum(documents.sentences), "<i8")
        _append(folder / "documents.bin", written.sentences + np.cumsum(documents.documents), "<i8")
        _append(folder / "hashes.bin", documents.hashes, "<u8")
        _append(folder / "sources.bin", np.full(len(documents.hashes), source), "<u4")
        _append(folder / "lines.bin", documents.lines, "<i8")
        if self._morphemes:
            bits = np.concatenate([written.bits, documents.morphemes])
            whole = len(bits) // 8 * 8
            _append(folder / "morphemes.bin", np.packbits(bits[:whole], bitorder="little"), "u1")
            written.bits = bits[whole:]
        written.documents += len(documents.hashes)
        written.sentences += len(documents.sentences)
        written.tokens += len(documents.tokens)
        written.bytes += int(documents.bytes.sum())

    def finish(
        self,
        vocabulary: str,
        held_out: float,
        *,
        sources: Sequence[SourceFile] = (),
        counts: Sequence[SourceCounts] = (),
        examples: Mapping[str, tuple[str, ...]] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> Manifest:
        """Write what is left and the manifest.

        Args:
            vocabulary: the vocabulary's fingerprint.
            held_out: share of each language's documents to keep for evaluation.
            sources: all that were read.
            counts: what became of their documents.
            examples: documents that were dropped, by reason.
            options: of the build.
        """
        languages = {}
        for language, written in sorted(self._written.items()):
            folder = self._folder / language
            if self._morphemes:
                bits = np.packbits(written.bits, bitorder="little")
                _append(folder / "morphemes.bin", bits, "u1")
            languages[language] = LanguageCounts(
                documents=written.documents,
                sentences=written.sentences,
                tokens=written.tokens,
                bytes=written.bytes,
                held_out_below=_threshold(folder / "hashes.bin", held_out),
            )
        manifest = Manifest(
            vocabulary=vocabulary,
            vocabulary_size=self._vocabulary_size,
            token_dtype=self.token_dtype,
            morphemes=self._morphemes,
            languages=languages,
            sources=tuple(sources),
            counts=tuple(counts),
            examples=examples or {},
            options=options or {},
            fingerprint=_fingerprint(self._folder),
        )
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
        (self._folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        return manifest


def token_dtype(vocabulary_size: int) -> str:
    """The narrowest type that holds every id."""
    return "<u2" if vocabulary_size <= 1 << 16 else "<u4"


def _append(path: Path, values: npt.NDArray[np.generic], dtype: str) -> None:
    with path.open("ab") as file:
        file.write(values.astype(dtype).tobytes())


def _threshold(hashes: Path, share: float) -> int:
    """The hash below which about ``share`` of the documents lie; 0 keeps them all for training.

    At least one document is held out when there are four or more; with fewer, training needs all.
    Of many documents none has to be counted, since hashes are spread evenly.
    """
    count = hashes.stat().st_size // 8
    if share == 0 or count < 4:
        return 0
    if count > SMALL:
        return int(share * 2**64)
    ordered = np.sort(np.fromfile(hashes, dtype="<u8"))
    return int(ordered[max(1, round(count * share))])


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.bin")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
