"""A batch for people: the decoded sequences of any step, with where each comes from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kobert_kit.batches.batch import IGNORED
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import DataConfig
from kobert_kit.corpus.shards import Corpus
from kobert_vocab.errors import InputError
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary, open_vocabulary

QUESTIONS = {
    ("next", 0): "  B follows A",
    ("next", 1): "  B is random",
    ("order", 0): "  in order",
    ("order", 1): "  exchanged",
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One sequence of a batch."""

    language: str
    origins: tuple[str, ...]
    """Source and place of the document of each text."""
    text: str
    """As pieces, what is to be predicted in brackets: ``[▁서울→[MASK]]``."""
    label: int
    """Of a pair; `IGNORED` of a single text."""


def print_batch(corpus: Path, vocab: Path, *, seed: int, step: int, data: DataConfig) -> None:
    """Print the sequences of a step, each with its language and origin.

    Raises:
        InputError: a folder cannot be used, or the step is below 0.
    """
    if step < 0:
        raise InputError(f"step is {step}; steps are counted from 0")
    opened, vocabulary = Corpus.load(corpus), open_vocabulary(vocab)
    batches = Batches.of(opened, vocabulary, seed, data)
    for shown in preview(batches, opened, vocabulary, step):
        question = QUESTIONS.get((data.pairing, shown.label), "")
        print(f"{shown.language}  {' + '.join(shown.origins)}{question}")  # noqa: T201
        print(f"  {shown.text}")  # noqa: T201


def preview(
    batches: Batches, corpus: Corpus, vocabulary: AnyVocabulary, step: int
) -> Iterator[Shown]:
    """The sequences of a step in order."""
    batch = batches[step]
    labels = np.full(len(batch.tokens), IGNORED)
    used = batch.labels != IGNORED
    labels[batch.masked[used]] = batch.labels[used]
    texts = batches.texts(step)
    for i, language in enumerate(texts.language.tolist()):
        code = batches.plan.languages[language]
        place = slice(*batch.cu_seqlens[i : i + 2])
        ranges = ((texts.a_begin[i], texts.a_end[i]), (texts.b_begin[i], texts.b_end[i]))
        yield Shown(
            language=code,
            origins=tuple(_origin(corpus, code, int(a)) for a, end in ranges if end > a),
            text=_written(batch.tokens[place].tolist(), labels[place].tolist(), vocabulary),
            label=int(batch.is_next[i]),
        )


def _origin(corpus: Corpus, language: str, token: int) -> str:
    """``news.jsonl.gz:17``: where the document of a token was read."""
    shard = corpus.shards[language]
    sentence = int(np.searchsorted(shard.sentences, token, side="right")) - 1
    document = int(np.searchsorted(shard.documents, sentence, side="right")) - 1
    source = corpus.manifest.sources[int(shard.sources[document])]
    return f"{source.name}:{int(shard.lines[document])}"


def _written(tokens: list[int], labels: list[int], vocabulary: AnyVocabulary) -> str:
    words = []
    for token, label in zip(tokens, labels, strict=True):
        piece = vocabulary.piece(token)
        words.append(piece if label == IGNORED else f"[{vocabulary.piece(label)}→{piece}]")
    return " ".join(words)
