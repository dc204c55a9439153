"""The characters that get a piece of their own; all others are written as bytes.

SentencePiece's ``character_coverage`` is a share of all characters of the whole mix: at 0.9995 the
letters of a language that is 0.05 % of the text are gone. So each language brings its own.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kobert_vocab.weigh import KOREAN

COVERAGE = 0.9995  # of a language's characters; SentencePiece's advice for Korean and Chinese
SMALL_ALPHABET = 256  # so many of a language's characters are kept beyond that, if they ...
FREQUENT = 1e-5  # ... occur this often: Vietnamese ẵ does, a Polish name's Ł does not
TEXT_DELIMITER = "\u241f"  # marks a morpheme boundary in training text, so it cannot be learnt
_RESERVED = {" ", "\u2581", "\u2585", "\0", TEXT_DELIMITER}  # by SentencePiece, but the last
ASCII = {chr(code) for code in range(0x21, 0x7F)}
MODERN_JAMO = {chr(code) for code in range(0x3131, 0x3164)}  # ㄱ to ㅎ, ㅏ to ㅣ: 51


def ks_x_1001_syllables() -> set[str]:
    """The 2,350 syllables of KS X 1001, which formal Korean never leaves."""
    return {
        bytes((row, cell)).decode("euc_kr")
        for row in range(0xB0, 0xC9)
        for cell in range(0xA1, 0xFF)
    }


def alphabet(counts: Mapping[str, Counter[str]]) -> frozenset[str]:
    """ASCII, the characters of each language, and with Korean its syllables and jamo."""
    chars = ASCII.union(*map(_characters_of, counts.values()))
    if KOREAN in counts:
        chars |= ks_x_1001_syllables() | MODERN_JAMO
    return frozenset(chars - _RESERVED)


def _characters_of(words: Counter[str]) -> set[str]:
    codes, counts = _count_codes(words)
    total, covered = int(counts.sum()), 0
    kept: set[str] = set()
    for code, n in zip(codes, counts, strict=True):
        rare = covered >= COVERAGE * total
        if rare and (len(kept) >= SMALL_ALPHABET or n < max(2, FREQUENT * total)):
            break
        kept.add(chr(code))
        covered += int(n)
    return kept


def _count_codes(words: Counter[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Code points with their counts, the most frequent first."""
    text = np.frombuffer("".join(words).encode("utf-32-le"), dtype=np.uint32)
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    weights = np.repeat(np.fromiter(words.values(), dtype=np.int64, count=len(words)), lengths)
    counts = np.bincount(text, weights=weights).astype(np.int64)  # exact below 2**53
    codes = np.flatnonzero(counts)
    order = np.lexsort((codes, -counts[codes]))
    return codes[order], counts[codes][order]


def split_outside(word: str, chars: frozenset[str]) -> list[str]:
    """``word`` without the characters that are not in ``chars``, in parts where one stood.

    A space at the beginning stays.

    >>> split_outside(" 좋아요🫠요", frozenset("좋아요"))
    [' 좋아요', '요']
    """
    letters = word.removeprefix(" ")
    if chars.issuperset(letters):
        return [word]
    space = word[: len(word) - len(letters)]
    kept = space + "".join(char if char in chars else "\0" for char in letters)
    return [part for part in kept.split("\0") if part.strip()]
