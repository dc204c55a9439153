"""A few documents of a corpus as text again, to see what a model will read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kobert_kit.corpus.shards import Corpus, Shard
from kobert_vocab.languages import KOREAN
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

LANGUAGES = 8  # the largest; Korean comes first wherever it stands
OF_EACH = 3  # documents
SHOWN = 120  # tokens of a document: some five lines on a page
HALF = "\ufffd"  # what the bytes of a character that was cut off become


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The beginning of a document that was kept."""

    language: str
    source: str
    line: int
    """In the source, from 1."""
    tokens: int
    """Of the whole document."""
    held_out: bool
    sentences: tuple[str, ...]
    """As the vocabulary reads them; … ends the last one if more follows."""


def kept_samples(
    corpus: Corpus, vocabulary: AnyVocabulary, languages: Sequence[str]
) -> tuple[Sample, ...]:
    """Documents of Korean and of the first of ``languages``, spread evenly over each shard.

    Args:
        corpus: built with ``vocabulary``.
        vocabulary: turns ids into text.
        languages: the largest first.
    """
    kept = [code for code in languages if code in corpus.shards]
    chosen = kept[:LANGUAGES]
    if KOREAN in kept:
        chosen = [KOREAN, *(code for code in chosen if code != KOREAN)]
    return tuple(
        _sample(corpus, corpus.shards[code], document, vocabulary)
        for code in chosen
        for document in _spread(corpus.shards[code].counts.documents)
    )


def _spread(documents: int) -> list[int]:
    """The middles of equal parts; of few documents each once."""
    count = min(OF_EACH, documents)
    return [(2 * k + 1) * documents // (2 * count) for k in range(count)]


def _sample(corpus: Corpus, shard: Shard, document: int, vocabulary: AnyVocabulary) -> Sample:
    first, last = (int(place) for place in shard.documents[document : document + 2])
    # No sentence is empty, so no more of them than tokens are shown.
    starts = shard.sentences[first : min(last, first + SHOWN) + 1].tolist()
    begin, end = starts[0], int(shard.sentences[last])
    stop = min(end, begin + SHOWN)
    spans = [(a, min(b, stop)) for a, b in pairwise(starts) if a < stop]
    sentences = [vocabulary.decode(shard.tokens[a:b].tolist()) for a, b in spans]
    if stop < end:
        sentences[-1] = sentences[-1].rstrip(HALF) + "…"
    return Sample(
        language=shard.language,
        source=corpus.manifest.sources[shard.sources[document]].name,
        line=int(shard.lines[document]),
        tokens=end - begin,
        held_out=bool(shard.hashes[document] < np.uint64(shard.counts.held_out_below)),
        sentences=tuple(sentences),
    )
