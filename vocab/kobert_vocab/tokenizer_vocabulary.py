"""A ``tokenizer.json`` of any model used as a vocabulary: to build a corpus for that model."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kobert_vocab.errors import InputError
from kobert_vocab.extension.base_tokenizer import read_tokenizer
from kobert_vocab.specials import CLS, MASK, PAD, SEP, UNK
from kobert_vocab.vocabulary import Vocabulary

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
_BYTE = re.compile("<0x([0-9A-F]{2})>")
# What BERT and RoBERTa call them, where no file says it.
_NAMES = {
    "pad": (PAD, "<pad>"),
    "unk": (UNK, "<unk>"),
    "cls": (CLS, "<s>"),
    "sep": (SEP, "</s>"),
    "mask": (MASK, "<mask>"),
}


class TokenizerVocabulary:
    """What `Vocabulary` is, for WordPiece, Unigram and BPE tokenizers of other models.

    Pieces are written as everywhere here, with ▁ where a word begins, whatever sign the tokenizer
    has for that. No special token is ever read from text.

    Args:
        content: of ``tokenizer.json``.
        names: the special tokens by what they are for, as in ``tokenizer_config.json``.

    Raises:
        InputError: one of the special tokens is not there.
        ValueError: ``content`` is no tokenizer.
    """

    converted = True
    """It comes from elsewhere."""

    def __init__(self, content: str, names: dict[str, str]) -> None:
        self._tokenizer = read_tokenizer(content)
        self._tokenizer.encode_special_tokens = True
        self._content, self._names = content, names
        self._size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        self.fingerprint = hashlib.sha256(
            (content + json.dumps(names, sort_keys=True)).encode()
        ).hexdigest()
        """SHA-256 of the tokenizer and the names."""
        self.pad, self.unk = self._special("pad"), self._special("unk")
        self.cls, self.sep = self._special("cls"), self._special("sep")
        self.mask = self._special("mask")

    def __reduce__(self) -> tuple[type["TokenizerVocabulary"], tuple[str, dict[str, str]]]:
        return type(self), (self._content, self._names)

    @classmethod
    def load(cls, folder: str | Path) -> "TokenizerVocabulary":
        """Open the tokenizer of a model's folder.

        Raises:
            InputError: there is none, or it is broken, or lacks a special token.
        """
        path = Path(folder) / TOKENIZER
        try:
            return cls(path.read_text(encoding="utf-8"), _names_in(Path(folder) / CONFIG))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a tokenizer ({error})") from error

    def __len__(self) -> int:
        return self._size

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, without special tokens around them."""
        return self._without_specials(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str], *, threads: int = 1) -> list[list[int]]:
        """The ids of each text; on one thread, or on as many as the library takes."""
        if threads == 1:
            return [self.encode(text) for text in texts]
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._without_specials(encoding.ids) for encoding in encodings]

    def _without_specials(self, ids: list[int]) -> list[int]:
        """Unknown in place of special tokens: Unigram models may find them in text like any piece.

        WordPiece and BPE cut such text up, and never come here with one.
        """
        if self._never.isdisjoint(ids):
            return ids
        return [self.unk if one in self._never else one for one in ids]

    @cached_property
    def _never(self) -> frozenset[int]:
        return self._apart - {self.unk}

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; special tokens have none."""
        return str(self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=True))

    def normalize(self, text: str) -> str:
        """``text`` as this tokenizer reads it."""
        normalizer = self._tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def pieces(self, text: str) -> list[str]:
        """``text`` in pieces."""
        return [self.piece(i) for i in self.encode(text)]

    def token(self, token_id: int) -> str:
        """The piece with an id, as the tokenizer writes it."""
        found = self._tokenizer.id_to_token(token_id)
        return f"<{token_id}>" if found is None else str(found)  # a gap among the ids

    def piece(self, piece_id: int) -> str:
        """The piece with an id, with ▁ if it begins a word."""
        token = self.token(piece_id)
        if piece_id in self._apart:
            return token
        if self._prefix is not None:
            goes_on = token.startswith(self._prefix)
            return token.removeprefix(self._prefix) if goes_on else f"▁{token}"
        if self._is_byte_level:
            text = token
            # Added tokens are written as they stand: ModernBERT has some for runs of spaces.
            if piece_id not in self._added and _BYTE_OF.keys() >= set(token):
                text = bytes(_BYTE_OF[char] for char in token).decode(errors="replace")
            return text.replace(" ", "▁", 1) if text.startswith(" ") else text
        return token

    @cached_property
    def unused(self) -> list[int]:
        """The ids of ``[unused0]``, ``[unused1]`` and so on."""
        return [i for i in range(len(self)) if self.token(i).startswith("[unused")]

    @cached_property
    def specials(self) -> list[int]:
        """The ids that stand for no text: the named ones, then all others."""
        named = [self.pad, self.unk, self.cls, self.sep, self.mask]
        return named + sorted(self._apart - {*named})

    @cached_property
    def learnt(self) -> list[int]:
        """The ids that stand for text."""
        return [i for i in range(len(self)) if i not in self._apart]

    @cached_property
    def starts_word(self) -> npt.NDArray[np.bool_]:
        """For each id whether its piece begins a word."""
        starts = [self.piece(i).startswith("▁") for i in range(len(self))]
        return np.array(starts, dtype=np.bool_)

    @cached_property
    def characters(self) -> npt.NDArray[np.int64]:
        """For each id how many characters its piece stands for; the ▁ counts as a space.

        A WordPiece tokenizer writes none before punctuation, where it counts one too many. Of a
        character in several pieces of bytes the first one counts.
        """
        found = np.array([self._characters(i) for i in range(len(self))], dtype=np.int64)
        found[list(self._apart)] = 0
        return found

    def _characters(self, piece_id: int) -> int:
        byte = _BYTE.fullmatch(self.token(piece_id)) if self._falls_back else None
        if byte:
            return int(not 0x80 <= int(byte[1], 16) <= 0xBF)
        if not self._is_byte_level or piece_id in self._added:
            return len(self.piece(piece_id))
        # UTF-8's continuation bytes begin no character.
        return sum(not 0x80 <= _BYTE_OF.get(c, 0) <= 0xBF for c in self.token(piece_id))

    @cached_property
    def _added(self) -> dict[int, Any]:
        return dict(self._tokenizer.get_added_tokens_decoder())

    @cached_property
    def _raw(self) -> dict[str, Any]:
        # As it is written today: files of 2020, such as XLM-R's, name no type of their model.
        raw: dict[str, Any] = json.loads(self._tokenizer.to_str())
        return raw

    @cached_property
    def _prefix(self) -> str | None:
        """What marks a WordPiece piece that goes on with a word."""
        model = self._raw["model"]
        return model.get("continuing_subword_prefix") if model["type"] == "WordPiece" else None

    @cached_property
    def _falls_back(self) -> bool:
        """Whether a character without a piece becomes pieces of bytes, ``<0xEA>``."""
        return bool(self._raw["model"].get("byte_fallback"))

    @cached_property
    def _is_byte_level(self) -> bool:
        return '"ByteLevel"' in json.dumps(self._raw.get("pre_tokenizer"))

    @cached_property
    def _apart(self) -> frozenset[int]:
        """Ids that stand for no text."""
        special = {i for i, token in self._added.items() if token.special}
        gaps = {i for i in range(len(self)) if self._tokenizer.id_to_token(i) is None}
        named = {self.pad, self.unk, self.cls, self.sep, self.mask}
        return frozenset(special | gaps | named | set(self.unused))

    def _special(self, role: str) -> int:
        names = (self._names[role],) if role in self._names else _NAMES[role]
        for name in names:
            found = self._tokenizer.token_to_id(name)
            if found is not None:
                return int(found)
        raise InputError(
            f"{TOKENIZER}: no {' or '.join(names)}; name the {role} token in {CONFIG} as "
            f'"{role}_token"'
        )


AnyVocabulary = Vocabulary | TokenizerVocabulary


def open_vocabulary(folder: str | Path) -> AnyVocabulary:
    """A vocabulary of this kit, or the tokenizer of a model's folder.

    Raises:
        InputError: the folder holds neither.
    """
    if not (Path(folder) / "spm.model").exists() and (Path(folder) / TOKENIZER).exists():
        return TokenizerVocabulary.load(folder)
    return Vocabulary.load(folder)


def _names_in(path: Path) -> dict[str, str]:
    """The special tokens that a ``tokenizer_config.json`` names."""
    if not path.exists():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); copy it again") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: not a table of settings; copy it again")
    found = {role: raw.get(f"{role}_token") for role in _NAMES}
    plain = {
        role: one.get("content") if isinstance(one, dict) else one for role, one in found.items()
    }
    return {role: one for role, one in plain.items() if isinstance(one, str)}


def _bytes_by_letter() -> dict[str, int]:
    """The byte that each letter of a byte-level tokenizer stands for (Radford et al. 2019, GPT-2).

    Printable bytes of Latin-1 are themselves; the others follow each other from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_OF = _bytes_by_letter()
