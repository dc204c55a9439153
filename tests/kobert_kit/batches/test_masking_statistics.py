"""Masks against the distributions of BERT's code (Devlin et al. 2019, appendix A.1)."""

import numpy as np
import pytest

from kobert_kit.batches.counter_random import bits
from kobert_kit.batches.masking import budgets, choose, corrupted, toss
from kobert_kit.batches.options import Masking

SEQUENCES, LENGTH, SPECIAL = 8_000, 128, (0, 60, 127)  # [CLS] A [SEP] B [SEP]
TEXT = LENGTH - len(SPECIAL)
EACH = 19  # of 128 tokens, 15 % rounded
VOCAB = 1_000
TEXT_ID, MASK_ID = VOCAB, VOCAB + 1  # no random piece looks like a mask or like what stood there
SEQUENCE = np.repeat(np.arange(SEQUENCES), LENGTH)
KEYS = bits(11, np.arange(SEQUENCES))


@pytest.fixture(scope="module")
def special():
    one = np.zeros(LENGTH, dtype=bool)
    one[list(SPECIAL)] = True
    return np.tile(one, SEQUENCES)


@pytest.fixture(scope="module")
def chosen(special):
    """152,000 chosen tokens; [SEQUENCES, LENGTH]."""
    budget = budgets(np.full(SEQUENCES, LENGTH), 0.15)
    found = choose(np.ones_like(special), SEQUENCE, special, budget, KEYS)
    return found.reshape(SEQUENCES, LENGTH)


@pytest.fixture(scope="module")
def replaced(chosen):
    """What the chosen tokens became."""
    places = np.flatnonzero(chosen)
    tokens = np.full(SEQUENCES * LENGTH, TEXT_ID, dtype=np.int32)
    found = corrupted(
        *(tokens, places, SEQUENCE, KEYS, Masking()), mask_id=MASK_ID, vocab_size=VOCAB
    )
    return found[places]


def chi_square(counts, expected):
    return ((counts - expected) ** 2 / expected).sum()


def test_the_count_is_that_of_berts_code():
    lengths = range(3, 2_049)
    expected = [max(1, round(length * 0.15)) for length in lengths]  # halves to even: 30 has 4
    assert budgets(np.array(lengths), 0.15).tolist() == expected


def test_every_sequence_has_its_count_and_no_special_token_among_it(chosen):
    assert (chosen.sum(1) == EACH).all()
    assert not chosen[:, SPECIAL].any()


def test_places_of_text_are_chosen_uniformly(chosen):
    counts = np.delete(chosen.sum(0), SPECIAL)
    # Without replacement a place's count varies less than with it.
    statistic = chi_square(counts, SEQUENCES * EACH / TEXT) * (TEXT - 1) / (TEXT - EACH)
    assert statistic < 178  # chi-square with 124 degrees of freedom, 99.9 % point


def test_neighbours_are_chosen_together_as_often_as_any_two(chosen):
    text = np.delete(chosen, SPECIAL, axis=1)
    share = EACH * (EACH - 1) / (TEXT * (TEXT - 1))
    pairs = SEQUENCES * (TEXT - 1)
    together = (text[:, 1:] & text[:, :-1]).sum()
    assert together == pytest.approx(share * pairs, abs=4 * np.sqrt(share * pairs))


def test_neighbouring_sequences_are_masked_independently(chosen):
    together = (chosen[1:] & chosen[:-1]).sum()
    expected = (SEQUENCES - 1) * EACH**2 / TEXT
    assert together == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_of_the_chosen_80_percent_are_masks_10_random_and_10_stay(replaced):
    counts = np.array(
        [(replaced == MASK_ID).sum(), (replaced < VOCAB).sum(), (replaced == TEXT_ID).sum()]
    )
    expected = np.array([0.8, 0.1, 0.1]) * len(replaced)
    assert counts.sum() == len(replaced) == SEQUENCES * EACH
    assert chi_square(counts, expected) < 13.8  # 2 degrees of freedom, 99.9 % point


def test_random_pieces_are_uniform_over_the_whole_vocabulary(replaced):
    # Special ids too, as in BERT's code.
    counts = np.bincount(replaced[replaced < VOCAB], minlength=VOCAB)
    assert counts.min() > 0  # fifteen on average, so none is missed by chance
    assert chi_square(counts, counts.mean()) < 1_143  # 999 degrees of freedom, 99.9 % point


def test_what_becomes_of_a_token_does_not_depend_on_its_place(chosen, replaced):
    place = np.flatnonzero(chosen) % LENGTH
    masked = np.bincount(place, weights=replaced == MASK_ID, minlength=LENGTH)
    every = np.bincount(place, minlength=LENGTH)
    at = every > 0
    # Chi-square with 125 degrees of freedom, one for each place of text, 99.9 % point.
    assert ((masked - 0.8 * every)[at] ** 2 / (0.16 * every[at])).sum() < 179


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_tossed_sequences_have_binomial_counts(special, rate):
    found = toss(np.ones_like(special), SEQUENCE, special, rate, KEYS).reshape(SEQUENCES, LENGTH)
    counts = found.sum(1)
    every = SEQUENCES * TEXT
    variance = rate * (1 - rate)
    assert counts.sum() == pytest.approx(rate * every, abs=4 * np.sqrt(variance * every))
    # The same coin for two tokens would make the counts vary more.
    spread = ((counts - rate * TEXT) ** 2 / (variance * TEXT)).mean()
    assert spread == pytest.approx(1, abs=4 * np.sqrt(2 / SEQUENCES))
    by_place = np.delete(found.sum(0), SPECIAL)
    statistic = ((by_place - rate * SEQUENCES) ** 2).sum() / (variance * SEQUENCES)
    assert statistic < 179  # chi-square with 125 degrees of freedom, 99.9 % point
