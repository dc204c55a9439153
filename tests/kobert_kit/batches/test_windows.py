from itertools import chain, product

import numpy as np
import pytest

from kobert_kit.batches.sequences import Sequences, join
from kobert_kit.batches.windows import LEAST_WINDOWS, Windows

WINDOW = 32


def windows_of(*languages):
    """Windows of languages, each given by the lengths of its sequences."""
    return Windows(join([sequences_of(np.array(lengths)) for lengths in languages]), WINDOW)


def sequences_of(lengths):
    none, all_of = np.zeros(1, dtype=int), np.array([0, len(lengths)])
    return Sequences(
        begins=lengths,
        ends=lengths,
        lengths=lengths,
        starts=none,
        documents=none,
        first=all_of,
        counted=all_of,
        tokens=all_of,
    )


def dealt(windows, language=0, seed=0, turn=0):
    """Epoch and number of the sequences in each window of a round, in the order of its plan."""
    number_of = np.arange(windows.counts[language])
    same = np.full_like(number_of, language)
    owner, number, epoch = windows.sequences(same, number_of, seed, np.full_like(same, turn))
    pairs = np.stack([epoch, number], axis=1)
    return [[tuple(pair) for pair in pairs[owner == window].tolist()] for window in number_of]


def drawn_lengths(seed, number):
    return np.random.default_rng(seed).integers(3, WINDOW + 1, number).tolist()


def test_each_language_is_dealt_once_an_epoch_in_windows_that_hold_it():
    languages = [drawn_lengths(seed, number) for seed, number in ((1, 300), (2, 1), (3, 90))]
    windows = windows_of(*languages)
    for which, lengths in enumerate(languages):
        epochs = windows.epochs[which]
        assert (epochs > 1) == (sum(lengths) < LEAST_WINDOWS * WINDOW)
        for turn in range(2):
            made = dealt(windows, which, turn=turn)
            expected = product(range(turn * epochs, (turn + 1) * epochs), range(len(lengths)))
            assert sorted(chain(*made)) == list(expected)
            assert all(sum(lengths[number] for _, number in one) <= WINDOW for one in made)


def test_the_windows_of_a_small_language_are_full_too():
    made = dealt(windows_of([10] * 4))  # one epoch alone has windows of 30 and 10 tokens
    assert np.mean([10 * len(one) / WINDOW for one in made]) > 0.92


def test_windows_of_many_languages_are_looked_up_at_once():
    windows = windows_of(drawn_lengths(1, 50), drawn_lengths(2, 80))
    language, window = np.array([1, 0, 0, 1]), np.array([7, 3, 0, 0])
    turn = np.array([2, 0, 5, 2])
    owner, number, epoch = windows.sequences(language, window, 4, turn)
    for i in range(4):
        mine = owner == i
        alone = dealt(windows, language[i], 4, turn[i])[window[i]]
        assert list(zip(epoch[mine], number[mine], strict=True)) == alone


def test_sequences_of_two_lengths_meet_by_chance():
    # A hundred windows, each of one long and one short sequence.
    numbers = np.array(dealt(windows_of([20] * 100 + [12] * 100)))[:, :, 1]
    long, short = numbers.min(1), numbers.max(1) - 100
    assert (long == short).sum() < 10  # one is expected; the same order for both would give 100
    assert abs(np.corrcoef(long, short)[0, 1]) < 4 / np.sqrt(100)


@pytest.mark.parametrize("changed", [{"language": 1}, {"seed": 1}, {"turn": 1}])
def test_another_language_seed_or_round_deals_in_another_way(changed):
    lengths = drawn_lengths(0, 200)
    windows = windows_of(lengths, lengths)
    together = [
        {frozenset(n for _, n in one) for one in dealt(windows, **options) if len(one) > 1}
        for options in ({}, changed)
    ]
    assert len(together[0] & together[1]) < len(together[0]) / 2


def test_sums_are_those_of_all_windows_written_out():
    languages = drawn_lengths(1, 300), [8] * 400
    windows = windows_of(*languages)
    of_slots = windows.lengths**2
    sums = [
        sum(lengths[number] ** 2 for _, number in one)
        for which, lengths in enumerate(languages)
        for one in dealt(windows, which)
    ]
    assert len(sums) == windows.counts.sum()
    assert windows.sums(of_slots) == pytest.approx((np.mean(sums), np.var(sums), max(sums)))
