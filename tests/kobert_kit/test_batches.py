from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from kobert_kit.corpus.batches import IGNORED, Batches
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.masking import capacity
from kobert_kit.corpus.shards import Corpus
from kobert_vocab.errors import InputError

SEQUENCES, LENGTH = 16, 48


@pytest.fixture(scope="module")
def batches(corpus, vocabulary):
    return Batches(corpus, vocabulary, seed=1, sequences=SEQUENCES, length=LENGTH)


def sequences_of(batch):
    for begin, end in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True):
        yield slice(begin, end)


def test_shapes_and_order(batches, vocabulary):
    for step in range(30):
        batch = batches[step]
        total = batch.cu_seqlens[-1]
        assert len(batch.tokens) == len(batch.positions) == len(batch.segments) == total
        assert len(batch.is_next) == len(batch.language) == SEQUENCES
        assert len(batch.masked) == len(batch.labels) == SEQUENCES * capacity(LENGTH, 0.15)
        assert batch.max_seqlen == np.diff(batch.cu_seqlens).max() <= LENGTH
        for part in sequences_of(batch):
            np.testing.assert_array_equal(batch.positions[part], np.arange(part.stop - part.start))
            segments = batch.segments[part]
            assert (np.diff(segments) >= 0).all()
            tokens = batch.tokens[part]
            assert tokens[0] == vocabulary.cls
            assert tokens[-1] == vocabulary.sep
            assert tokens[np.flatnonzero(segments == 0)[-1]] == vocabulary.sep


def test_labels_are_what_stood_there(batches, vocabulary):
    masked = kept = 0
    for step in range(60):
        batch = batches[step]
        used = batch.labels != IGNORED
        at = batch.masked[used]
        assert len(np.unique(at)) == len(at)
        assert not np.isin(batch.labels[used], [vocabulary.cls, vocabulary.sep]).any()
        masked += (batch.tokens[at] == vocabulary.mask).sum()
        kept += (batch.tokens[at] == batch.labels[used]).sum()
        total = used.sum()
        lengths = np.diff(batch.cu_seqlens)
        assert total == sum(min(capacity(n, 0.15), n - 3) for n in lengths)
    assert kept > 0
    assert masked / kept == pytest.approx(8, rel=0.35)


def test_a_batch_is_a_function_of_seed_and_step(corpus, vocabulary, batches):
    again = Batches(corpus, vocabulary, seed=1, sequences=SEQUENCES, length=LENGTH)
    far = again[10**9]  # in any order, from anywhere
    for step in (7, 0, 10**9):
        a, b = batches[step], far if step == 10**9 else again[step]
        for field in fields(a):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))
    other = Batches(corpus, vocabulary, seed=2, sequences=SEQUENCES, length=LENGTH)
    assert not np.array_equal(other[0].tokens, batches[0].tokens)


def test_batch_size_does_not_change_the_samples(corpus, vocabulary, batches):
    single = Batches(corpus, vocabulary, seed=1, sequences=1, length=LENGTH)
    together = batches[3]
    for number, part in enumerate(sequences_of(together)):
        np.testing.assert_array_equal(single[3 * SEQUENCES + number].tokens, together.tokens[part])


def test_an_epoch_reads_all_training_text_and_none_held_out(corpus, vocabulary):
    shard = corpus.shards["en"]
    batches = Batches(
        corpus, vocabulary, seed=0, sequences=SEQUENCES, length=LENGTH, floors={"en": 0.9}
    )
    held = {tuple(s) for s in _sentences(shard, shard.held_out())}
    trained = {tuple(s) for s in _sentences(shard, ~shard.held_out())}
    seen = Counter()
    for step in range(20):
        batch = batches[step]
        tokens = batch.tokens.astype(int)
        tokens[batch.masked[batch.labels != IGNORED]] = batch.labels[batch.labels != IGNORED]
        for part in sequences_of(batch):
            text = tokens[part]
            for sentence in held | trained:
                if _within(sentence, text):
                    seen[sentence] += 1
    assert not held & set(seen)
    assert trained == trained & set(seen)


def _sentences(shard, which):
    for document in np.flatnonzero(which):
        for s in range(shard.documents[document], shard.documents[document + 1]):
            yield shard.tokens[shard.sentences[s] : shard.sentences[s + 1]].tolist()


def _within(sentence, text):
    windows = np.lib.stride_tricks.sliding_window_view(text, min(len(sentence), len(text)))
    return len(sentence) <= len(text) and (windows == sentence).all(1).any()


def test_training_counts_leave_held_out_documents_out(batches, corpus):
    shard = corpus.shards["ru"]
    expected = Counter(t for s in _sentences(shard, ~shard.held_out()) for t in s)
    counts = batches.training_counts("ru")
    assert counts.sum() == sum(expected.values())
    assert all(counts[token] == count for token, count in expected.items())


def test_held_out_batches_are_always_the_same(batches, corpus):
    first, second = list(batches.held_out(4)), list(batches.held_out(4))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.labels, b.labels)
    seen = Counter(batches.plan.languages[i] for batch in first for i in batch.language)
    assert set(seen) == set(corpus.shards)
    assert max(seen.values()) <= 4


def test_a_corpus_without_held_out_text_is_refused(vocab_folder, vocabulary, tmp_path):
    (tmp_path / "ko.txt").write_text("첫째 문장이다.\n둘째 문장이다.\n", encoding="utf-8")
    build_corpus([tmp_path / "ko.txt"], vocab=vocab_folder, out=tmp_path / "c")
    with pytest.raises(InputError, match="put blank lines between documents"):
        Batches(Corpus.load(tmp_path / "c"), vocabulary, seed=0, sequences=1, length=LENGTH)


def test_another_vocabulary_is_refused(corpus, vocabulary):
    class Other:
        fingerprint = "another"

    with pytest.raises(InputError, match="another vocabulary"):
        Batches(corpus, Other(), seed=0, sequences=1, length=LENGTH)
