"""What is in a corpus folder: by language, by source, and what cleaning took.

All counts but the lengths of documents are the manifest's. Lengths are read from the shards in
stretches, so that memory stays flat however large they are.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kobert_kit.corpus.kept_samples import Sample, kept_samples
from kobert_kit.corpus.shards import Corpus, Manifest, Shard, SourceCounts
from kobert_vocab.count import has_spaces
from kobert_vocab.errors import InputError
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary, open_vocabulary

STRETCH = 1 << 20  # documents looked at together: 8 MiB for each array of them


@dataclass(frozen=True, kw_only=True)
class LanguageFigures:
    """One language, or several together."""

    language: str
    read: int
    """Documents; so are kept and held_out."""
    kept: int
    held_out: int
    """Kept for evaluation, out of those kept."""
    sentences: int
    tokens: int
    words: int
    """Between blanks, of what was kept."""
    bytes: int
    """UTF-8 bytes of what was kept."""
    share: float
    """Of the tokens of the whole corpus."""
    fertility: float | None
    """Tokens per word; None of languages without spaces between words, or of no word."""
    bytes_per_token: float | None
    """None where no token is."""
    lengths: tuple[int, ...]
    """Documents of 1 token, of 2 and 3, of 4 to 7 and so on: at k from 2^k to 2^(k+1) - 1."""
    longest: int
    """Tokens of the longest document."""
    dropped: Mapping[str, int]
    """Documents by reason."""
    changed: Mapping[str, int]
    """Characters, lines or numbers that each step of cleaning took."""


@dataclass(frozen=True, kw_only=True)
class SourceFigures:
    """One file or data set that was read."""

    name: str
    languages: tuple[str, ...]
    read: int
    """Documents; so is kept."""
    kept: int
    tokens: int
    dropped: Mapping[str, int]
    """Documents by reason."""
    problems: Mapping[str, int]
    """Faults by kind."""
    messages: tuple[str, ...]
    """The first faults."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All of a corpus."""

    vocabulary: str
    """Its fingerprint."""
    vocabulary_size: int
    fingerprint: str
    """Of the corpus."""
    morphemes: bool
    """Whether it is known where morphemes begin."""
    options: Mapping[str, object]
    """Of the build."""
    total: LanguageFigures
    languages: tuple[LanguageFigures, ...]
    """Most tokens first."""
    sources: tuple[SourceFigures, ...]
    """Most documents read first."""
    examples: Mapping[str, tuple[str, ...]]
    """Beginnings of documents that were dropped, by reason."""
    samples: tuple[Sample, ...]
    """Documents that were kept; none without a vocabulary."""


def inspect_corpus(folder: Path, vocab: Path | None = None) -> Inspection:
    """Measure a corpus.

    Args:
        folder: a corpus folder.
        vocab: the folder of the vocabulary it was built with, for samples of its text.

    Raises:
        InputError: ``folder`` is not a corpus or not whole, or the vocabulary is another one.
    """
    corpus = Corpus.load(folder)
    manifest = corpus.manifest
    vocabulary = None if vocab is None else _own_vocabulary(manifest, vocab, folder)
    codes = sorted({*manifest.languages, *(row.language for row in manifest.counts)})
    languages = _with_shares([_language(code, corpus) for code in codes])
    return Inspection(
        vocabulary=manifest.vocabulary,
        vocabulary_size=manifest.vocabulary_size,
        fingerprint=manifest.fingerprint,
        morphemes=manifest.morphemes,
        options=manifest.options,
        total=together("all", languages),
        languages=languages,
        sources=_sources(manifest),
        examples={reason: tuple(shown) for reason, shown in manifest.examples.items()},
        samples=()
        if vocabulary is None
        else kept_samples(corpus, vocabulary, [row.language for row in languages]),
    )


def as_json(inspection: Inspection) -> str:
    """All of it; the same corpus gives the same bytes."""
    return json.dumps(dataclasses.asdict(inspection), ensure_ascii=False, indent=2) + "\n"


def together(name: str, rows: Sequence[LanguageFigures]) -> LanguageFigures:
    """Several languages as one; tokens per word are of those that have spaces between words."""
    spaced = [row for row in rows if row.fertility is not None]
    tokens, size = sum(row.tokens for row in rows), sum(row.bytes for row in rows)
    lengths = [0] * max((len(row.lengths) for row in rows), default=0)
    for row in rows:
        for k, count in enumerate(row.lengths):
            lengths[k] += count
    return LanguageFigures(
        language=name,
        read=sum(row.read for row in rows),
        kept=sum(row.kept for row in rows),
        held_out=sum(row.held_out for row in rows),
        sentences=sum(row.sentences for row in rows),
        tokens=tokens,
        words=sum(row.words for row in rows),
        bytes=size,
        share=sum(row.share for row in rows),
        fertility=_ratio(sum(row.tokens for row in spaced), sum(row.words for row in spaced)),
        bytes_per_token=_ratio(size, tokens),
        lengths=tuple(lengths),
        longest=max((row.longest for row in rows), default=0),
        dropped=summed(row.dropped for row in rows),
        changed=summed(row.changed for row in rows),
    )


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several counts, the largest first."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _own_vocabulary(manifest: Manifest, vocab: Path, folder: Path) -> AnyVocabulary:
    vocabulary = open_vocabulary(vocab)
    if vocabulary.fingerprint != manifest.vocabulary:
        raise InputError(
            f"{vocab}: not the vocabulary that {folder} was built with; give that one, "
            f"whose fingerprint begins with {manifest.vocabulary[:12]}"
        )
    return vocabulary


def _language(code: str, corpus: Corpus) -> LanguageFigures:
    rows = [row for row in corpus.manifest.counts if row.language == code]
    shard = corpus.shards.get(code)  # none where all documents were dropped
    counts = shard.counts if shard else None
    tokens, size = (counts.tokens, counts.bytes) if counts else (0, 0)
    words = sum(row.words for row in rows)
    lengths, longest, held_out = _documents(shard) if shard else ((), 0, 0)
    return LanguageFigures(
        language=code,
        read=sum(row.read for row in rows),
        kept=counts.documents if counts else 0,
        held_out=held_out,
        sentences=counts.sentences if counts else 0,
        tokens=tokens,
        words=words,
        bytes=size,
        share=0.0,
        fertility=_ratio(tokens, words) if has_spaces(code) else None,
        bytes_per_token=_ratio(size, tokens),
        lengths=lengths,
        longest=longest,
        dropped=summed(row.dropped for row in rows),
        changed=summed(row.changed for row in rows),
    )


def _documents(shard: Shard) -> tuple[tuple[int, ...], int, int]:
    """How many documents have which length, tokens of the longest, documents held out."""
    lengths = np.zeros(64, dtype=np.int64)
    longest = held_out = 0
    below = np.uint64(shard.counts.held_out_below)
    for begin in range(0, shard.counts.documents, STRETCH):
        end = min(begin + STRETCH, shard.counts.documents)
        tokens = np.diff(shard.sentences[shard.documents[begin : end + 1]])
        # The exponent of 1 is 1, of 2 and 3 it is 2: exact up to 2^53 tokens in a document.
        exponents = np.frexp(np.maximum(tokens, 1).astype(np.float64))[1]
        lengths += np.bincount(exponents - 1, minlength=64)
        longest = max(longest, int(tokens.max()))
        held_out += int(np.count_nonzero(shard.hashes[begin:end] < below))
    return tuple(np.trim_zeros(lengths, "b").tolist()), longest, held_out


def _with_shares(rows: Sequence[LanguageFigures]) -> tuple[LanguageFigures, ...]:
    tokens = sum(row.tokens for row in rows)
    shared = [dataclasses.replace(row, share=row.tokens / max(1, tokens)) for row in rows]
    return tuple(sorted(shared, key=lambda row: (-row.tokens, -row.read, row.language)))


def _sources(manifest: Manifest) -> tuple[SourceFigures, ...]:
    rows: list[list[SourceCounts]] = [[] for _ in manifest.sources]
    for row in manifest.counts:
        rows[row.source].append(row)
    figures = [
        SourceFigures(
            name=file.name,
            languages=tuple(row.language for row in mine),
            read=sum(row.read for row in mine),
            kept=sum(row.kept for row in mine),
            tokens=sum(row.tokens for row in mine),
            dropped=summed(row.dropped for row in mine),
            problems=dict(file.problems),
            messages=tuple(file.messages),
        )
        for file, mine in zip(manifest.sources, rows, strict=True)
    ]
    return tuple(sorted(figures, key=lambda one: -one.read))  # of equals the first in the manifest


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
