"""Lines of keyboard mash and broken jamo: ㅁㄴㅇㄹㅁㄴㅇㄹ, ㄷㅈㄱㅌㅈ, asdfasdf.

What people write on purpose stays: laughing and crying in any order (ㅋㅋㅎㅎ, ㅠㅜㅠ, ㅋㅋㅋㅅㅂ),
faces (ㅇㅅㅇ, ㅡㅡ), initials of up to three letters (ㅇㅇ, ㄱㄱ, ㅁㅊ, ㅆㄹㄱ), which are words in
chat, with the longer ones that film reviews repeat, and syllables typed in parts (재ㅁㅣㅆ다).
"""

import re

from kobert_kit.corpus.characters import Changes

_JAMO = re.compile("[ㄱ-ㅎㅏ-ㅣ]")
_LONG_FORMS = "ㅆㅅㅌㅊ|ㅍㅌㅊㅇ|ㅇㄱㄹㅇ|ㅂㄷㅂㄷ|ㅅㅂㄹㅁ|ㅍㅍㅅㅅ|ㅇㄴㅇㄴ|ㄹㅇㄹㅇ"
_JAMO_RUN = re.compile("[ㄱ-ㅣ]+")
_ON_PURPOSE = re.compile(
    rf"""
    {_LONG_FORMS}
    | [ㅋㅎㅠㅜㅡㅌ]+      # laughing, crying, sighing
    | ([ㄱ-ㅣ])\1+        # one jamo drawn out
    | [ㄱ-ㅎ][ㅏ-ㅣ]       # a syllable in parts
    """,
    re.VERBOSE,
)
INITIALS = 3  # what is left of a run is a word in chat up to so many letters
_LETTERS = re.compile(r"[^\W\d_]")
MOSTLY = 0.5  # of a line's letters

# The rows of a keyboard, in the orders that hands fall on them; a line of nothing else is mash.
# Twice at least, so that "asdf" (a package manager) stands.
_LATIN_HINTS = ("sdf", "qwe", "zxc", "jkl")
_LATIN_MASH = re.compile(r"\W*(?:(?:asdf?g?h?|sdfg?|qwert?y?|wert|zxcv?b?|h?jkl;?|fdsa)\W?){2,}\W*")


def drop_mash(text: str, changes: Changes) -> str:
    r"""``text`` without the lines that are mostly mash.

    >>> drop_mash("재밌다 ㅋㅋㅋㅋㅋㅋ\nㅁㄴㅇㄹㅁㄴㅇㄹ\nㅇㅇ ㄱㄱ", defaultdict(int))
    '재밌다 ㅋㅋㅋㅋㅋㅋ\nㅇㅇ ㄱㄱ'
    """
    has_jamo = not text.isascii() and _JAMO.search(text)
    a, b, c, d = _LATIN_HINTS  # a loop takes twice as long
    if not (has_jamo or a in text or b in text or c in text or d in text):
        return text
    lines = text.split("\n")
    kept = [line for line in lines if not _is_mash(line)]
    changes["mash"] += len(lines) - len(kept)
    return "\n".join(kept)


def _is_mash(line: str) -> bool:
    if _LATIN_MASH.fullmatch(line):
        return True
    broken = sum(map(_broken, _JAMO_RUN.findall(line)))
    return broken > MOSTLY * len(_LETTERS.findall(line))


def _broken(run: str) -> int:
    left = len(_ON_PURPOSE.sub("", run))
    return len(run) if left > INITIALS else 0
