"""The characters that get a piece of their own; all others are written as bytes.

SentencePiece's ``character_coverage`` is a share of all characters of the whole mix: at 0.9995 the
letters of a language that is 0.05 % of the text are gone. So each language brings its own.
"""

from collections import Counter
from collections.abc import Mapping

from kobert_vocab.hangul import MODERN_JAMO, TAIL_JAMO, ks_x_1001_syllables, open_syllables
from kobert_vocab.languages import KOREAN
from kobert_vocab.normalize import in_model_form
from kobert_vocab.word_counts import LanguageCounts

# Of a language's characters. SentencePiece advises 0.9995; Korean then lacks – and ※, and formal
# text is 0.1 % bytes. 0.9998 takes 70 characters more.
COVERAGE = 0.9998
SMALL_ALPHABET = 256  # so many of a language's characters are kept beyond that, if they ...
FREQUENT = 1e-5  # ... occur this often: Vietnamese ẵ does, a Polish name's Ł does not
_RESERVED = {" ", "\u2581", "\u2585", "\0"}  # by SentencePiece
ASCII = {chr(code) for code in range(0x21, 0x7F)}
# What a small or informal text may lack and the next one is full of; none is three bytes then.
TYPOGRAPHIC = frozenset("‘’“”–—·•")
KOREAN_MARKS = frozenset("「」『』〈〉《》【】、。※→○△□")


def alphabet(languages: Mapping[str, LanguageCounts]) -> frozenset[str]:
    """ASCII, quotes and dashes, the characters of each language, and with Korean all it needs.

    Korean has its brackets and marks, the syllables of KS X 1001, all 399 without a tail, the 27
    tails and the 51 jamo: so each of the 11,172 syllables is one piece or two.
    """
    own = (_most_frequent(counts.alphabet) for counts in languages.values())
    chars = (ASCII | TYPOGRAPHIC).union(*own)
    if KOREAN in languages:
        syllables = ks_x_1001_syllables() | set(open_syllables())
        chars |= KOREAN_MARKS | syllables | TAIL_JAMO | MODERN_JAMO
    return frozenset(chars - _RESERVED)


def _most_frequent(characters: Mapping[str, int]) -> set[str]:
    counts: Counter[str] = Counter()
    for char, n in characters.items():
        for part in in_model_form(char):
            counts[part] += n
    total, covered = counts.total(), 0
    kept: set[str] = set()
    for char, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        rare = covered >= COVERAGE * total
        if rare and (len(kept) >= SMALL_ALPHABET or n < max(2, FREQUENT * total)):
            break
        kept.add(char)
        covered += n
    return kept


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
