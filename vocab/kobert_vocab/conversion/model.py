"""A SentencePiece model of any kind, read for conversion."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sentencepiece

from kobert_vocab.errors import InputError
from kobert_vocab.model_file import (
    ADD_DUMMY_PREFIX,
    BYTE,
    BYTE_FALLBACK,
    CHARSMAP,
    ESCAPE_WHITESPACES,
    MODEL_TYPE,
    NORMAL,
    NORMALIZER_SPEC,
    REMOVE_EXTRA_WHITESPACES,
    RULES_NAME,
    SPACE_AS_SUFFIX,
    TRAINER_SPEC,
    UNKNOWN,
    USER_DEFINED,
    Piece,
    read_pieces,
    read_spec,
)
from kobert_vocab.specials import BYTES

LARGEST = 256 << 20  # bytes; XLM-V's, with 901,629 pieces the largest that is known, has 18 MB
_KINDS: dict[int, Literal["unigram", "bpe"]] = {1: "unigram", 2: "bpe"}
_OTHER_KINDS = {3: "word", 4: "char"}


@dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
    """What decides the ids of a text."""

    content: bytes
    """The file."""
    kind: Literal["unigram", "bpe"]
    pieces: tuple[Piece, ...]
    rules: str
    """Name of the normaliser: ``nmt_nfkc``, ``identity`` ..."""
    charsmap: bytes
    """Its compiled rules; empty if it has none."""
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    byte_fallback: bool

    @property
    def unknown(self) -> Piece:
        """The piece for what no other piece has; a model has one."""
        return next(piece for piece in self.pieces if piece.type == UNKNOWN)

    @property
    def known(self) -> set[str]:
        """Characters that are a piece of their own."""
        found = {p.text for p in self.pieces if p.type in (NORMAL, USER_DEFINED)}
        return {text for text in found if len(text) == 1}

    def texts(self, *types: int) -> list[str]:
        """The pieces of these types."""
        return [piece.text for piece in self.pieces if piece.type in types]


def read_model(path: Path) -> SentencePieceModel:
    """Read a ``.model`` file.

    Raises:
        InputError: it is none, or of a kind that `tokenizers` cannot follow exactly.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise InputError(
            f"{path}: {size >> 20:,} MB are too many for a SentencePiece model; give its .model"
        )
    content = path.read_bytes()
    _load(content, path)
    trainer = read_spec(content, TRAINER_SPEC)
    normalizer = read_spec(content, NORMALIZER_SPEC)
    charsmap, rules = normalizer.get(CHARSMAP, b""), normalizer.get(RULES_NAME, b"")
    number = int(trainer.get(MODEL_TYPE, 1))
    if number not in _KINDS:
        kind = _OTHER_KINDS.get(number, str(number))
        raise InputError(f"{path}: its type is {kind}; only unigram and bpe can be converted")
    if trainer.get(SPACE_AS_SUFFIX, 0):
        raise InputError(
            f"{path}: it puts ▁ after words (treat_whitespace_as_suffix); tokenizers cannot"
        )
    if not normalizer.get(ESCAPE_WHITESPACES, 1):
        raise InputError(
            f"{path}: it leaves spaces as they are (escape_whitespaces is off), for which "
            "SentencePiece trains no model either"
        )
    model = SentencePieceModel(
        content=content,
        kind=_KINDS[number],
        pieces=tuple(read_pieces(content)),
        rules=rules.decode(errors="replace") if isinstance(rules, bytes) else "",
        charsmap=charsmap if isinstance(charsmap, bytes) else b"",
        add_dummy_prefix=bool(normalizer.get(ADD_DUMMY_PREFIX, True)),
        remove_extra_whitespaces=bool(normalizer.get(REMOVE_EXTRA_WHITESPACES, True)),
        byte_fallback=bool(trainer.get(BYTE_FALLBACK, False)),
    )
    if model.byte_fallback and len(model.texts(BYTE)) != BYTES:
        raise InputError(f"{path}: {len(model.texts(BYTE))} byte pieces; byte fallback needs 256")
    return model


def _load(content: bytes, path: Path) -> None:
    """Let SentencePiece itself say whether it is one of its models."""
    sentencepiece.set_min_log_level(3)  # the error is told below
    processor = sentencepiece.SentencePieceProcessor()
    try:
        loaded = processor.LoadFromSerializedProto(content)
    except (RuntimeError, ValueError) as error:
        raise InputError(_not_a_model(path)) from error
    if not loaded or not processor.get_piece_size():
        raise InputError(_not_a_model(path))


def _not_a_model(path: Path) -> str:
    return f"{path}: not a SentencePiece model, or cut off; copy it again"
