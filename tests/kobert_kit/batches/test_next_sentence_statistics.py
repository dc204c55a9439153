"""Pairs beside those of the algorithm of BERT's ``create_pretraining_data.py``, written plainly.

Ours differ on purpose: a stretch of text is cut once, not anew each epoch, and a pair's length is
planned. So what is compared are the pairs that both make full; the other tests name a difference.
"""

import random
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pytest

from kobert_kit.batches.pairs import draw_pairs
from kobert_kit.batches.sequences import cut

LENGTH = 128
ROOM = LENGTH - 3
EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class Made:
    """N pairs, an epoch after another."""

    a: np.ndarray
    """[N] tokens of A; so is b of B."""
    b: np.ndarray
    is_random: np.ndarray
    sentences: np.ndarray
    """[N] that A and the text after it were cut from."""
    short: np.ndarray
    """[N] whether it has a shorter target."""
    full: np.ndarray
    """[N] whether it has not, and fills its sequence."""
    read: list[float]
    """[EPOCHS] share of the text's tokens that were in a pair until then."""


def documents_of(number, fewest, most):
    """Documents of so many sentences of 19 tokens on average; each token has an id of its own."""
    rng, at, documents = np.random.default_rng(0), 0, []
    for _ in range(number):
        document = []
        for size in rng.lognormal(2.8, 0.6, rng.integers(fewest, most + 1)).astype(int) + 1:
            document.append(list(range(at, at + size)))
            at += int(size)
        documents.append(document)
    return documents


def target_of(draw):
    return draw.randint(2, ROOM) if draw.random() < 0.1 else ROOM


def random_text(documents, own, least, draw):
    """Whole sentences of another document, which is any; of ten that may be it the first."""
    others = [draw.randrange(len(documents)) for _ in range(10)]
    document = documents[next((other for other in others if other != own), own)]
    tokens = []
    for sentence in document[draw.randrange(len(document)) :]:
        tokens += sentence
        if len(tokens) >= least:
            break
    return tokens


def truncate(a, b, draw):
    while len(a) + len(b) > ROOM:
        longer = a if len(a) > len(b) else b
        del longer[0 if draw.random() < 0.5 else -1]


def reference_pairs(documents, draw):
    """The pairs of an epoch: A, B, whether B is random, sentences at hand, target."""
    for own, document in enumerate(documents):
        target, at, begin = target_of(draw), 0, 0
        while at < len(document):
            at += 1
            if at < len(document) and sum(map(len, document[begin:at])) < target:
                continue
            middle = draw.randint(begin + 1, at - 1) if at - begin > 1 else at
            a = list(chain(*document[begin:middle]))
            sentences, is_random = at - begin, at - begin == 1 or draw.random() < 0.5
            if is_random:
                b, at = random_text(documents, own, target - len(a), draw), middle
            else:
                b = list(chain(*document[middle:at]))
            truncate(a, b, draw)
            yield a, b, is_random, sentences, target
            begin, target = at, target_of(draw)


def made_by_reference(documents):
    draw, rows, read = random.Random(0), [], []
    seen = np.zeros(documents[-1][-1][-1] + 1, dtype=bool)
    for _ in range(EPOCHS):
        for a, b, *about, target in reference_pairs(documents, draw):
            seen[a] = seen[b] = True
            rows.append((len(a), len(b), *about, target))
        read.append(seen.mean())
    a, b, is_random, sentences, target = map(np.array, zip(*rows, strict=True))
    short, full = target < ROOM, (target == ROOM) & (a + b == ROOM)
    return Made(
        a=a, b=b, is_random=is_random, sentences=sentences, short=short, full=full, read=read
    )


def made_by_us(corpus):
    shard = corpus.shards["ko"]
    never = np.zeros(corpus.manifest.vocabulary_size, dtype=bool)
    options = {"held_out": False, "length": LENGTH, "pairing": "next", "seed": 0}
    sequences = cut(shard, **options, starts_word=never)
    which, read, epochs = np.arange(len(sequences)), [], []
    seen = np.zeros(len(shard.tokens), dtype=bool)
    for epoch in range(EPOCHS):
        p = draw_pairs(sequences, which, "next", 5, 0, np.full(len(which), epoch))
        for begin, end in ((p.a_begin, p.a_end), (p.b_begin, p.b_end)):
            for first, last in zip(begin, end, strict=True):
                seen[first:last] = True
        read.append(seen.mean())
        epochs.append(p)
    a = np.concatenate([p.a_end - p.a_begin for p in epochs])
    b = np.concatenate([p.b_end - p.b_begin for p in epochs])
    at_an_end = np.isin(sequences.ends, shard.documents)
    return Made(
        a=a,
        b=b,
        is_random=np.concatenate([p.label == 1 for p in epochs]),
        sentences=np.tile(sequences.ends - sequences.begins, EPOCHS),
        short=np.tile((sequences.lengths < LENGTH) & ~at_an_end, EPOCHS),
        full=a + b == ROOM,
        read=read,
    )


@pytest.fixture(scope="module")
def both(corpus_of):
    """Ours and the reference's, of documents of 250 sentences: few pairs are at an end."""
    documents = documents_of(40, 200, 300)
    return made_by_us(corpus_of(documents, size=1 << 20)), made_by_reference(documents)


def far_apart(first, second):
    """The statistic of Kolmogorov and Smirnov in units of its 99.9 % point."""
    places = np.union1d(first, second)
    shares = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (first, second)]
    allowed = 1.95 * np.sqrt(1 / len(first) + 1 / len(second))
    return np.abs(shares[0] - shares[1]).max() / allowed


def test_a_coin_makes_half_of_the_pairs_random_and_single_sentences_add_to_them(both):
    for made in both:
        several = made.is_random[made.sentences > 1]
        assert several.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / len(several)))
        assert made.is_random[made.sentences == 1].all()
        assert 0.5 < made.is_random.mean() < 0.53  # two in a hundred are single


@pytest.mark.parametrize("is_random", [False, True])
def test_full_pairs_are_cut_where_the_reference_cuts_them(both, is_random):
    # Of a full pair the length of A tells that of B.
    ours, theirs = (
        made.a[made.full & (made.sentences > 1) & (made.is_random == is_random)] for made in both
    )
    assert min(len(ours), len(theirs)) > 2_000
    assert far_apart(ours, theirs) < 1
    assert far_apart(ours + 4, theirs) > 1  # it would tell pairs four tokens off


def test_the_length_of_a_does_not_tell_whether_b_is_random(both):
    ours, _ = both
    several = ours.full & (ours.sentences > 1)
    assert far_apart(ours.a[several & ours.is_random], ours.a[several & ~ours.is_random]) < 1


def test_a_tenth_of_the_pairs_is_short_in_both(both):
    for made in both:
        share = made.short.mean()
        assert share == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / len(made.short) * EPOCHS))


def test_short_pairs_are_as_long_as_those_of_the_reference(both):
    # Those that keep their last sentence whole, as they do unless their target is nearly full.
    ours, theirs = (
        (made.a + made.b)[made.short & ~made.is_random & (made.a + made.b < ROOM)] for made in both
    )
    assert min(len(ours), len(theirs)) > 100
    assert far_apart(ours, theirs) < 1
    assert far_apart(ours + 19, theirs) > 1  # it would tell pairs a sentence longer


def test_text_that_a_random_one_replaces_is_read_in_another_epoch_not_at_once(both):
    ours, theirs = both
    assert 0.7 < ours.read[0] < 0.8 < 0.9 < theirs.read[0]
    assert np.diff(ours.read).min() > 0
    assert ours.read[-1] > 0.97
    # So an epoch of theirs has a third more pairs.
    assert 1.2 < len(theirs.a) / len(ours.a) < 1.5
