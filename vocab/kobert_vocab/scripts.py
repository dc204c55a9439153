"""The script of a character, as far as cutting text into words needs it."""

import unicodedata
from functools import cache

TSHEG = "\u0f0b"  # stands between the syllables of a Tibetan word; not punctuation for our ends
SCRIPTS_WITHOUT_SPACES = frozenset(
    ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
)
_SAME = {"KATAKANA-HIRAGANA": "KATAKANA", "IDEOGRAPHIC": "CJK"}  # ー and 々


@cache
def script(char: str) -> str:
    """``digit``, ``other``, a script such as ``THAI``, or nothing for a mark or joiner.

    >>> [script(c) for c in "한ア々7.\u0e31"]
    ['HANGUL', 'KATAKANA', 'CJK', 'digit', 'other', '']
    """
    if not char:
        return ""
    if char == TSHEG:
        return "TIBETAN"
    category = unicodedata.category(char)
    if category[0] == "M" or category == "Cf":
        return ""
    if category[0] == "N":
        return "digit"
    if category[0] != "L":
        return "other"
    # Python has no script property; a letter's name begins with its script.
    first = unicodedata.name(char, "UNKNOWN").split()[0]
    return _SAME.get(first, first)
