"""Hangul syllables by arithmetic (Unicode 3.12): a lead, a vowel and perhaps a tail consonant."""

from collections.abc import Iterator
from functools import cache

FIRST, LAST = "가", "힣"
SYLLABLES = range(ord(FIRST), ord(LAST) + 1)
MODERN_JAMO = frozenset(map(chr, range(0x3131, 0x3164)))  # ㄱ to ㅎ, ㅏ to ㅣ: 51
VOWELS, TAILS = 21, 28  # 28: no tail, or one of 27
FIRST_LEAD, FIRST_VOWEL, BEFORE_FIRST_TAIL = 0x1100, 0x1161, 0x11A7
TAIL_JAMO = frozenset(chr(BEFORE_FIRST_TAIL + tail) for tail in range(1, TAILS))


def is_syllable(char: str) -> bool:
    """Whether ``char`` is one of the 11,172 composed syllables."""
    return FIRST <= char <= LAST


def tail(syllable: str) -> int:
    """The number of a syllable's tail consonant, 0 without one (곡 1, 골 8)."""
    return (ord(syllable) - ord(FIRST)) % TAILS


@cache
def ks_x_1001_syllables() -> frozenset[str]:
    """The 2,350 syllables of KS X 1001, which formal Korean never leaves."""
    return frozenset(
        bytes((row, cell)).decode("euc_kr")
        for row in range(0xB0, 0xC9)
        for cell in range(0xA1, 0xFF)
    )


@cache
def rare_syllables() -> dict[str, str]:
    """The 8,772 syllables with a tail that KS X 1001 lacks, each as two characters.

    They are typing errors for the most part (봣 for 봤), 0.09 % of film reviews. As 봐 and ᆺ they
    share a piece with the word that was meant, and no piece is spent on them.
    """
    return dict(_two_characters(char) for char in map(chr, SYLLABLES) if _is_rare(char))


def open_syllables() -> Iterator[str]:
    """The 399 syllables without a tail."""
    return (char for char in map(chr, SYLLABLES) if not tail(char))


def _is_rare(syllable: str) -> bool:
    return tail(syllable) > 0 and syllable not in ks_x_1001_syllables()


def _two_characters(syllable: str) -> tuple[str, str]:
    number = tail(syllable)
    return syllable, chr(ord(syllable) - number) + chr(BEFORE_FIRST_TAIL + number)
