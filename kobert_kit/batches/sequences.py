"""A language's documents cut into sequences, once: which text, and how many tokens it takes.

How long a sequence is depends on the text and the seed, not on the epoch, so that windows can be
planned (`packing`). What is drawn anew each epoch (where a pair is cut, what comes second, masks)
leaves the length as it is.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kobert_kit.batches.counter_random import SHORT, uniform
from kobert_kit.batches.options import SPECIALS, Pairing
from kobert_kit.corpus.shards import Bools, Int64s, Shard

SHORT_SHARE = 0.1  # pairs of a random shorter length, so that short inputs are seen (BERT's code)
# A long document is cut at the end of a sentence if one lies in the last 64th of what fits, else
# before a word. Cuts at sentences alone would leave windows of 512 tokens 4 % empty.
SENTENCE_SLACK = 64
LONGEST_WORD = 16  # pieces looked back over for the beginning of a word


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """N sequences of one language and side of the split."""

    shard: Shard
    begins: Int64s
    """[N] first token, or for pairs first sentence."""
    ends: Int64s
    """[N] one past the last."""
    lengths: Int64s
    """[N] tokens, special ones included; a pair is truncated to it."""

    def __len__(self) -> int:
        return len(self.begins)

    @cached_property
    def counts(self) -> Int64s:
        """How many there are of each length."""
        return np.bincount(self.lengths)

    @cached_property
    def before(self) -> Int64s:
        """[N+1] tokens of all sequences before each, and of all."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def by_length(self) -> Int64s:
        """[N] all of them, shorter ones first."""
        return np.argsort(self.lengths, kind="stable")


def cut(
    shard: Shard,
    *,
    held_out: bool,
    length: int,
    pairing: Pairing,
    seed: int,
    starts_word: Bools,
) -> Sequences:
    """Cut one side of a language's documents into sequences of at most ``length`` tokens.

    Args:
        shard: the language.
        held_out: which side.
        length: special tokens included.
        pairing: what a sequence is.
        seed: names the draw of short pairs.
        starts_word: [V] whether a piece begins a word.
    """
    documents = np.flatnonzero(shard.held_out() == held_out)
    room = length - SPECIALS[pairing]
    if pairing == "none":
        begins, ends = _text(shard, documents, room, starts_word)
        text = ends - begins
    else:
        partner = pairing == "next"
        begins, ends, text = _stretches(shard, documents, room, seed, partner=partner)
    return Sequences(
        shard=shard,
        begins=begins,
        ends=ends,
        lengths=text + SPECIALS[pairing],
    )


def _text(shard: Shard, documents: Int64s, room: int, starts_word: Bools) -> tuple[Int64s, Int64s]:
    """Tokens of each sequence. All documents are cut side by side, a sequence of each at a time."""
    at, stop = _bounds(shard, documents)
    begins, ends = [], []
    while len(at):
        last = stop - at <= room
        to = np.where(last, stop, 0)
        to[~last] = _before(shard, at[~last], at[~last] + room, starts_word)
        begins.append(at)
        ends.append(to)
        at, stop = to[~last], stop[~last]
    return _in_order(begins, ends)


def _before(shard: Shard, at: Int64s, limit: Int64s, starts_word: Bools) -> Int64s:
    """Where to cut at the latest at ``limit``: at a sentence, a word, or else right there."""
    starts = shard.sentences
    sentence = starts[np.searchsorted(starts, limit, side="right") - 1]
    back = np.arange(LONGEST_WORD)
    # A sequence is longer than a word, but in tests; what lies before it is not looked at.
    place = np.maximum(limit[:, None] - back, at[:, None] + 1)
    begins_word = starts_word[shard.tokens[place]]
    word = np.where(begins_word.any(1), place[np.arange(len(place)), begins_word.argmax(1)], limit)
    near = (sentence > at) & (limit - sentence <= (limit - at) // SENTENCE_SLACK)
    return np.where(near, sentence, word)


def _stretches(
    shard: Shard, documents: Int64s, room: int, seed: int, *, partner: bool
) -> tuple[Int64s, Int64s, Int64s]:
    """Sentences of each pair and its tokens.

    As in Google's ``create_pretraining_data.py``: whole sentences until the target is reached,
    which for one pair in ten is shorter than ``room``. One sentence alone may get a ``partner``, a
    random text as long as itself.
    """
    starts = shard.sentences
    offsets = shard.documents
    at, stop = offsets[documents], offsets[documents + 1]
    begins, ends, text = [], [], []
    while len(at):
        is_short, how_short = uniform(SHORT, seed, np.stack([2 * at, 2 * at + 1]))
        short = 2 + (how_short * (room - 1)).astype(np.int64)
        target = np.where(is_short < SHORT_SHARE, short, room)
        reaching = np.searchsorted(starts, starts[at] + target)
        to = np.minimum(np.maximum(reaching, at + 1), stop)
        own = starts[to] - starts[at]
        begins.append(at)
        ends.append(to)
        text.append(np.minimum(target, np.where((to - at == 1) & partner, 2 * own, own)))
        at, stop = to[to < stop], stop[to < stop]
    begin, end = _in_order(begins, ends)
    _, tokens = _in_order(begins, text)
    return begin, end, tokens


def _bounds(shard: Shard, documents: Int64s) -> tuple[Int64s, Int64s]:
    """First and last-plus-one token of each document."""
    starts, offsets = shard.sentences, shard.documents
    return starts[offsets[documents]], starts[offsets[documents + 1]]


def _in_order(begins: list[Int64s], values: list[Int64s]) -> tuple[Int64s, Int64s]:
    """Two columns sorted by the first, as the text runs."""
    if not begins:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    begin = np.concatenate(begins)
    order = np.argsort(begin)
    return begin[order], np.concatenate(values)[order]
