"""What vocabularies make of running text: tokens per word, unknown and byte pieces, compression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from kobert_vocab.report.metrics import renyi_efficiency, share
from kobert_vocab.report.parts import Counts, Part, Text
from kobert_vocab.report.peers import BATCH, Peer
from kobert_vocab.report.sample import Sample, evenly

LINES_DECODED = 5000


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words between spaces, in languages that write spaces; each as it is cut in running text."""

    fertility: float
    """Tokens per running word."""
    continued: float
    """The share of running words that are more than one piece; a lone mark of a space is none."""
    continued_types: float
    """The same of different words."""
    kept_whole: float
    """The share of running words that are one known piece (STRR)."""
    with_unknown: float
    """The share of running words with an unknown token."""


@dataclass(frozen=True, kw_only=True)
class TextFigures:
    """What a vocabulary makes of some text."""

    tokens: int
    unknown: float
    """The share of tokens that are unknown."""
    bytes: float
    """The share of tokens that are bytes; byte-level: that are not whole characters."""
    characters_per_token: float
    bytes_per_token: float
    words: Words | None
    """None of text without words between spaces."""


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """Whether text comes back from ids."""

    lines: int
    same: float
    """The share of lines that come back, up to spaces at the ends."""
    letters_same: float
    """The same without regard to any spaces."""
    normalized_same: float | None
    """The share that come back as the normalised text, for ours, which say what that is."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All of one vocabulary."""

    all: TextFigures
    languages: dict[str, TextFigures]
    files: dict[str, TextFigures]
    renyi_efficiency: float
    used: float
    """The share of learnt pieces that come up."""
    round_trip: RoundTrip


def read_text(peer: Peer, text: Text) -> Reading:
    """Encode all of ``text`` with ``peer``: lines for tokens, words once each."""
    tokens = _count_tokens(peer, text.samples)
    words = _encode_words(peer, text.words)
    learnt = ~peer.is_in(peer.specials)
    all_tokens: Counts = np.sum(tokens, axis=0)

    def figures_of(part: Part) -> TextFigures:
        in_words = sum(int(tokens[i].sum()) for i in part.spaced)
        figures = _words(part, words, in_words) if part.running else None
        return _figures(peer, part, np.sum([tokens[i] for i in part.samples], axis=0), figures)

    return Reading(
        all=figures_of(text.all),
        languages={language: figures_of(part) for language, part in text.languages.items()},
        files={name: figures_of(part) for name, part in text.files.items()},
        renyi_efficiency=renyi_efficiency(all_tokens, len(peer)),
        used=share(int((all_tokens[learnt] > 0).sum()), int(learnt.sum())),
        round_trip=_round_trip(peer, [line for found in text.samples for line in found.lines]),
    )


def _count_tokens(peer: Peer, samples: Sequence[Sample]) -> list[Counts]:
    """How often each id comes, by sample."""
    counts = []
    total = sum(len(found.lines) for found in samples)
    with tqdm(total=total, desc=peer.name, unit="line", disable=None) as bar:
        for found in samples:
            count = np.zeros(len(peer), dtype=np.int64)
            for start in range(0, len(found.lines), BATCH):
                batch = found.lines[start : start + BATCH]
                ids = [i for row in peer.encode(batch) for i in row]
                count += np.bincount(np.array(ids, dtype=np.int64), minlength=len(peer))
                bar.update(len(batch))
            counts.append(count)
    return counts


@dataclass(frozen=True)
class _EncodedWords:
    pieces: Counts
    unknown: npt.NDArray[np.bool_]


def _encode_words(peer: Peer, words: Sequence[str]) -> _EncodedWords:
    pieces = np.zeros(len(words), dtype=np.int64)
    unknown = np.zeros(len(words), dtype=np.bool_)
    for start in range(0, len(words), BATCH):
        rows = peer.encode_words(words[start : start + BATCH])
        pieces[start : start + len(rows)] = [len(row) for row in rows]
        unknown[start : start + len(rows)] = [peer.unknown in row for row in rows]
    return _EncodedWords(pieces, unknown)


def _figures(peer: Peer, part: Part, tokens: Counts, words: Words | None) -> TextFigures:
    total = int(tokens.sum())
    unknown = 0 if peer.unknown is None else int(tokens[peer.unknown])
    return TextFigures(
        tokens=total,
        unknown=share(unknown, total),
        bytes=share(int(tokens[peer.is_in(peer.bytes)].sum()), total),
        characters_per_token=share(part.characters, total),
        bytes_per_token=share(part.bytes, total),
        words=words,
    )


def _words(part: Part, words: _EncodedWords, tokens: int) -> Words:
    several = words.pieces[part.words] > 1
    unknown = words.unknown[part.words]
    return Words(
        fertility=tokens / part.running,
        continued=share(int(part.counts[several].sum()), part.running),
        continued_types=share(int(several.sum()), len(several)),
        kept_whole=share(int(part.counts[~several & ~unknown].sum()), part.running),
        with_unknown=share(int(part.counts[unknown].sum()), part.running),
    )


def _round_trip(peer: Peer, lines: Sequence[str]) -> RoundTrip:
    lines = evenly(lines, LINES_DECODED)
    back = [text.strip() for text in peer.decode(peer.encode(lines))]
    pairs = list(zip(lines, back, strict=True))
    normalize = peer.normalize
    return RoundTrip(
        lines=len(lines),
        same=share(sum(a.strip() == b for a, b in pairs), len(lines)),
        letters_same=share(sum(_letters(a) == _letters(b) for a, b in pairs), len(lines)),
        normalized_same=None
        if normalize is None
        else share(sum(normalize(a) == b for a, b in pairs), len(lines)),
    )


def _letters(text: str) -> str:
    return "".join(text.split())
