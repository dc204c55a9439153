"""Text files to a corpus folder: documents, their sentences, their tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kobert_kit.corpus.sentences import split_sentences
from kobert_kit.corpus.shards import Manifest, ShardWriter
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder
from kobert_vocab.texts import find_sources, read_all
from kobert_vocab.vocabulary import Vocabulary

DOCUMENTS_AT_ONCE = 256  # enough sentences for SentencePiece's threads, little memory


@dataclass(frozen=True)
class _Split:
    language: str
    sentences: list[str]


def build_corpus(
    inputs: Sequence[str | Path], *, vocab: Path, out: Path, held_out: float = 0.01
) -> Manifest:
    """Read ``inputs``, split and encode them, and write the corpus folder ``out``.

    Args:
        inputs: files and folders, with an optional language tag (``ko=news.txt``).
        vocab: a vocabulary folder.
        out: the folder to make; it appears only when all is done.
        held_out: share of each language's documents that training never sees.

    Raises:
        InputError: an input, the vocabulary or ``out`` cannot be used.
    """
    if not 0 <= held_out <= 0.5:
        raise InputError(f"held_out is {held_out}; it must lie between 0 and 0.5")
    sources = find_sources(inputs)
    vocabulary = Vocabulary.load(vocab)
    with new_folder(out) as folder:
        writer = ShardWriter(folder, len(vocabulary))
        documents = (
            _Split(document.language, split_sentences(document.text))
            for document in read_all(sources, "corpus")
        )
        for batch in _batches(documents):
            _encode(batch, vocabulary, writer)
        return writer.finish(vocabulary.fingerprint, held_out)


def _batches(documents: Iterator[_Split]) -> Iterator[list[_Split]]:
    while batch := list(islice(documents, DOCUMENTS_AT_ONCE)):
        yield batch


def _encode(batch: list[_Split], vocabulary: Vocabulary, writer: ShardWriter) -> None:
    ids = iter(vocabulary.encode_batch([text for split in batch for text in split.sentences]))
    for split in batch:
        # A sentence of nothing but deleted characters (zero-width, bidi marks) has no ids.
        sentences = [encoded for encoded in islice(ids, len(split.sentences)) if encoded]
        if sentences:
            size = sum(len(text.encode()) for text in split.sentences)
            writer.add(split.language, sentences, size)
