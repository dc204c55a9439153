"""A vocabulary opened to be compared: ours, one of SentencePiece, or one of Hugging Face.

All three kinds answer the same few questions, as the functions a `Peer` holds. A word is always
asked about as the second word of a text (``a 학교에서``): some tokenizers treat the first word in
another way, and running text is made of second words.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kobert_vocab.errors import InputError
from kobert_vocab.vocabulary import CARD, MODEL, read_layout

CARRIER = "a "  # before a word; every tokenizer knows the letter, and none joins over the space
BATCH = 1000  # texts encoded at a time


class Token(NamedTuple):
    """A piece with the characters of a word that it covers, ``start`` to before ``end``."""

    id: int
    start: int
    end: int


Spans = list[Token] | None
"""The tokens of a word without a lone mark of the space before it; None: cannot be told."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A vocabulary and what it makes of text, without special pieces around it."""

    name: str
    kind: str
    """``kobert-kit``, ``SentencePiece`` or a model of Hugging Face: ``BPE``, ``WordPiece`` ..."""
    pieces: list[str]
    """Each piece as it is written in the vocabulary, by id."""
    texts: list[str]
    """The text that each piece stands for, a space first where it begins a word."""
    unknown: int | None
    bytes: frozenset[int]
    """Pieces for a byte; of a byte-level vocabulary those that are not whole characters."""
    byte_level: bool
    specials: frozenset[int]
    """Pieces that no text becomes, and the unknown one."""
    encode: Callable[[Sequence[str]], list[list[int]]]
    spans: Callable[[Sequence[str]], list[Spans]]
    decode: Callable[[Sequence[Sequence[int]]], list[str]]
    normalize: Callable[[str], str] | None = None
    """What ours makes of a text before it is cut, and gives back; None for others."""

    def __len__(self) -> int:
        return len(self.pieces)

    def is_in(self, ids: frozenset[int]) -> npt.NDArray[np.bool_]:
        """For each id whether it is one of ``ids``."""
        mask = np.zeros(len(self.pieces), dtype=np.bool_)
        mask[list(ids)] = True
        return mask

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each word in running text, without a lone mark of the space before it."""
        (head,) = self.encode([CARRIER.strip()])
        encoded = self.encode([CARRIER + word for word in words])
        return [self._without_mark(ids[len(head) :]) for ids in encoded]

    def _without_mark(self, ids: list[int]) -> list[int]:
        alone = len(ids) > 1 and not self.texts[ids[0]].strip()
        return ids[1:] if alone else ids


def open_peers(paths: Sequence[str | Path]) -> list[Peer]:
    """Open each vocabulary; one whose name is taken gets a number behind it.

    Raises:
        InputError: none is given, or one cannot be opened.
    """
    if not paths:
        raise InputError("no vocabulary given; name at least one folder or tokenizer file")
    peers = [open_peer(path) for path in paths]
    seen: Counter[str] = Counter()
    named = []
    for peer in peers:
        seen[peer.name] += 1
        again = seen[peer.name] > 1
        named.append(replace(peer, name=f"{peer.name} ({seen[peer.name]})") if again else peer)
    return named


def open_peer(path: str | Path) -> Peer:
    """Open a vocabulary: a folder, a SentencePiece ``.model`` or a ``tokenizer.json``.

    No code that comes with a vocabulary is run, and nothing is fetched.

    Raises:
        InputError: it is not there, or not a vocabulary.
    """
    from kobert_vocab.report import from_sentencepiece, from_tokenizers  # both build a `Peer`

    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; name a vocabulary on this disk")
    name = _name(path)
    if path.is_file():
        if path.suffix == ".json":
            return from_tokenizers.open_file(path, name)
        return from_sentencepiece.open_model(path, name)
    ours = (path / MODEL).is_file() and (path / CARD).is_file()
    if ours and read_layout(path / MODEL) is None:  # a converted one has the ids of tokenizer.json
        return from_sentencepiece.open_ours(path, name)
    if (path / "tokenizer.json").is_file():
        return from_tokenizers.open_file(path / "tokenizer.json", name)
    models = sorted(path.glob("*.model"))
    if len(models) == 1:
        return from_sentencepiece.open_model(models[0], name)
    return from_tokenizers.open_folder(path, name)


def _name(path: Path) -> str:
    """The base name alone: a report says nothing of the machine it was made on."""
    name = path.name if path.name not in ("", "..") else path.resolve().name
    return name.removesuffix(".model")
