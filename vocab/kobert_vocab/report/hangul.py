"""What a vocabulary does with Hangul itself: all syllables, single jamo, decomposed text."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kobert_vocab.hangul import MODERN_JAMO, ks_x_1001_syllables
from kobert_vocab.report.metrics import share
from kobert_vocab.report.peers import Peer
from kobert_vocab.report.sample import evenly

SYLLABLES = [chr(code) for code in range(0xAC00, 0xD7A4)]  # 11,172
LINES_DECOMPOSED = 2000


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many syllables come out in how many pieces, the mark of a space not counted."""

    syllables: int
    one: int
    at_most_two: int
    at_most_three: int
    unknown: int


@dataclass(frozen=True, kw_only=True)
class Decomposed:
    """What becomes of Korean text in NFD, as macOS writes file names."""

    lines: int
    blow_up: float
    """Tokens of the text in NFD over tokens in NFC."""
    same_ids: float
    """The share of lines with the same ids in both."""


@dataclass(frozen=True, kw_only=True)
class Hangul:
    """All of it for one vocabulary."""

    ks_x_1001: Coverage
    """The 2,350 syllables of KS X 1001."""
    all: Coverage
    """All 11,172."""
    jamo: int
    jamo_kept: int
    """Single letters such as ㅋ that come back as they were; NFKC makes others of them."""
    jamo_lost: list[str]
    nfd: Decomposed | None
    """None where there is no Korean text."""


def hangul(peer: Peer, lines: Sequence[str]) -> Hangul:
    """Measure ``peer``; decomposed text is made of ``lines`` of Korean."""
    encoded = dict(zip(SYLLABLES, peer.encode_words(SYLLABLES), strict=True))
    jamo = sorted(MODERN_JAMO)
    back = peer.decode(peer.encode(jamo))
    lost = [a for a, b in zip(jamo, back, strict=True) if a != b.strip()]
    return Hangul(
        ks_x_1001=_coverage(peer, [encoded[s] for s in sorted(ks_x_1001_syllables())]),
        all=_coverage(peer, list(encoded.values())),
        jamo=len(jamo),
        jamo_kept=len(jamo) - len(lost),
        jamo_lost=lost,
        nfd=_decomposed(peer, evenly(lines, LINES_DECOMPOSED)) if lines else None,
    )


def _coverage(peer: Peer, rows: Iterable[list[int]]) -> Coverage:
    rows = list(rows)
    unknown = [row for row in rows if peer.unknown in row]
    lengths = [len(row) for row in rows if peer.unknown not in row]
    return Coverage(
        syllables=len(rows),
        one=sum(n == 1 for n in lengths),
        at_most_two=sum(n <= 2 for n in lengths),
        at_most_three=sum(n <= 3 for n in lengths),
        unknown=len(unknown),
    )


def _decomposed(peer: Peer, lines: Sequence[str]) -> Decomposed:
    composed = peer.encode([unicodedata.normalize("NFC", line) for line in lines])
    decomposed = peer.encode([unicodedata.normalize("NFD", line) for line in lines])
    return Decomposed(
        lines=len(lines),
        blow_up=share(sum(map(len, decomposed)), sum(map(len, composed))),
        same_ids=share(sum(a == b for a, b in zip(composed, decomposed, strict=True)), len(lines)),
    )
