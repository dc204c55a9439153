"""Vocabularies side by side: everything measured, as one tree of dataclasses."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kobert_vocab.report.boundaries import Agreement, Morphemes, agreement, silver
from kobert_vocab.report.examples import (
    WRITTEN,
    Example,
    example,
    lines_to_show,
    most_disputed,
    written_examples,
)
from kobert_vocab.report.gold import Gold, read_gold
from kobert_vocab.report.hangul import Hangul, hangul
from kobert_vocab.report.inventory import Inventory, inventory
from kobert_vocab.report.parallel import KOREAN, Parity, parity, read_parallel
from kobert_vocab.report.parts import Text, take_apart
from kobert_vocab.report.peers import Peer, open_peers
from kobert_vocab.report.sample import Sample, read_samples
from kobert_vocab.report.text import Reading, read_text
from kobert_vocab.segment import Analyser, find_analyser, has_hangul

DIGITS = 6  # after the point, in JSON
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileUsed:
    """A file of the text and how much of it was used."""

    name: str
    language: str
    lines: int
    lines_used: int
    characters_used: int


@dataclass(frozen=True, kw_only=True)
class GoldUsed:
    """A file of gold morphemes: its words with Hangul, and those whose morphemes are a cut."""

    name: str
    words: int
    exact: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One vocabulary with all that was measured of it."""

    name: str
    kind: str
    size: int
    byte_level: bool
    text: Reading
    silver: Agreement | None
    """None where there is no Korean text."""
    gold: Agreement | None
    """Over all gold files together; None where none was given."""
    gold_files: dict[str, Agreement]
    parity: Parity | None
    hangul: Hangul
    pieces: Inventory


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All of a report."""

    files: list[FileUsed]
    analyser: str
    """What the silver morphemes are from."""
    silver_words: int
    gold: list[GoldUsed]
    vocabularies: list[Measured]
    examples: list[Example]
    from_text: list[Example]
    disputed: list[Example]


def compare(
    vocabularies: Sequence[str | Path],
    texts: Sequence[str | Path],
    *,
    gold: Sequence[str | Path] = (),
    parallel: str | Path | None = None,
) -> Comparison:
    """Measure vocabularies side by side.

    Args:
        vocabularies: folders and files, as for `open_peer`.
        texts: files and folders of text, as for `find_sources`. Of large ones a bounded sample of
            lines is used, the same one each time.
        gold: files of gold Korean morphemes, as for `read_gold`.
        parallel: a folder of ``<language>.txt`` files that say the same line by line.

    Raises:
        InputError: something given cannot be used.
    """
    peers = open_peers(vocabularies)
    golds = [read_gold(path) for path in gold]
    lines = None if parallel is None else read_parallel(parallel)
    text = take_apart(read_samples(texts))
    analyser = find_analyser(None, "all")
    korean = silver(text.counts_of(KOREAN), analyser)
    measured = [_measure(peer, text, korean, golds, lines) for peer in peers]
    cuts = {word.word: word.cuts for word in korean}
    return Comparison(
        files=[
            _file_used(name, text.samples[part.samples[0]]) for name, part in text.files.items()
        ],
        analyser=f"{analyser.name} {analyser.version}",
        silver_words=korean.total(),
        gold=[GoldUsed(name=g.name, words=g.all_words, exact=g.words.total()) for g in golds],
        vocabularies=measured,
        examples=written_examples(peers, _cuts_of(list(WRITTEN.values()), analyser)),
        from_text=_from_text(peers, text, cuts),
        disputed=[example("", w.word, peers, cuts) for w in most_disputed(peers, korean)],
    )


def as_json(comparison: Comparison) -> str:
    """All of a report as JSON; the same vocabularies and text give the same bytes."""
    rounded = _rounded(dataclasses.asdict(comparison))
    return json.dumps(rounded, ensure_ascii=False, indent=2) + "\n"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return value


def _measure(
    peer: Peer,
    text: Text,
    korean: Counter[Morphemes],
    golds: Sequence[Gold],
    lines: Mapping[str, list[str]] | None,
) -> Measured:
    log.info("measuring %s (%s, %d pieces)", peer.name, peer.kind, len(peer))
    all_gold = sum((g.words for g in golds), Counter[Morphemes]())
    return Measured(
        name=peer.name,
        kind=peer.kind,
        size=len(peer),
        byte_level=peer.byte_level,
        text=read_text(peer, text),
        silver=agreement(peer, korean) if korean else None,
        gold=agreement(peer, all_gold) if all_gold else None,
        gold_files={g.name: agreement(peer, g.words) for g in golds},
        parity=None if lines is None else parity(peer, lines),
        hangul=hangul(peer, _korean_lines(text)),
        pieces=inventory(peer),
    )


def _korean_lines(text: Text) -> list[str]:
    found = [s for s in text.samples if s.language == KOREAN]
    return [line for s in found for line in s.lines if has_hangul(line)]


def _file_used(name: str, found: Sample) -> FileUsed:
    return FileUsed(
        name=name,
        language=found.language,
        lines=found.seen,
        lines_used=len(found.lines),
        characters_used=sum(map(len, found.lines)),
    )


def _cuts_of(texts: Sequence[str], analyser: Analyser) -> dict[str, tuple[int, ...]]:
    words = Counter(word for text in texts for word in text.split())
    return {word.word: word.cuts for word in silver(words, analyser)}


def _from_text(
    peers: Sequence[Peer], text: Text, cuts: Mapping[str, Sequence[int]]
) -> list[Example]:
    shown = [
        (found.language, line) for found in text.samples for line in lines_to_show(found.lines)
    ]
    step = max(1, len(shown) // 12)
    return [example(language, line, peers, cuts) for language, line in shown[::step][:12]]
