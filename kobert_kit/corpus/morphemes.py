"""Where morphemes begin among the pieces of a sentence, for masks of whole morphemes."""

from collections.abc import Collection, Sequence
from itertools import accumulate

from kobert_vocab.hangul import rare_syllables

MARK = "▁"


def token_starts(pieces: Sequence[str], text: str, starts: Collection[int]) -> list[bool]:
    """For each piece whether a morpheme begins with it.

    Args:
        pieces: of ``text``; a character may be several byte pieces.
        text: normalised, as the vocabulary gives it back.
        starts: characters of ``text`` at which morphemes begin.
    """
    # In pieces a rare syllable is two characters.
    rare = rare_syllables()
    before = [0, *accumulate(2 if char in rare else 1 for char in text)]
    wanted = {before[start] for start in starts}
    found, at = [], -1  # the first piece brings a mark that is not in the text
    for piece, length in zip(pieces, _lengths(pieces), strict=True):
        place = at + piece.startswith(MARK)
        found.append(length > 0 and place in wanted)
        if length:  # further bytes stand where the next character will
            wanted.discard(place)  # a mark alone begins the word, and what follows it goes on
        at += length
    return found


def _lengths(pieces: Sequence[str]) -> list[int]:
    """Characters of each piece; of a character in bytes, the first byte has it."""
    lengths, following = [], 0
    for piece in pieces:
        byte = _byte(piece)
        if byte is None:
            lengths.append(len(piece))
            continue
        lengths.append(0 if following else 1)
        if following:
            following -= 1
        else:
            following = 0 if byte < 0x80 else 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
    return lengths


def _byte(piece: str) -> int | None:
    is_byte = len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
    return int(piece[3:5], 16) if is_byte else None
