"""Documents as arrays: what a part of a build holds, and what is written into shards."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.shards import Bools, Int64s, Ints

FILE = "documents.npz"


@dataclass(frozen=True, kw_only=True)
class Documents:
    """D documents of S sentences and T tokens, each level end to end."""

    tokens: Ints
    """[T]"""
    morphemes: Bools
    """[T] whether a morpheme begins there; nowhere, if that was not looked for."""
    sentences: Int64s
    """[S] tokens of each sentence."""
    documents: Int64s
    """[D] sentences of each document."""
    languages: Int64s
    """[D] number of its language."""
    hashes: npt.NDArray[np.uint64]
    """[D] fingerprint of its text."""
    lines: Int64s
    """[D] its place in the source."""
    words: Int64s
    """[D] between blanks."""
    bytes: Int64s
    """[D] in UTF-8."""

    def of(self, keep: Bools) -> "Documents":
        """Those of the documents for which ``keep`` [D] is true."""
        sentence = np.repeat(keep, self.documents)
        token = np.repeat(sentence, self.sentences)
        return Documents(
            tokens=self.tokens[token],
            morphemes=self.morphemes[token],
            sentences=self.sentences[sentence],
            documents=self.documents[keep],
            languages=self.languages[keep],
            hashes=self.hashes[keep],
            lines=self.lines[keep],
            words=self.words[keep],
            bytes=self.bytes[keep],
        )

    def save(self, folder: Path) -> None:
        """Write `FILE` into ``folder``."""
        np.savez(folder / FILE, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> "Documents":
        """Read what `save` wrote."""
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return cls(**{one.name: arrays[one.name] for one in fields(cls)})
