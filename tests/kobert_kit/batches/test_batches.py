import itertools
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from kobert_kit.batches.batch import IGNORED, PADDING
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.masking import budgets
from kobert_kit.batches.options import DataConfig, Masking, Phase
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.shards import Corpus
from kobert_vocab.errors import InputError

WINDOWS, LENGTH = 16, 48
PAIRINGS = ["none", "next", "order"]


@pytest.fixture(scope="module")
def make(corpus, vocabulary):
    def make(**options):
        defaults = {"seed": 1, "windows": WINDOWS, "length": LENGTH}
        return Batches(corpus, vocabulary, **(defaults | options))

    return make


@pytest.fixture(scope="module")
def batches(make):
    return make()


def texts_of(batch):
    """Where each sequence that is not padding lies."""
    ends = batch.cu_seqlens[: int((batch.language != PADDING).sum()) + 1]
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


def assert_same(a, b):
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), field.name)


def unmasked(batch):
    tokens, used = batch.tokens.copy(), batch.labels != IGNORED
    tokens[batch.masked[used]] = batch.labels[used]
    return tokens


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_shapes_and_order(make, vocabulary, pairing):
    batches = make(pairing=pairing)
    slots = {len(batches[step].masked) for step in range(30)}
    assert len(slots) == 1  # fixed capacity
    for step in range(30):
        batch = batches[step]
        room, sequences = WINDOWS * LENGTH, len(batch.cu_seqlens) - 1
        assert len(batch.tokens) == len(batch.positions) == len(batch.segments) == room
        assert len(batch.is_next) == len(batch.language) == sequences
        assert batch.cu_seqlens[0] == 0
        assert batch.cu_seqlens[-1] == room
        assert batch.max_seqlen == np.diff(batch.cu_seqlens).max() <= LENGTH
        assert (np.diff(batch.cu_seqlens) > 0).all()
        text = batch.text_tokens
        assert (batch.tokens[text:] == vocabulary.pad).all()
        assert not batch.segments[text:].any()
        assert (batch.masked[batch.labels != IGNORED] < text).all()
        assert (batch.is_next[batch.language == PADDING] == IGNORED).all()
        tokens = unmasked(batch)
        for part in texts_of(batch):
            np.testing.assert_array_equal(batch.positions[part], np.arange(part.stop - part.start))
            segments = batch.segments[part]
            assert tokens[part][0] == vocabulary.cls
            assert tokens[part][-1] == vocabulary.sep
            assert (np.diff(segments) >= 0).all()
            last_of_a = np.flatnonzero(segments == 0)[-1]
            assert tokens[part][last_of_a] == vocabulary.sep
            assert (pairing == "none") == (not segments.any())


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("unit", ["piece", "word"])
def test_labels_are_what_stood_there(make, vocabulary, pairing, unit):
    batches = make(pairing=pairing, masking=Masking(unit=unit))
    masked = kept = 0
    for step in range(40):
        batch = batches[step]
        used = batch.labels != IGNORED
        at = batch.masked[used]
        assert (np.diff(at) > 0).all()
        assert not np.isin(batch.labels[used], [vocabulary.cls, vocabulary.sep]).any()
        masked += (batch.tokens[at] == vocabulary.mask).sum()
        kept += (batch.tokens[at] == batch.labels[used]).sum()
        specials = 2 if pairing == "none" else 3
        lengths = np.array([part.stop - part.start for part in texts_of(batch)])
        budget = np.minimum(budgets(lengths, 0.15), lengths - specials)
        if unit == "piece":
            assert used.sum() == budget.sum()
        else:
            assert 0.9 * budget.sum() < used.sum() <= budget.sum()
    assert masked / kept == pytest.approx(8, rel=0.35)


@pytest.mark.parametrize("unit", ["piece", "word"])
def test_masks_by_chance(make, unit):
    batches = make(masking=Masking(rule="bernoulli", unit=unit, rate=0.3))
    used = tokens = 0
    for step in range(60):
        batch = batches[step]
        used += (batch.labels != IGNORED).sum()
        tokens += batch.text_tokens - 3 * len(texts_of(batch))
        assert (batch.labels == IGNORED).any()  # there was room for all
    deviation = np.sqrt(8 * 0.21 / tokens)
    assert used / tokens == pytest.approx(0.3, abs=4 * deviation)


@pytest.mark.parametrize(("first", "last"), [(0.4, 0.1), (0.1, 0.4)])
def test_the_rate_may_fall_or_rise_with_the_step_and_then_stays(make, first, last):
    masking = Masking(rate=first, last_rate=last, steps=20)
    batches = make(masking=masking)
    for step, rate in ((0, first), (10, 0.25), (20, last), (300, last)):
        batch = batches[step]
        lengths = np.array([part.stop - part.start for part in texts_of(batch)])
        assert (batch.labels != IGNORED).sum() == budgets(lengths, masking.rate_at(step)).sum()
        assert masking.rate_at(step) == pytest.approx(rate)
    assert len({len(batches[step].masked) for step in (0, 20)}) == 1


def test_a_rate_that_rises_has_slots_for_its_end_by_chance_too(make):
    batches = make(masking=Masking(rate=0.05, last_rate=0.5, steps=20, rule="bernoulli"))
    shares = [(batches[s].labels != IGNORED).sum() / batches[s].text_tokens for s in range(20, 30)]
    assert np.mean(shares) == pytest.approx(0.5 * 0.9, abs=0.05)  # a tenth is special tokens


def test_whole_words_by_chance_need_more_slots_than_pieces(make):
    slots = [
        len(make(masking=Masking(rule="bernoulli", rate=0.3, **options))[0].masked)
        for options in ({"unit": "piece"}, {"unit": "word", "longest_unit": 4}, {"unit": "word"})
    ]
    assert slots[0] < slots[1] < slots[2]
    # Four and eight times the variance: Bernstein's bound beyond the mean doubles and trebles.
    beyond = np.array(slots) - 0.3 * WINDOWS * LENGTH
    assert beyond[1] / beyond[0] == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_batch_is_a_function_of_seed_and_step(make, pairing):
    batches, again = make(pairing=pairing), make(pairing=pairing)
    far = again[10**9]  # in any order, from anywhere
    for step in (7, 0, 10**9):
        assert_same(batches[step], far if step == 10**9 else again[step])
    other = make(pairing=pairing, seed=2)
    assert not np.array_equal(other[0].tokens, batches[0].tokens)


def joined(parts):
    """The texts of several parts of a batch, each with all that is said of it."""
    for part in parts:
        labels = np.full(len(part.tokens), IGNORED)
        used = part.labels != IGNORED
        labels[part.masked[used]] = part.labels[used]
        for i, place in enumerate(texts_of(part)):
            yield (
                part.tokens[place].tolist(),
                part.segments[place].tolist(),
                labels[place].tolist(),
                int(part.is_next[i]),
                int(part.language[i]),
            )


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_make_up_the_batch(make, pairing, parts):
    batches = make(pairing=pairing)
    for step in (0, 5, 10**7):
        shares = [batches.part(step, part, parts) for part in range(parts)]
        assert list(joined(shares)) == list(joined([batches[step]]))
        assert {len(share.tokens) for share in shares} == {WINDOWS * LENGTH // parts}


def test_a_batch_that_cannot_be_shared(batches):
    with pytest.raises(InputError, match="16 windows cannot be shared by 3"):
        batches.part(0, 0, 3)


def test_windows_are_nearly_full(make):
    for pairing in PAIRINGS:
        batches = make(pairing=pairing, phases=[Phase(alpha=1)])
        fill = np.mean([batches[s].text_tokens / len(batches[s].tokens) for s in range(50)])
        assert fill > 0.95  # a corpus of a few kilobytes; see the tests on real text


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_an_epoch_reads_all_training_text_and_none_held_out(make, corpus, pairing):
    shard = corpus.shards["ko"]
    batches = make(pairing=pairing, phases=[Phase(languages=("ko",))], windows=1)
    held, trained = (set(_tokens_in_a_row(shard, side)) for side in (True, False))
    windows = int(batches._windows.counts[batches.plan.languages.index("ko")])
    for epoch in range(2):
        seen = Counter()
        for step in range(epoch * windows, (epoch + 1) * windows):
            batch = batches[step]
            tokens = unmasked(batch)
            for part in texts_of(batch):
                seen.update(_rows(tokens[part]))
        assert not (held - trained) & set(seen)
        if pairing == "none":
            # All but the rows across a cut.
            assert len(trained & set(seen)) > 0.85 * len(trained)


ROW = 5  # tokens: hardly any come twice


def _rows(tokens):
    tokens = tokens.tolist()
    return (tuple(tokens[i : i + ROW]) for i in range(len(tokens) - ROW + 1))


def _tokens_in_a_row(shard, held_out):
    for document in np.flatnonzero(shard.held_out() == held_out):
        first, last = shard.sentences[shard.documents[document : document + 2]]
        yield from _rows(shard.tokens[first:last])


@pytest.mark.parametrize(("code", "is_small"), [("ko", False), ("th", True)])
def test_each_round_deals_the_sequences_anew_and_each_once_an_epoch(make, code, is_small):
    batches = make(pairing="none", phases=[Phase(languages=(code,))], windows=1)
    language = batches.plan.languages.index(code)
    windows, epochs = (
        int(of[language]) for of in (batches._windows.counts, batches._windows.epochs)
    )
    assert (epochs > 1) == is_small
    rounds = []
    for turn in range(2):
        drawn = [batches.drawn(turn * windows + w, 0, 1) for w in range(windows)]
        dealt = [pair for one in drawn for pair in zip(one.epoch, one.number, strict=True)]
        size = len(dealt) // epochs
        expected = itertools.product(range(turn * epochs, (turn + 1) * epochs), range(size))
        assert sorted(dealt) == list(expected)
        pairs = [zip(one.epoch % epochs, one.number, strict=True) for one in drawn]
        rounds.append({one for one in map(frozenset, pairs) if len(one) > 1})
    assert len(rounds[0] & rounds[1]) < len(rounds[0]) / 2


def test_languages_come_as_planned(make):
    batches = make(phases=[Phase(alpha=0.3, floors={"ko": 0.5})], windows=1000, length=24)
    language = batches.drawn(3, 0, 1000)
    batch = batches[3]
    seen = np.bincount(language.language, weights=np.ones(len(language.number)))
    assert len(seen) == len(batches.plan.languages)
    tokens = np.zeros(len(seen))
    for part, which in zip(texts_of(batch), batch.language, strict=False):
        tokens[which] += part.stop - part.start
    shares = np.array(list(batches.plan.shares().values()))
    # Windows are shared out exactly; in so small a corpus they are not all alike full.
    assert np.abs(tokens / tokens.sum() - shares).max() < 0.05


def test_words_are_masked_whole(make, vocabulary):
    batches = make(pairing="none", masking=Masking(unit="word", rate=0.3, masked=1, random=0))
    broken = words = 0
    for step in range(20):
        batch = batches[step]
        tokens = unmasked(batch)
        chosen = batch.tokens == vocabulary.mask
        spaced = np.isin(
            batch.language, [batches.plan.languages.index(c) for c in ("ko", "en", "de")]
        )
        for part, is_spaced in zip(texts_of(batch), spaced, strict=False):
            if is_spaced:
                starts = vocabulary.starts_word[tokens[part]]
                unit = np.cumsum(starts)
                for one in np.unique(unit):
                    hit = chosen[part][unit == one]
                    words += 1
                    broken += 0 < hit.sum() < len(hit)
    # Signs at a word's end are units of their own; words that exceed a budget are cut.
    assert words > 500
    assert broken / words < 0.1


def test_training_counts_leave_held_out_documents_out(batches, corpus):
    shard = corpus.shards["ru"]
    training = np.zeros(len(shard.tokens), dtype=bool)
    for document in np.flatnonzero(~shard.held_out()):
        first, last = shard.sentences[shard.documents[document : document + 2]]
        training[first:last] = True
    counts = batches.training_counts("ru")
    np.testing.assert_array_equal(
        counts, np.bincount(shard.tokens[training], minlength=len(counts))
    )


def test_held_out_batches_do_not_depend_on_the_run(make, corpus):
    first = list(make().held_out(4))
    second = list(make(seed=9, masking=Masking(rate=0.5)).held_out(4))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert_same(a, b)
    languages = make().plan.languages
    seen = Counter(languages[i] for batch in first for i in batch.language if i != PADDING)
    assert set(seen) == set(corpus.shards)
    assert max(seen.values()) <= 4
    masked = sum((batch.labels != IGNORED).sum() for batch in first)
    assert masked == sum(
        budgets(np.array([part.stop - part.start]), 0.15)[0]
        for batch in first
        for part in texts_of(batch)
    )


def test_the_fingerprint_names_all_that_shapes_batches(make):
    changed = [
        {},
        {"seed": 2},
        {"windows": 8},
        {"length": 64},
        {"pairing": "none"},
        {"masking": Masking(rate=0.3)},
        {"masking": Masking(unit="word")},
        {"phases": [Phase(alpha=0.5)]},
        {"phases": [Phase(windows=10), Phase()]},
    ]
    prints = {make(**options).fingerprint for options in changed}
    assert len(prints) == len(changed)
    assert make().fingerprint in prints


def test_a_corpus_without_held_out_text_is_refused(vocab_folder, vocabulary, tmp_path):
    (tmp_path / "ko.txt").write_text("첫째 문장이다.\n둘째 문장이다.\n", encoding="utf-8")
    build_corpus([tmp_path / "ko.txt"], vocab=vocab_folder, out=tmp_path / "c")
    with pytest.raises(InputError, match="put blank lines between documents"):
        Batches(Corpus.load(tmp_path / "c"), vocabulary, seed=0, windows=1, length=LENGTH)


def test_a_corpus_without_text_is_refused(corpus_of, vocabulary):
    empty = corpus_of([], codes=(), vocabulary=vocabulary.fingerprint)
    with pytest.raises(InputError, match="no text to train on"):
        Batches(empty, vocabulary, seed=0, windows=1, length=LENGTH)


def test_held_out_batches_hold_all_that_fits(corpus_of, vocabulary):
    # Sequences of eight tokens, and batches of two windows of eight.
    documents = [[[300 + number] * 6] for number in range(40)]
    corpus = corpus_of(documents, held_out=0.25, vocabulary=vocabulary.fingerprint)
    batches = Batches(corpus, vocabulary, seed=0, windows=2, length=8, pairing="none")
    for options, expected in (({}, [2, 2, 2, 2, 1]), ({"windows": 1}, [1] * 9)):
        held_out = itertools.islice(batches.held_out(9, **options), 10)
        assert [int((batch.language != PADDING).sum()) for batch in held_out] == expected


def test_a_batch_has_a_window_and_a_window_has_room():
    with pytest.raises(InputError, match=r"data\.windows is 0; it must be at least 1"):
        DataConfig(windows=0)
    with pytest.raises(InputError, match=r"data\.length is 7; it must be at least 8"):
        DataConfig(length=7)


def other_vocabulary(vocabulary, size):
    """One with another fingerprint and so many pieces, otherwise the same."""

    class Other:
        fingerprint = "another"
        __len__ = staticmethod(lambda: size)

        def __getattr__(self, name):
            return getattr(vocabulary, name)

    return Other()


def test_another_vocabulary_is_refused(corpus, vocabulary):
    other = other_vocabulary(vocabulary, len(vocabulary))
    with pytest.raises(InputError, match=r"another vocabulary.*--data\.any-vocabulary"):
        Batches(corpus, other, seed=0, windows=1, length=LENGTH)


def test_another_vocabulary_is_taken_if_one_insists_and_it_has_all_ids(corpus, vocabulary):
    options = {"seed": 0, "windows": 1, "length": LENGTH, "any_vocabulary": True}
    other = other_vocabulary(vocabulary, len(vocabulary))
    expected = Batches(corpus, vocabulary, seed=0, windows=1, length=LENGTH)[5]
    np.testing.assert_array_equal(Batches(corpus, other, **options)[5].tokens, expected.tokens)
    smaller = other_vocabulary(vocabulary, len(vocabulary) - 1)
    with pytest.raises(InputError, match="this one has"):
        Batches(corpus, smaller, **options)
