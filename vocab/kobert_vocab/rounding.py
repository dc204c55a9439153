"""Texts for which rounding decides how SentencePiece cuts them.

Its unigram model adds up scores along a whole text in 32 bits, `tokenizers` word by word in 64. Of
two ways to cut that are as good to within a few millionths SentencePiece takes now the one, now the
other, by what stands before (``-----`` as ``--`` ``---`` or as ``---`` ``--``). No tokenizer that
adds up in another way can follow. Ours have scores that add up exactly in both (`finish`); of a
converted model such texts are told apart here, so that they alone are let pass.
"""

from collections.abc import Sequence
from math import fsum

from kobert_vocab.model_file import (
    MODEL_TYPE,
    NORMAL,
    TRAINER_SPEC,
    USER_DEFINED,
    Piece,
    read_pieces,
    read_spec,
)
from kobert_vocab.vocabulary import Vocabulary

_UNIGRAM = 1
_UNIT_ROUNDOFF = 2.0**-24  # of a 32-bit sum, relative to it
_EXACT = 1e-6  # what 64-bit sums may be off beside unknown characters, which score -10,010 there
_UNKNOWN_LESS = 10.0  # an unknown character scores so much less than the worst piece


# What sentencepiece 0.2.3 was found to do: a user-defined piece scores so much for each of its
# bytes, less 0.1, whatever the scores of the others.
_PER_BYTE, _LESS = 0.10000000149011612, 0.1  # the first in 32 bits


def score_in_use(piece: Piece) -> float:
    """The score that a normal or user-defined piece has in a unigram model."""
    if piece.type == USER_DEFINED:
        return len(piece.text.encode()) * _PER_BYTE - _LESS
    return piece.score


class Rounding:
    """The scores of a converted unigram model, by id."""

    def __init__(self, model: bytes, vocabulary: Vocabulary) -> None:
        pieces = read_pieces(model)
        normal = [piece.score for piece in pieces if piece.type == NORMAL]
        self._vocabulary = vocabulary
        self._unknown = abs(min(normal, default=0.0)) + _UNKNOWN_LESS
        self._scores = {
            place: score_in_use(piece)
            for piece, place in zip(pieces, vocabulary.layout.ids, strict=True)
            if piece.type in (NORMAL, USER_DEFINED)
        }
        if read_spec(model, TRAINER_SPEC).get(MODEL_TYPE, _UNIGRAM) != _UNIGRAM:
            self._scores = {}  # BPE compares single scores and adds nothing up

    def decides(self, text: str, ids: Sequence[int], others: Sequence[int]) -> bool:
        """Whether SentencePiece's ``ids`` lose to ``others`` by no more than its own rounding.

        Where the two part they must have the same text, all of it known; and the others must be
        the better ones, or no worse.
        """
        start, end = _common(ids, others)
        own, theirs = ids[start : len(ids) - end], others[start : len(others) - end]
        if not {*own, *theirs} <= self._scores.keys() or self._text(own) != self._text(theirs):
            return False
        gain = self._score(theirs) - self._score(own)
        # Each sum on the two ways is rounded once, by at most this part of what it has come to.
        so_far = self._so_far(text, ids[: len(ids) - end])
        bound = (len(own) + len(theirs)) * _UNIT_ROUNDOFF * so_far
        return -_EXACT <= gain <= bound + _EXACT

    def _text(self, ids: Sequence[int]) -> str:
        return "".join(map(self._vocabulary.piece, ids))

    def _score(self, ids: Sequence[int]) -> float:
        return fsum(self._scores[i] for i in ids)

    def _so_far(self, text: str, ids: Sequence[int]) -> float:
        """How large the sum is at most behind ``ids``, the first ones of ``text``."""
        known = [i for i in ids if i in self._scores]
        unknown = len(self._vocabulary.normalize(text)) + 1 - len(self._text(known))
        return fsum(abs(self._scores[i]) for i in known) + self._unknown * max(0, unknown)


def _common(ids: Sequence[int], others: Sequence[int]) -> tuple[int, int]:
    """How many ids the two share at the beginning, and how many at the end."""
    most = min(len(ids), len(others))
    start = next((i for i in range(most) if ids[i] != others[i]), most)
    end = next((i for i in range(most - start) if ids[-1 - i] != others[-1 - i]), most - start)
    return start, end
