"""A vocabulary folder opened for use: text to ids and back, through SentencePiece."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece

from kobert_vocab.errors import InputError
from kobert_vocab.hangul import TAIL_JAMO
from kobert_vocab.id_layout import IdLayout, lay_out
from kobert_vocab.normalize import nfc
from kobert_vocab.specials import CLS, MASK, PAD, SEP, UNK

MODEL, CARD = "spm.model", "vocabulary.json"
CONVERTED = "converted"  # in the card of a vocabulary that was not trained here
_OURS = {"pad": PAD, "cls": CLS, "sep": SEP, "mask": MASK}


class Vocabulary:
    """The pieces of a vocabulary folder and what they make of text.

    Ids come from the SentencePiece model, about ten times as fast as ``tokenizer.json``, which
    gives the same ones (`kobert_vocab.verify`). Text is composed (NFC) first, but for a converted
    model, which reads it as it is. No special piece of ours is ever read from text: ``[MASK]`` in
    it is five ordinary characters or more.

    Args:
        model: The SentencePiece model.
        layout: The ids of its pieces, if it was converted; None for one that was trained here.
    """

    def __init__(self, model: bytes, layout: IdLayout | None = None) -> None:
        sentencepiece.set_min_log_level(2)  # errors only
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._normalizer = sentencepiece.SentencePieceNormalizer(
            model_proto=model,
            add_dummy_prefix=False,
            escape_whitespaces=False,
            remove_extra_whitespaces=True,
        )
        numbers = range(self._processor.get_piece_size())
        names = [self._processor.id_to_piece(i) for i in numbers]
        if layout is None:
            if not {UNK, *_OURS.values()} <= set(names):
                raise ValueError("not a model of ours")
            layout = lay_out(names, unk=UNK, style="bert", names=_OURS)
            self.fingerprint = hashlib.sha256(model).hexdigest()
            """SHA-256 of the SentencePiece model, and of the ids if it was converted."""
            self.converted = False
            """Whether the model comes from elsewhere."""
        else:
            ids = json.dumps([layout.style, layout.names], sort_keys=True)
            self.fingerprint = hashlib.sha256(model + ids.encode()).hexdigest()
            self.converted = True
        self.layout = layout
        """Which id each piece has."""
        self.pad, self.unk = layout.id_of(layout.pad), layout.id_of(layout.unk)
        self.cls, self.sep = layout.id_of(layout.cls), layout.id_of(layout.sep)
        self.mask = layout.id_of(layout.mask)
        self._ids = None if layout.ids == tuple(numbers) else layout.ids
        self._numbers = dict(zip(layout.ids, numbers, strict=True))
        self._model = model

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[bytes, IdLayout | None]]:
        # The normaliser of SentencePiece 0.2.1 cannot be pickled.
        return type(self), (self._model, self.layout if self.converted else None)

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary":
        """Open a folder that `kobert_vocab.train` or `kobert_vocab.conversion.convert` wrote.

        Raises:
            InputError: the folder is not a vocabulary.
        """
        path = Path(folder) / MODEL
        if not path.is_file():
            raise InputError(
                f"{folder}: not a vocabulary (no {MODEL} in it); make one with: kobert vocab train"
            )
        try:
            return cls(path.read_bytes(), read_layout(path))
        except (RuntimeError, ValueError) as error:  # not a model; not one of ours
            raise InputError(
                f"{path}: not a SentencePiece model of this kit; train it again"
            ) from error

    def __len__(self) -> int:
        return len(self.layout.pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, without special pieces around them."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str], *, threads: int = 1) -> list[list[int]]:
        """The ids of each text; on ``threads`` threads."""
        composed = texts if self.converted else [nfc(text) for text in texts]
        rows: list[list[int]] = self._processor.encode(list(composed), num_threads=threads)
        if self._ids is None:
            return rows
        return [[self._ids[number] for number in row] for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; special pieces have none."""
        numbers = [self._numbers[int(i)] for i in ids if int(i) in self._numbers]
        text: str = self._processor.decode(numbers)
        return text if self.converted else nfc(text)  # makes syllables in two pieces whole

    def normalize(self, text: str) -> str:
        """``text`` as this vocabulary reads it; what ``decode(encode(text))`` gives."""
        normalized: str = self._normalizer.Normalize(text if self.converted else nfc(text))
        return normalized if self.converted else nfc(normalized)

    def pieces(self, text: str) -> list[str]:
        """``text`` in pieces.

        A ▁ stands for the space before a word: ``["▁서울", "에서", "▁만나"]``.
        """
        return [self.piece(i) for i in self.encode(text)]

    def piece(self, piece_id: int) -> str:
        """The piece with an id."""
        return self.layout.pieces[piece_id]

    token = piece  # as ``tokenizer.json`` writes it: with the same marks

    @cached_property
    def unused(self) -> list[int]:
        """The ids of ``[unused0]``, ``[unused1]`` and so on."""
        return [i for i, piece in enumerate(self.layout.pieces) if piece.startswith("[unused")]

    @cached_property
    def specials(self) -> list[int]:
        """The ids that stand for no text: the named ones, then the unused and other such."""
        named = [self.pad, self.unk, self.cls, self.sep, self.mask]
        return named + [i for i in range(len(self)) if i not in named and self._is_control(i)]

    @cached_property
    def learnt(self) -> list[int]:
        """The ids that stand for text, but for bytes."""
        apart = set(self.specials)
        return [
            i
            for i in range(len(self))
            if i not in apart and not self._processor.is_byte(self._numbers[i])
        ]

    def _is_control(self, piece_id: int) -> bool:
        number = self._numbers.get(piece_id)
        return number is None or bool(self._processor.is_control(number))

    @cached_property
    def starts_word(self) -> npt.NDArray[np.bool_]:
        """For each id whether its piece begins a word, that is, with ▁."""
        return np.array([piece.startswith("▁") for piece in self.layout.pieces], dtype=np.bool_)

    @cached_property
    def characters(self) -> npt.NDArray[np.int64]:
        """For each id how many characters of composed (NFC) text its piece stands for.

        The ▁ before a word is the space it stands for. Of a character in bytes the first one
        counts; of a rare syllable in two pieces the first one; special pieces stand for nothing.
        A tail consonant that stands alone in old Hangul goes uncounted with those of the rare.
        """
        found = np.array([self._characters(i) for i in range(len(self))], dtype=np.int64)
        found[self.specials] = 0
        return found

    def _characters(self, piece_id: int) -> int:
        piece = self.piece(piece_id)
        if self._processor.is_byte(self._numbers.get(piece_id, 0)):
            return 0 if 0x80 <= int(piece[1:-1], 16) <= 0xBF else 1  # UTF-8's continuation bytes
        return sum(char not in TAIL_JAMO for char in piece)


def read_layout(model: Path) -> IdLayout | None:
    """The ids of a model that was converted, from the card beside it; None for one of ours.

    Raises:
        InputError: the card is damaged.
    """
    card = model.with_name(CARD)
    if not card.is_file():
        return None
    try:
        written = dict(json.loads(card.read_text(encoding="utf-8")))
        if CONVERTED not in written:
            return None
        style, names = written[CONVERTED]["style"], dict(written[CONVERTED]["names"])
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.read_bytes())
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        return lay_out(pieces, unk=names.pop("unk"), style=style, names=names)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{card}: damaged ({error}); convert or train it again") from error
