"""Corpora made of numbers: a token tells where it stands."""

import numpy as np
import pytest

from kobert_kit.corpus.shards import Corpus, ShardWriter


@pytest.fixture(scope="session")
def shard_of(tmp_path_factory):
    """A shard of documents, each a list of sentences, each a list of ids."""

    def make(documents, held_out=0.0):
        folder = tmp_path_factory.mktemp("corpus")
        writer = ShardWriter(folder, 60_000)
        for sentences in documents:
            writer.add("ko", sentences, 10)
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
