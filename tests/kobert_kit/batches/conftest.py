"""Corpora made of numbers: a token tells where it stands."""

import hashlib

import numpy as np
import pytest

from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.shard_writer import ShardWriter
from kobert_kit.corpus.shards import Corpus


def arrays_of(documents):
    sentences = [sentence for document in documents for sentence in document]
    texts = [repr(document).encode() for document in documents]
    digests = [hashlib.blake2b(text, digest_size=8).digest() for text in texts]
    zeros = np.zeros(len(documents), dtype=np.int64)
    tokens = np.array([token for sentence in sentences for token in sentence])
    return Documents(
        tokens=tokens,
        morphemes=np.zeros(len(tokens), dtype=bool),
        sentences=np.array([len(sentence) for sentence in sentences]),
        documents=np.array([len(document) for document in documents]),
        languages=zeros,
        hashes=np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64),
        lines=zeros,
        words=zeros,
        bytes=zeros,
    )


@pytest.fixture(scope="session")
def corpus_of(tmp_path_factory):
    """A corpus with the same documents in each language: lists of sentences, lists of ids."""

    def make(documents, codes=("ko",), *, held_out=0.0, vocabulary="test", size=60_000):
        folder = tmp_path_factory.mktemp("corpus")
        writer = ShardWriter(folder, size)
        for code in codes:
            writer.append(code, arrays_of(documents), source=0)
        writer.finish(vocabulary, held_out)
        return Corpus.load(folder)

    return make


@pytest.fixture(scope="session")
def shard_of(corpus_of):
    """A shard of documents."""
    return lambda documents, held_out=0.0: corpus_of(documents, held_out=held_out).shards["ko"]


@pytest.fixture(scope="session")
def numbered():
    """Documents of ids 1000 * (document + 1) + running number."""

    def make(documents, sentences, seed=0):
        rng = np.random.default_rng(seed)
        result = []
        for document in range(1, documents + 1):
            lengths = rng.integers(1, 25, size=sentences)
            ends = 1000 * document + lengths.cumsum()
            result.append([list(range(e - n, e)) for e, n in zip(ends, lengths, strict=True)])
        return result

    return make
