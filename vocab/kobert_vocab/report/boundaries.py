"""How well tokens keep to morphemes inside Korean words.

A token start inside a word is right where a morpheme starts there; precision, recall and F1 are
over all running words together. A token crosses where a morpheme starts strictly inside it.
Punctuation around a word is left out of both.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from kobert_vocab.report.metrics import covers, cut_places, f1
from kobert_vocab.report.peers import BATCH, Peer, Token
from kobert_vocab.segment import Analyser, cut_words, has_hangul


class Morphemes(NamedTuple):
    """A word, the part of it without punctuation around it, and where morphemes start in that."""

    word: str
    start: int
    end: int
    cuts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How a vocabulary's tokens agree with morphemes."""

    precision: float
    recall: float
    f1: float
    crossing: float
    """The share of tokens that a morpheme starts inside of."""
    words: int
    """Running words looked at."""
    left_out: int
    """Running words in which the tokens' places cannot be told."""


def morphemes(word: str, cuts: Iterable[int]) -> Morphemes | None:
    """``word`` with those of its ``cuts`` that are not at punctuation; None without Hangul."""
    if not has_hangul(word):
        return None
    letters = [i for i, char in enumerate(word) if char.isalnum()]
    start, end = letters[0], letters[-1] + 1
    return Morphemes(word, start, end, tuple(sorted(cut for cut in cuts if start < cut < end)))


def silver(words: Counter[str], analyser: Analyser) -> Counter[Morphemes]:
    """The words that the analyser has cut, with how often they come."""
    cut = (
        (morphemes(word, cuts), words[word]) for word, cuts in cut_words(words, analyser).items()
    )
    return Counter({found: count for found, count in cut if found is not None})


def agreement(peer: Peer, words: Mapping[Morphemes, int]) -> Agreement:
    """How the tokens of ``peer`` agree with ``words``."""
    right = found = wanted = crossing = tokens = seen = left_out = 0
    for word, count, pieces in _tokens(peer, words):
        seen += count
        if pieces is None:
            left_out += count
            continue
        starts = cut_places([piece[1:] for piece in pieces], word.start, word.end)
        right += count * len(starts.intersection(word.cuts))
        found += count * len(starts)
        wanted += count * len(word.cuts)
        inside = [p for p in pieces if p.start < word.end and p.end > word.start]
        tokens += count * len(inside)
        crossing += count * sum(crosses(piece, word.cuts) for piece in inside)
    return Agreement(
        precision=right / found if found else 1.0,
        recall=right / wanted if wanted else 1.0,
        f1=f1(right, found, wanted),
        crossing=crossing / tokens if tokens else 0.0,
        words=seen,
        left_out=left_out,
    )


def crosses(token: Token, cuts: tuple[int, ...]) -> bool:
    """Whether one of ``cuts`` is strictly inside ``token``."""
    return any(token.start < cut < token.end for cut in cuts)


def _tokens(
    peer: Peer, words: Mapping[Morphemes, int]
) -> Iterator[tuple[Morphemes, int, list[Token] | None]]:
    rows = iter(words.items())
    while batch := list(islice(rows, BATCH)):
        spans = peer.spans([word.word for word, _ in batch])
        for (word, count), pieces in zip(batch, spans, strict=True):
            whole = pieces is not None and covers([p[1:] for p in pieces], word.start, word.end)
            yield word, count, pieces if whole else None
