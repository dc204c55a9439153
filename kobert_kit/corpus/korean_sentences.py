"""Korean sentences by an analyser, Kiwi, with the places where their morphemes begin.

Kiwi finds the ends that no sign marks (영화를 봤다 정말 좋았다). The masking by morphemes needs its
analysis anyway, and the sentences come with it.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from kobert_kit.corpus.sentences import LONGEST, cut_at_blanks
from kobert_vocab.errors import InputError

if TYPE_CHECKING:
    from kiwipiepy import Kiwi, Token


@dataclass(frozen=True, slots=True)
class AnalysedSentence:
    """A sentence and its morphemes."""

    text: str
    morpheme_starts: tuple[int, ...]
    """Characters of ``text`` at which a morpheme begins and all before it have ended, ascending.

    In 갔다 the second morpheme, 었, is within a syllable of the first and has no start: (0, 1).
    """


def analyse_sentences(text: str) -> list[AnalysedSentence]:
    """The sentences of a Korean text, composed (NFC); only blanks between them are lost.

    The analyser is loaded at the first call of a process, which takes 1.4 s and 0.5 GB.

    Raises:
        InputError: the analyser is not installed.
    """
    lines = [line for line in unicodedata.normalize("NFC", text).split("\n") if line.strip()]
    return [
        part
        for sentences in _kiwi().split_into_sents(lines, return_tokens=True)
        for sentence in sentences
        for part in _parts(sentence.text, sentence.start, sentence.tokens or [])
    ]


@cache
def _kiwi() -> "Kiwi":
    try:
        from kiwipiepy import Kiwi
    except ModuleNotFoundError as error:
        raise InputError(
            "sentences by kiwi need its analyser: pip install 'kobert-kit[korean]', "
            "or split by rules"
        ) from error
    return Kiwi(num_workers=1)  # whoever has more cores runs more processes


def _parts(text: str, start: int, tokens: "list[Token]") -> list[AnalysedSentence]:
    """One sentence, or several where it is too long; ``start`` is its place in the line."""
    starts = _starts(tokens, start)
    parts: list[AnalysedSentence] = []
    begin = 0
    for piece in cut_at_blanks(text, LONGEST):
        begin = text.index(piece, begin)
        end = begin + len(piece)
        inside = tuple(place - begin for place in starts if begin <= place < end)
        parts.append(AnalysedSentence(piece, inside))
        begin = end
    return parts


def _starts(tokens: "list[Token]", origin: int) -> list[int]:
    starts: list[int] = []
    end = 0
    for token in tokens:
        place = token.start - origin
        if place >= end and (not starts or place > starts[-1]):
            starts.append(place)
        end = max(end, place + token.len)
    return starts
