"""The pieces of a vocabulary themselves: script, length, and those that no text reaches."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache

from kobert_vocab.report.peers import BATCH, Peer

LONGEST = 16  # longer pieces share the last bar
SHOWN = 12
# What a piece may follow: nothing; a sign that hardly any piece has, behind which a unigram or BPE
# model starts afresh; and a letter or a figure, for vocabularies that make a whole word unknown.
CONTEXTS = ("", "☂", "가", "a", "0")
_SCRIPTS = {"CJK": "Hanja", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana"}
# First words of letters' names that are no script.
_NO_SCRIPTS = {"FULLWIDTH", "HALFWIDTH", "MATHEMATICAL", "MODIFIER", "FEMININE", "MASCULINE", "OLD"}


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The pieces of a vocabulary."""

    kinds: dict[str, int]
    """Pieces by script, or as digits, punctuation, bytes or special; the most first."""
    lengths: list[int]
    """Learnt pieces of 1, 2, ... characters, the space not counted; the last of 16 and more."""
    mean_length: float
    begin_words: int
    """Learnt pieces with the mark of a space."""
    unreachable: int
    unreachable_of: int
    """Learnt pieces that are whole characters."""
    unreachable_examples: list[str]


def inventory(peer: Peer) -> Inventory:
    """Sort and count the pieces of ``peer``."""
    kinds = Counter(kinds_of(peer))
    learnt = learnt_pieces(peer)
    lengths = [len(peer.texts[i].removeprefix(" ")) for i in learnt]
    by_length = Counter(min(n, LONGEST) for n in lengths)
    lost = unreachable(peer)
    return Inventory(
        kinds=dict(sorted(kinds.items(), key=lambda row: (-row[1], row[0]))),
        lengths=[by_length[n] for n in range(1, LONGEST + 1)],
        mean_length=sum(lengths) / max(1, len(lengths)),
        begin_words=sum(peer.texts[i].startswith(" ") for i in learnt),
        unreachable=len(lost),
        unreachable_of=len(learnt),
        unreachable_examples=[peer.pieces[i] for i in lost[:SHOWN]],
    )


def learnt_pieces(peer: Peer) -> list[int]:
    """The ids that are neither special nor bytes nor blank."""
    others = peer.specials | peer.bytes
    return [i for i, text in enumerate(peer.texts) if i not in others and text.strip()]


def unreachable(peer: Peer) -> list[int]:
    """Learnt pieces that their own text does not become, alone or behind other text."""
    left = learnt_pieces(peer)
    for context in CONTEXTS:
        missed = []
        for start in range(0, len(left), BATCH):
            ids = left[start : start + BATCH]
            rows = peer.encode([context + peer.texts[i] for i in ids])
            # The last token is the piece: then nothing else stands for its text.
            missed += [i for i, row in zip(ids, rows, strict=True) if not row or row[-1] != i]
        left = missed
    return left


def longest_pieces(peer: Peer, least: int = SHOWN) -> dict[str, list[str]]:
    """The longest pieces of each script that has at least ``least`` pieces, longest first."""
    by_kind: dict[str, list[str]] = {}
    for i in learnt_pieces(peer):
        by_kind.setdefault(kind_of(peer.texts[i]), []).append(peer.texts[i].strip())
    return {
        kind: sorted(set(texts), key=lambda text: (-len(text), text))[:SHOWN]
        for kind, texts in sorted(by_kind.items(), key=lambda row: (-len(row[1]), row[0]))
        if len(texts) >= least
    }


def kinds_of(peer: Peer) -> list[str]:
    """What each piece is, by id: a script, Digits, Punctuation, Bytes, Special."""
    return [
        "Special" if i in peer.specials else "Bytes" if i in peer.bytes else kind_of(text)
        for i, text in enumerate(peer.texts)
    ]


def kind_of(text: str) -> str:
    """The script of the letters in ``text``, or ``Digits``, ``Punctuation`` or ``Space``.

    >>> kind_of("서울"), kind_of("서울abc"), kind_of("제1"), kind_of("12"), kind_of("...")
    ('Hangul', 'Mixed scripts', 'Hangul', 'Digits', 'Punctuation')
    """
    scripts = {_script(char) for char in text if unicodedata.category(char)[0] == "L"}
    if scripts:
        return scripts.pop() if len(scripts) == 1 else "Mixed scripts"
    if any(char.isdigit() for char in text):
        return "Digits"
    marks = any(unicodedata.category(char)[0] == "M" for char in text)
    return "Marks" if marks else "Punctuation" if text.strip() else "Space"


@cache
def _script(char: str) -> str:
    # Python has no script property; a letter's name begins with its script.
    words = unicodedata.name(char, "OTHER").split()
    first = next((word for word in words if word not in _NO_SCRIPTS), "OTHER")
    return _SCRIPTS.get(first, first.capitalize())
