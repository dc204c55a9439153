import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.batches.sequences import LONGEST_WORD, SENTENCE_SLACK, cut

VOCAB = 60_000
NEVER = np.zeros(VOCAB, dtype=bool)
ALWAYS = ~NEVER
DOCUMENTS = st.lists(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=8),
    min_size=1,
    max_size=6,
)


def cut_up(shard, pairing="none", *, length=61, starts_word=NEVER, held_out=False, seed=0):
    return cut(
        shard,
        held_out=held_out,
        length=length,
        pairing=pairing,
        seed=seed,
        starts_word=starts_word,
    )


def numbers(of, begin, end):
    return of[begin:end].astype(int)


def test_every_token_is_in_one_sequence_and_none_crosses_a_document(shard_of, numbered):
    shard = shard_of(numbered(12, 30))
    found = cut_up(shard)
    assert found.begins[0] == 0
    assert found.ends[-1] == len(shard.tokens)
    np.testing.assert_array_equal(found.begins[1:], found.ends[:-1])
    first, last = shard.tokens[found.begins], shard.tokens[found.ends - 1]
    np.testing.assert_array_equal(first // 1000, last // 1000)
    assert found.lengths.max() <= 61


def test_a_document_that_fits_is_not_split(shard_of):
    shard = shard_of([[[1] * 20, [2] * 30], [[3] * 59], [[4] * 60]])
    found = cut_up(shard)
    assert found.lengths.tolist() == [52, 61, 61, 3]


def test_long_documents_are_cut_before_words(shard_of):
    shard = shard_of([[list(range(1, 200))]])
    starts = NEVER.copy()
    starts[::10] = True
    found = cut_up(shard, starts_word=starts)
    assert [int(token) for token in shard.tokens[found.begins]] == [1, 60, 110, 160]


def test_words_longer_than_is_looked_back_are_cut(shard_of):
    shard = shard_of([[list(range(1, 200))]])
    starts = NEVER.copy()
    starts[60 - LONGEST_WORD] = True
    assert shard.tokens[cut_up(shard, starts_word=starts).begins][1] == 60


def test_a_sentence_that_ends_near_is_preferred_to_a_word(shard_of):
    room = 4 * SENTENCE_SLACK
    for sentence, expected in ((room - 3, room - 3), (room - 6, room)):
        shard = shard_of([[list(range(sentence)), list(range(sentence, 2 * room))]])
        found = cut_up(shard, length=room + 2, starts_word=ALWAYS)
        assert found.ends[0] == expected


def test_a_sentence_that_just_fits_is_a_sequence(shard_of):
    starts = NEVER.copy()
    starts[50] = True  # else it would be cut here
    shard = shard_of([[list(range(59)), list(range(60, 160))]])
    assert cut_up(shard, starts_word=starts).ends[0] == 59


@pytest.mark.parametrize("pairing", ["next", "order"])
def test_stretches_hold_every_sentence_once(shard_of, numbered, pairing):
    found = cut_up(shard_of(numbered(12, 30)), pairing)
    assert found.begins[0] == 0
    assert found.ends[-1] == 12 * 30
    np.testing.assert_array_equal(found.begins[1:], found.ends[:-1])
    np.testing.assert_array_equal(found.begins // 30, (found.ends - 1) // 30)


def test_a_stretch_ends_with_the_sentence_that_reaches_its_target(shard_of, numbered):
    shard = shard_of(numbered(12, 30))
    found = cut_up(shard, "next")
    text = found.lengths - 3
    tokens = shard.sentences[found.ends] - shard.sentences[found.begins]
    but_the_last = shard.sentences[found.ends - 1] - shard.sentences[found.begins]
    several = found.ends - found.begins > 1
    assert (text[several] <= tokens[several]).all()
    assert (but_the_last[several] < text[several]).all()


def test_a_tenth_of_pairs_is_short(shard_of):
    # Sentences of one token, so that a pair meets its target exactly.
    shard = shard_of([[[1]] * 900 for _ in range(300)])
    found = cut_up(shard, "next", length=11)
    whole = (found.lengths - 3)[found.ends % 900 != 0]  # not cut off by a document's end
    # Targets are uniform in 2 to 8, so one in seven of the tenth has the full length all the same.
    share, is_short = 0.1 * 6 / 7, whole < 8
    allowed = 4 * np.sqrt(share * (1 - share) / len(whole))
    assert is_short.mean() == pytest.approx(share, abs=allowed)
    assert whole.min() == 2
    counts = np.bincount(whole[is_short])[2:]
    # Chi-square with 5 degrees of freedom, 99.9 % point.
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 20.5


def test_another_seed_cuts_other_short_pairs(shard_of):
    shard = shard_of([[[1]] * 600])
    seeds = [cut_up(shard, "next", seed=seed).lengths.tolist() for seed in range(3)]
    assert seeds[0] != seeds[1] != seeds[2]


def test_a_sentence_alone_leaves_room_for_another_text_as_long(shard_of):
    shard = shard_of([[[1] * 10] for _ in range(400)])
    text = cut_up(shard, "next").lengths - 3
    # All but the short pairs, a tenth, of which a third has a target below 20 tokens.
    assert text.max() == 20
    assert (text == 20).mean() > 0.93
    assert (cut_up(shard, "order").lengths - 3).max() == 10


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.integers(8, 50), st.sampled_from(["none", "next", "order"]))
def test_any_corpus_is_cut_into_sequences_that_fit(shard_of, documents, length, pairing):
    found = cut_up(shard_of(documents), pairing, length=length)
    assert (found.begins < found.ends).all()
    assert found.lengths.min() > (2 if pairing == "none" else 3)
    assert found.lengths.max() <= length
    assert (np.diff(found.lengths[found.by_length]) >= 0).all()
    assert found.before[-1] == found.lengths.sum()


def test_the_split_is_by_document_and_copies_stay_together(shard_of, numbered):
    shard = shard_of(numbered(20, 5) + numbered(20, 5), held_out=0.25)
    held = shard.held_out()
    np.testing.assert_array_equal(held[:20], held[20:])
    assert 4 <= held.sum() <= 10
    texts = [
        {int(t) // 1000 for t in shard.tokens[side.begins]}
        for side in (cut_up(shard, held_out=False), cut_up(shard, held_out=True))
    ]
    assert texts[0] | texts[1] == set(range(1, 21))
    assert not texts[0] & texts[1]
