"""Parity: how many more tokens than English a language needs to say the same.

Petrov et al. 2023 call the ratio a language's premium.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from kobert_vocab.errors import InputError
from kobert_vocab.languages import language_named
from kobert_vocab.reading.lines import read_lines
from kobert_vocab.report.metrics import gini, share
from kobert_vocab.report.peers import BATCH, Peer

ENGLISH, KOREAN = "en", "ko"
LINES_AT_MOST = 10_000  # per language, the first ones; FLORES has 1,012 and NTREX 1,997
SUFFIXES = (".txt", ".txt.gz")


@dataclass(frozen=True, kw_only=True)
class Premium:
    """What one language needs in tokens, over the lines that it and English both have."""

    lines: int
    tokens_per_line: float
    premium: float
    """Tokens over those of English."""
    unknown: float
    """The share of tokens that are unknown; they make a language look cheap."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The premium of each language, and what a vocabulary makes of them together."""

    languages: dict[str, Premium]
    median: float
    """Of all languages but English; so is ``max``."""
    max: float
    max_language: str
    korean: float | None
    unknown: float
    """The share of all tokens, of all languages, that are unknown."""
    gini: float
    """Of the tokens per line over the languages, English among them."""


def read_parallel(folder: str | Path) -> dict[str, list[str]]:
    """The lines of each ``<language>.txt`` or ``.txt.gz``, by the language's code.

    Raises:
        InputError: there is no such folder, a name is no language, English is missing, or the
            files have different numbers of lines.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; parallel text is one of <language>.txt files")
    lines: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.endswith(SUFFIXES):
            continue
        code = language_named(path.name.split(".")[0])
        if code in lines:
            raise InputError(f"{path}: a second file of {code}; keep one")
        with path.open("rb") as raw:
            lines[code] = [text for _, text in islice(read_lines(path, raw), LINES_AT_MOST)]
        _check_aligned(path, len(lines[code]), lines)
    if ENGLISH not in lines:
        raise InputError(f"{folder}: no en.txt or en.txt.gz, which the others are measured against")
    if len(lines) == 1:
        raise InputError(f"{folder}: only English; parity takes a second language")
    return lines


def _check_aligned(path: Path, count: int, lines: Mapping[str, list[str]]) -> None:
    code, first = next(iter(lines.items()))
    if count != len(first):
        raise InputError(
            f"{path}: {count} lines where {code} has {len(first)}; line n must say the same in all"
        )


def parity(peer: Peer, lines: Mapping[str, list[str]]) -> Parity:
    """The premiums of ``peer`` over lines that `read_parallel` gave.

    Raises:
        InputError: a language has no line in common with English.
    """
    english = _tokens(peer, lines[ENGLISH])
    languages = {
        code: _premium(code, english, _tokens(peer, texts)) for code, texts in sorted(lines.items())
    }
    others = {code: row.premium for code, row in languages.items() if code != ENGLISH}
    worst = max(others, key=lambda code: others[code])
    return Parity(
        languages=languages,
        median=median(others.values()),
        max=others[worst],
        max_language=worst,
        korean=others.get(KOREAN),
        unknown=share(
            sum(row.unknown * row.tokens_per_line * row.lines for row in languages.values()),
            sum(row.tokens_per_line * row.lines for row in languages.values()),
        ),
        # In units of English's tokens on the same lines: the same where no line is empty.
        gini=gini([row.premium for row in languages.values()]),
    )


def _tokens(peer: Peer, texts: list[str]) -> list[tuple[int, int]]:
    """The tokens of each line and how many of them are unknown."""
    counts = []
    for start in range(0, len(texts), BATCH):
        for ids in peer.encode(texts[start : start + BATCH]):
            unknown = 0 if peer.unknown is None else ids.count(peer.unknown)
            counts.append((len(ids), unknown))
    return counts


def _premium(code: str, english: list[tuple[int, int]], own: list[tuple[int, int]]) -> Premium:
    both = [(e, o) for e, o in zip(english, own, strict=True) if e[0] and o[0]]
    if not both:
        raise InputError(f"parallel text: {code} has no line where English has one")
    tokens = sum(o[0] for _, o in both)
    return Premium(
        lines=len(both),
        tokens_per_line=tokens / len(both),
        premium=tokens / sum(e[0] for e, _ in both),
        unknown=share(sum(o[1] for _, o in both), tokens),
    )
