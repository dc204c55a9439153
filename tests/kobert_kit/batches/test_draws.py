"""Every draw depends on all that names it: run, language, epoch and sequence.

Two languages of the same text show it: nothing but its name tells one from the other.
"""

import itertools

import numpy as np
import pytest

from kobert_kit.batches import batches as batches_module
from kobert_kit.batches import sequences
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import Phase

CODES = ("de", "en")
OTHERS = [{"seed": 2}, {"language": 1}, {"epoch": 1}]


def documents_of(seed, number=60):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 20, (number, 12))
    return [[rng.integers(300, 900, size).tolist() for size in document] for document in sizes]


@pytest.fixture(scope="module")
def write(corpus_of, vocabulary):
    named = {"vocabulary": vocabulary.fingerprint, "size": len(vocabulary)}
    return lambda documents: corpus_of(documents, CODES, held_out=0.1, **named)


@pytest.fixture(scope="module")
def twins(write):
    return write(documents_of(0))


@pytest.fixture
def make(twins, vocabulary, monkeypatch):
    # Which pairs are short depends on the seed; without, each run has the same sequences.
    monkeypatch.setattr(sequences, "SHORT_SHARE", 0.0)
    options = {"windows": 1, "length": 48, "phases": [Phase(alpha=1)]}
    return lambda seed=1, corpus=twins: Batches(corpus, vocabulary, seed=seed, **options)


def steps_of(batches, language, epoch):
    """The steps, of one window each, in which a language is read so many times."""
    steps = np.arange(4_000)
    found, within = batches.plan.find(steps)
    mine = (found == language) & (within // batches._windows.counts[language] == epoch)
    return steps[mine].tolist()


def epoch_of(make, seed=1, language=0, epoch=0):
    """What is drawn for each window of an epoch, and the texts of its sequences."""
    batches = make(seed)
    steps = steps_of(batches, language, epoch)
    assert len(steps) == batches._windows.counts[language]
    return [(batches.drawn(step, 0, 1), batches.texts(step)) for step in steps]


def by_number(made, *names):
    """Columns of the texts, for each sequence of the epoch."""
    return {
        int(number): tuple(int(getattr(texts, name)[i]) for name in names)
        for drawn, texts in made
        for i, number in enumerate(drawn.number)
    }


def same_share(first, second):
    assert first.keys() == second.keys()
    return np.mean([first[number] == second[number] for number in first])


@pytest.mark.parametrize("other", OTHERS)
def test_windows_come_in_another_order(make, other):
    # A window is told by the lengths in it, whichever sequences of these lengths it has.
    lengths = make()._train.lengths  # language 0 comes first
    orders = [
        [tuple(sorted(lengths[drawn.number])) for drawn, _ in epoch_of(make, **options)]
        for options in ({}, other)
    ]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize("other", OTHERS)
def test_texts_are_paired_in_another_way(make, other):
    ranges = ("a_begin", "a_end", "b_begin", "b_end")
    first, second = (by_number(epoch_of(make, **options), *ranges) for options in ({}, other))
    assert same_share(first, first) == 1
    assert same_share(first, second) < 0.3


@pytest.mark.parametrize("other", OTHERS)
def test_masks_are_drawn_anew(make, other):
    first, second = (by_number(epoch_of(make, **options), "keys") for options in ({}, other))
    assert len(set(first.values())) == len(first)  # each sequence has its own
    assert not set(first.values()) & set(second.values())


def test_the_same_names_draw_the_same(make):
    columns = ("a_begin", "a_end", "b_begin", "b_end", "label", "keys")
    first, second = (by_number(epoch_of(make, epoch=2), *columns) for _ in range(2))
    assert first == second


def test_evaluation_draws_what_no_epoch_of_training_does(make):
    # Its seed is 0: a run of this seed must not meet its pairs and masks.
    batches, keys = make(0), []
    batches._assembly.batch = lambda texts, *_: keys.extend(texts.keys.tolist())
    list(batches.held_out(1_000))
    trained = [by_number(epoch_of(make, 0, epoch=epoch), "keys").values() for epoch in range(3)]
    assert len(keys) > 0
    assert not {(key,) for key in keys} & set().union(*trained)


def test_evaluation_takes_its_texts_from_everywhere(make):
    batches = make()
    drawn = batches._evaluated(8)
    numbers = drawn.number[drawn.language == 0]
    assert len(numbers) == len(set(numbers.tolist())) == 8 < batches._kept.first[1]
    assert set(numbers.tolist()) != set(range(8))


def test_another_text_is_another_fingerprint(make, write):
    documents = documents_of(0)
    documents[7][3][0] += 1
    assert make(corpus=write(documents)).fingerprint != make().fingerprint


def test_languages_are_weighed_by_their_training_text_alone(twins, make):
    shard = twins.shards["de"]
    sizes = np.diff(shard.sentences[shard.documents])
    training = int(sizes[~shard.held_out()].sum())
    assert training < len(shard.tokens)
    assert batches_module._tokens(shard) == training


def test_frequencies_are_counted_in_the_documents_that_reach_so_many_tokens(
    twins, make, monkeypatch
):
    shard = twins.shards["de"]
    sizes = np.diff(shard.sentences[shard.documents]).tolist()
    for most in (1, sizes[0], sizes[0] + 1, sum(sizes[:5]), sum(sizes) + 1):
        monkeypatch.setattr(batches_module, "COUNTED", most)
        enough = next(
            (n for n, end in enumerate(itertools.accumulate(sizes), 1) if end >= most), len(sizes)
        )
        counted = sum(
            size for size, held in zip(sizes[:enough], shard.held_out(), strict=False) if not held
        )
        assert make().training_counts("de").sum() == counted
