import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.batches import sequences as sequences_module
from kobert_kit.batches.batch import IGNORED
from kobert_kit.batches.pairs import draw_pairs
from kobert_kit.batches.sequences import Sequences, cut, join
from kobert_kit.corpus.shards import Shard

LENGTH = 64
NEVER = np.zeros(60_000, dtype=bool)


@dataclass(frozen=True, kw_only=True)
class CutUp(Sequences):
    """Sequences with the text they are of."""

    shard: Shard


def cut_up(shard, pairing="next", length=LENGTH, seed=0):
    options = {"length": length, "pairing": pairing, "seed": seed, "starts_word": NEVER}
    return CutUp(**vars(cut(shard, held_out=False, **options)), shard=shard)


def all_pairs(sequences, pairing="next", epochs=20):
    """A, B, label and length of each pair of each epoch."""
    which = np.arange(len(sequences))
    tokens = sequences.shard.tokens.astype(int)
    for epoch in range(epochs):
        p = draw_pairs(sequences, which, pairing, 5, 0, np.full(len(which), epoch))
        columns = (p.a_begin, p.a_end, p.b_begin, p.b_end, p.label, sequences.lengths)
        for a, a_end, b, b_end, label, length in zip(*map(np.ndarray.tolist, columns), strict=True):
            yield tokens[a:a_end], tokens[b:b_end], label, length


@pytest.fixture
def sequences(shard_of, numbered):
    return cut_up(shard_of(numbered(12, 30)))


def test_a_pair_has_both_parts_and_the_length_that_was_planned(sequences):
    for a, b, label, length in all_pairs(sequences):
        assert len(a) >= 1
        assert len(b) >= 1
        if label == 0:
            assert len(a) + len(b) + 3 == length
        assert len(a) + len(b) + 3 <= length


def test_a_random_text_is_nearly_always_as_long_as_planned(sequences):
    found = [(len(a) + len(b) + 3) / n for a, b, label, n in all_pairs(sequences) if label == 1]
    assert np.mean(found) > 0.99


def test_a_next_sentence_comes_next(sequences):
    for a, b, label, _ in all_pairs(sequences):
        if label == 0:
            together = np.concatenate([a, b])
            assert len(set(together // 1000)) == 1
            # Ids run on without a gap but where truncation cut A's end or B's front.
            assert set(np.flatnonzero(np.diff(together) != 1)) <= {len(a) - 1}


def test_a_random_text_is_one_stretch_of_another_document(sequences):
    for a, b, label, _ in all_pairs(sequences):
        if label == 1:
            # 10 tries among 12 documents of like size miss with 12^-10.
            assert a[0] // 1000 != b[0] // 1000
            assert (np.diff(b) == 1).all()


def test_a_random_text_may_come_from_anywhere(sequences):
    begins = [b[0] for _, b, label, _ in all_pairs(sequences, epochs=100) if label == 1]
    documents = np.bincount(np.array(begins) // 1000, minlength=13)[1:]
    assert documents.min() > documents.mean() / 2
    assert np.ptp(np.array(begins) % 1000) > 300


@pytest.fixture
def no_short_pairs(monkeypatch):
    monkeypatch.setattr(sequences_module, "SHORT_SHARE", 0.0)


def test_a_random_text_begins_at_any_sentence_that_has_enough_behind_it(shard_of, no_short_pairs):
    # Sentences of four tokens alone, and a document of ten tokens that are sentences each.
    alone = [[[100 + n] * 4] for n in range(30)]
    sequences = cut_up(shard_of([*alone, [[n] for n in range(10)]]))
    begins = [b[0] for a, b, _, _ in all_pairs(sequences, epochs=400) if a[0] >= 100 > b[0]]
    counts = np.bincount(begins)
    assert len(counts) == 7  # 0 to 6: four tokens have to follow
    # Chi-square with 6 degrees of freedom, 99.9 % point.
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 22.5


def test_a_random_text_is_of_a_document_that_is_just_long_enough(shard_of, no_short_pairs):
    sizes = [4] * 20 + [3] * 20
    sequences = cut_up(shard_of([[[10 + n] * size] for n, size in enumerate(sizes)]))
    found = Counter((len(a), len(b)) for a, b, _, _ in all_pairs(sequences))
    assert {pair for pair in found if pair[0] == 4} == {(4, 4)}
    assert {pair for pair in found if pair[0] == 3} == {(3, 3)}


def test_a_random_text_ends_with_its_document_where_none_is_long_enough(shard_of, no_short_pairs):
    short = [[[1000 * n, 1000 * n + 1]] * 2 for n in range(2, 22)]
    sequences = cut_up(shard_of([[[number] for number in range(300)], *short]))
    # Ten tries may all give the long document itself.
    found = [b for a, b, _, _ in all_pairs(sequences) if a[0] < 1000 <= b[0]]
    assert {len(b) for b in found} == {2, 4}
    assert all(len(set(b // 1000)) == 1 for b in found)


def test_documents_are_drawn_by_their_length(shard_of, no_short_pairs):
    # Twenty that fill one pair, and ten that fill three; the first that is another one is taken.
    sequences = cut_up(shard_of([[[1]] * 61] * 20 + [[[2]] * 183] * 10))
    assert len(sequences) == 20 + 3 * 10
    drawn = [b[0] for a, b, label, _ in all_pairs(sequences, epochs=100) if label and a[0] == 1]
    share = 30 / 49
    allowed = 4 * np.sqrt(share * (1 - share) / len(drawn))
    assert np.mean(np.array(drawn) == 2) == pytest.approx(share, abs=allowed)


def test_a_coin_decides_unless_there_is_one_sentence(sequences, shard_of):
    alone = sequences.ends - sequences.begins == 1
    labels = np.array([label for _, _, label, _ in all_pairs(sequences, epochs=200)])
    labels = labels.reshape(200, len(sequences))
    assert (labels[:, alone] == 1).all()
    several = labels[:, ~alone]
    assert several.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / several.size))
    assert labels.mean() > 0.5


def test_any_sentence_may_end_a(shard_of):
    sequences = cut_up(shard_of([[[i] for i in range(10)]]))
    one = sequences.lengths[0] - 3
    cuts = [len(a) for a, _, label, n in all_pairs(sequences, epochs=3000) if n - 3 == one]
    counts = np.bincount(cuts)[1:one]
    assert len(counts) == one - 1
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 27.9  # 8 degrees, 99.9 %


def test_the_longer_part_loses_tokens_at_both_ends_by_fair_coins(shard_of):
    # Sentences of 150 tokens alone: 120 of each have to go, so more coins than 64 bits hold.
    at = range(0, 45_000, 150)
    documents = [[list(range(begin, begin + 150))] for begin in at]
    fronts, backs = [], []
    for a, b, _, n in all_pairs(cut_up(shard_of(documents)), epochs=20):
        assert len(a) + len(b) == n - 3
        assert abs(len(a) - len(b)) <= 1
        fronts.append((a[0] % 150, b[0] % 150))
        backs.append((149 - a[-1] % 150, 149 - b[-1] % 150))
    fronts, backs = np.array(fronts), np.array(backs)
    lost = fronts + backs
    # Of n fair coins n/2 fall on heads, with variance n/4; each part has coins of its own.
    off = (fronts - lost / 2) / np.sqrt(lost / 4)
    number = len(off)
    assert np.abs(off.mean(0)).max() < 4 / np.sqrt(number)
    assert np.abs((off**2).mean(0) - 1).max() < 4 * np.sqrt(2 / number)
    assert abs((off[:, 0] * off[:, 1]).mean()) < 4 / np.sqrt(number)


def truncated_one_by_one(a, b, most):
    """How BERT's code counts: the longer part loses a token, B where both are alike."""
    while a + b > most:
        if a > b:
            a -= 1
        else:
            b -= 1
    return a, b


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=2), st.integers(8, 40))
def test_lengths_are_those_of_truncation_token_by_token(shard_of, sentences, length):
    first, second = sentences
    sequences = cut_up(shard_of([[[1] * first, [2] * second]]), "next", length)
    if len(sequences) > 1:
        return  # the first sentence reaches the target by itself
    for a, b, label, n in all_pairs(sequences):
        if label == 0:
            assert (len(a), len(b)) == truncated_one_by_one(first, second, n - 3)


def test_one_document_alone_still_gives_pairs(shard_of):
    sequences = cut_up(shard_of([[[1, 2, 3]]]))
    for a, b, label, _ in all_pairs(sequences):
        assert label == 1
        assert set(a) <= {1, 2, 3}
        assert set(b) <= {1, 2, 3}


def test_the_order_is_right_or_exchanged(shard_of, numbered):
    sequences = cut_up(shard_of(numbered(12, 30)), "order")
    labels = []
    for a, b, label, length in all_pairs(sequences, "order"):
        assert len(a) + len(b) + 3 == length
        assert a[0] // 1000 == b[0] // 1000
        if label != IGNORED:
            labels.append(label)
            assert (a[-1] > b[0]) == bool(label)
    assert np.mean(labels) == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / len(labels)))


def test_a_sentence_alone_is_cut_to_be_ordered(shard_of):
    sequences = cut_up(shard_of([[list(range(10))]]), "order")
    cuts = {len(a) for a, _, label, _ in all_pairs(sequences, "order", 200) if label == 0}
    assert cuts <= set(range(1, 10))
    assert len(cuts) > 1


def test_one_token_has_no_order(shard_of):
    sequences = cut_up(shard_of([[[7]]]), "order")
    for a, b, label, _ in all_pairs(sequences, "order"):
        assert (a.tolist(), b.tolist(), label) == ([7], [], IGNORED)


def test_pairs_do_not_know_of_each_other(sequences):
    which, epoch = np.arange(len(sequences)), np.zeros(len(sequences), dtype=int)
    together = draw_pairs(sequences, which, "next", 5, 0, epoch)
    for i in which[::7]:
        alone = draw_pairs(sequences, which[i : i + 1], "next", 5, 0, epoch[:1])
        for name in ("a_begin", "a_end", "b_begin", "b_end", "label"):
            assert getattr(together, name)[i] == getattr(alone, name)[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=8),
        min_size=1,
        max_size=6,
    ),
    st.integers(8, 50),
    st.sampled_from(["next", "order"]),
)
def test_any_corpus_gives_pairs_that_fit(shard_of, documents, length, pairing):
    sequences = cut_up(shard_of(documents), pairing, length)
    for a, b, label, planned in itertools.islice(all_pairs(sequences, pairing, 3), 200):
        assert len(a) >= 1
        assert len(b) >= (label != IGNORED)
        assert len(a) + len(b) + 3 <= planned <= length


@pytest.mark.parametrize("pairing", ["next", "order"])
def test_a_language_among_others_has_the_pairs_it_has_alone(shard_of, numbered, pairing):
    shards = [shard_of(numbered(3 + 4 * language, 20, seed=language)) for language in range(3)]
    options = {"held_out": False, "length": LENGTH, "seed": 0, "starts_word": NEVER}
    alone = [cut(shard, pairing=pairing, **options) for shard in shards]
    none, nothing = np.zeros(0, dtype=int), np.zeros(2, dtype=int)
    columns = dict.fromkeys(("begins", "ends", "lengths"), none)
    tables = dict.fromkeys(("starts", "documents"), nothing[:1])
    empty = Sequences(**columns, **tables, first=nothing, counted=nothing, tokens=nothing)
    language = np.repeat(np.arange(3), [len(sequences) for sequences in alone])
    which = np.concatenate([np.arange(len(sequences)) for sequences in alone])
    order = np.random.default_rng(0).permutation(len(which))
    epoch = np.full(len(which), 2)
    together = draw_pairs(join(alone), which[order], pairing, 5, language[order], epoch)
    for code, sequences in enumerate(alone):
        mine = language[order] == code
        by_itself = join([empty] * code + [sequences])
        expected = draw_pairs(by_itself, which[order][mine], pairing, 5, code, epoch[mine])
        for name, column in vars(expected).items():
            np.testing.assert_array_equal(getattr(together, name)[mine], column)
