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
def shard_of(tmp_path_factory):
    """A shard of documents, each a list of sentences, each a list of ids."""

    def make(documents, held_out=0.0):
        folder = tmp_path_factory.mktemp("corpus")
        writer = ShardWriter(folder, 60_000)
        writer.append("ko", arrays_of(documents), source=0)
        writer.finish("test", held_out)
        return Corpus.load(folder).shards["ko"]

    return make


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
