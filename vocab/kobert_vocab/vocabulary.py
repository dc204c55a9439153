"""A vocabulary folder opened for use: text to ids and back, through SentencePiece."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece

from kobert_vocab.errors import InputError
from kobert_vocab.hangul import TAIL_JAMO
from kobert_vocab.normalize import nfc
from kobert_vocab.specials import CLS, MASK, NAMED, PAD, SEP, UNK

MODEL, CARD = "spm.model", "vocabulary.json"


class Vocabulary:
    """The pieces of a vocabulary folder and what they make of text.

    Ids come from the SentencePiece model, about ten times as fast as ``tokenizer.json``, which
    gives the same ones (`kobert_vocab.verify`). Text is composed (NFC) first. No special piece is
    ever read from text: ``[MASK]`` in it is five ordinary characters or more.
    """

    def __init__(self, model: bytes) -> None:
        sentencepiece.set_min_log_level(2)  # errors only
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._normalizer = sentencepiece.SentencePieceNormalizer(
            model_proto=model,
            add_dummy_prefix=False,
            escape_whitespaces=False,
            remove_extra_whitespaces=True,
        )
        self.fingerprint = hashlib.sha256(model).hexdigest()
        """SHA-256 of the SentencePiece model."""
        self._pieces: list[str] = [
            self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())
        ]
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}
        self.pad, self.unk, self.cls = self._ids[PAD], self._ids[UNK], self._ids[CLS]
        self.sep, self.mask = self._ids[SEP], self._ids[MASK]
        self._model = model

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[bytes]]:
        # The normaliser of SentencePiece 0.2.1 cannot be pickled.
        return type(self), (self._model,)

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary":
        """Open a folder that `kobert_vocab.train` wrote.

        Raises:
            InputError: the folder is not a vocabulary.
        """
        path = Path(folder) / MODEL
        if not path.is_file():
            raise InputError(
                f"{folder}: not a vocabulary (no {MODEL} in it); make one with: kobert vocab train"
            )
        try:
            return cls(path.read_bytes())
        except (RuntimeError, ValueError, KeyError) as error:  # not a model; not one of ours
            raise InputError(
                f"{path}: not a SentencePiece model of this kit; train it again"
            ) from error

    def __len__(self) -> int:
        return len(self._pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, without special pieces around them."""
        ids: list[int] = self._processor.encode(nfc(text))
        return ids

    def encode_batch(self, texts: Sequence[str], *, threads: int = 1) -> list[list[int]]:
        """The ids of each text; on ``threads`` threads."""
        ids: list[list[int]] = self._processor.encode(
            [nfc(text) for text in texts], num_threads=threads
        )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; special pieces have none."""
        text: str = self._processor.decode([int(i) for i in ids])
        return nfc(text)  # makes syllables in two pieces whole

    def normalize(self, text: str) -> str:
        """``text`` as this vocabulary reads it; what ``decode(encode(text))`` gives."""
        normalized: str = self._normalizer.Normalize(nfc(text))
        return nfc(normalized)

    def pieces(self, text: str) -> list[str]:
        """``text`` in pieces.

        A ▁ stands for the space before a word: ``["▁서울", "에서", "▁만나"]``.
        """
        return [self._pieces[i] for i in self.encode(text)]

    def piece(self, piece_id: int) -> str:
        """The piece with an id."""
        return self._pieces[piece_id]

    token = piece  # as ``tokenizer.json`` writes it: with the same marks

    @cached_property
    def unused(self) -> list[int]:
        """The ids of ``[unused0]``, ``[unused1]`` and so on."""
        return [i for i, piece in enumerate(self._pieces) if piece.startswith("[unused")]

    @cached_property
    def specials(self) -> list[int]:
        """The ids that stand for no text: the named ones and the unused."""
        return [self._ids[piece] for piece in NAMED] + self.unused

    @cached_property
    def starts_word(self) -> npt.NDArray[np.bool_]:
        """For each id whether its piece begins a word, that is, with ▁."""
        return np.array([piece.startswith("▁") for piece in self._pieces], dtype=np.bool_)

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
        piece = self._pieces[piece_id]
        if self._processor.is_byte(piece_id):
            return 0 if 0x80 <= int(piece[1:-1], 16) <= 0xBF else 1  # UTF-8's continuation bytes
        return sum(char not in TAIL_JAMO for char in piece)
