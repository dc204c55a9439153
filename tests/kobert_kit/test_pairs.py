import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.corpus.pairs import Stretches
from kobert_kit.corpus.shards import Corpus, ShardWriter

LENGTH = 61  # tokens of a full pair


def corpus_of(folder, documents, held_out=0.0):
    """A corpus of one language; a document is a list of sentences, a sentence a list of ids."""
    writer = ShardWriter(folder, 60_000)
    for sentences in documents:
        writer.add("ko", sentences, 10)
    writer.finish("test", held_out)
    return Corpus.load(folder)


def numbered(documents, sentences, seed=0):
    """Documents of ids 1000 * (document + 1) + running number: a token names its place."""
    rng = np.random.default_rng(seed)
    result = []
    for document in range(documents):
        lengths = rng.integers(1, 25, size=sentences)
        ends = lengths.cumsum()
        result.append(
            [list(range(1000 * (document + 1) + e - n, 1000 * (document + 1) + e))
             for e, n in zip(ends, lengths, strict=True)]
        )  # fmt: skip
    return result


@pytest.fixture
def stretches(tmp_path):
    corpus = corpus_of(tmp_path, numbered(12, 30))
    return Stretches(corpus.shards["ko"], held_out=False, length=LENGTH)


def all_pairs(stretches, epochs=20):
    return [
        stretches.pair(i, 5, epoch, i) for epoch in range(epochs) for i in range(len(stretches))
    ]


def test_stretches_hold_every_sentence_once(stretches):
    assert stretches.begins[0] == 0
    assert stretches.ends[-1] == 12 * 30
    np.testing.assert_array_equal(stretches.begins[1:], stretches.ends[:-1])
    # and never cross a document
    np.testing.assert_array_equal(stretches.begins // 30, (stretches.ends - 1) // 30)


def test_a_pair_fits_and_has_both_parts(stretches):
    for pair in all_pairs(stretches):
        assert len(pair.a) >= 1
        assert len(pair.b) >= 1
        assert len(pair.a) + len(pair.b) <= LENGTH


def test_a_next_sentence_comes_next(stretches):
    for pair in all_pairs(stretches):
        together = np.concatenate([pair.a, pair.b]).astype(int)
        if pair.is_next == 0:
            assert len(set(together // 1000)) == 1
            # Ids run on without a gap but where truncation cut A's end or B's front.
            gaps = np.flatnonzero(np.diff(together) != 1)
            assert set(gaps) <= {len(pair.a) - 1}


def test_a_random_sentence_comes_from_another_document(stretches):
    random = [pair for pair in all_pairs(stretches) if pair.is_next == 1]
    other = [pair for pair in random if pair.a[0] // 1000 != pair.b[0] // 1000]
    # 10 tries among 12 documents of like size miss with 12^-10.
    assert len(other) == len(random)
    for pair in random:
        assert len(set(pair.b // 1000)) == 1
        assert (np.diff(pair.b.astype(int)) == 1).all()


def test_a_little_more_than_half_are_random(stretches):
    pairs = all_pairs(stretches, epochs=60)
    share = np.mean([pair.is_next for pair in pairs])
    # Half by the coin, and all stretches of one sentence: short targets make some of these.
    assert 0.5 < share < 0.6


def test_a_tenth_are_short(tmp_path):
    # Sentences of one token, so that a pair meets its target exactly.
    corpus = corpus_of(tmp_path, [[[i] for i in range(600)] for _ in range(3)])
    stretches = Stretches(corpus.shards["ko"], held_out=False, length=LENGTH)
    lengths = [len(p.a) + len(p.b) for p in all_pairs(stretches, epochs=200) if p.is_next == 0]
    full = np.mean([n == LENGTH for n in lengths[: len(lengths)]])
    # 90 %, and the last stretch of each document may be short: 600 = 9 * 61 + 51.
    assert 0.77 < full < 0.86
    assert min(lengths) <= 4


def test_both_ends_are_cut(tmp_path):
    corpus = corpus_of(tmp_path, [[list(range(100 * d, 100 * d + 100))] * 4 for d in range(4)])
    stretches = Stretches(corpus.shards["ko"], held_out=False, length=LENGTH)
    fronts = [int(pair.a[0]) % 100 for pair in all_pairs(stretches, epochs=50)]
    backs = [99 - int(pair.a[-1]) % 100 for pair in all_pairs(stretches, epochs=50)]
    assert np.mean(fronts) == pytest.approx(np.mean(backs), rel=0.1)
    assert np.mean(fronts) > 10


def test_one_document_alone_still_gives_pairs(tmp_path):
    corpus = corpus_of(
        tmp_path,
        [
            [[1, 2, 3]],
        ],
    )
    stretches = Stretches(corpus.shards["ko"], held_out=False, length=LENGTH)
    pair = stretches.pair(0, 1)
    assert pair.is_next == 1
    assert pair.a.tolist() == pair.b.tolist() == [1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=8),
        min_size=1,
        max_size=6,
    ),
    st.integers(2, 50),
)
def test_any_corpus_gives_pairs_that_fit(tmp_path_factory, documents, length):
    corpus = corpus_of(tmp_path_factory.mktemp("corpus"), documents)
    stretches = Stretches(corpus.shards["ko"], held_out=False, length=length)
    for index in range(len(stretches)):
        pair = stretches.pair(index, 0, index)
        assert len(pair.a) >= 1
        assert len(pair.b) >= 1
        assert len(pair.a) + len(pair.b) <= length


def test_the_split_is_by_document_and_copies_stay_together(tmp_path):
    documents = numbered(20, 5) + numbered(20, 5)
    corpus = corpus_of(tmp_path, documents, held_out=0.25)
    held = corpus.shards["ko"].held_out()
    np.testing.assert_array_equal(held[:20], held[20:])
    assert 4 <= held.sum() <= 10
    sides = [Stretches(corpus.shards["ko"], held_out=h, length=LENGTH) for h in (False, True)]
    trained, kept = ({int(t) // 1000 for p in all_pairs(s, 2) for t in p.a} for s in sides)
    assert not trained & kept
