"""A language's documents cut into sequences, once: which text, and how many tokens it takes.

How long a sequence is depends on the text and the seed, not on the epoch, so that windows can be
planned (`packing`). What is drawn anew each epoch (where a pair is cut, what comes second, masks)
leaves the length as it is.
"""

from collections.abc import Sequence
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
_NO_TABLE = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """N sequences of one side of the split, in one language or in L that lie end to end.

    Tokens and sentences are counted through all languages, so that a batch in a hundred of them is
    looked up at once.
    """

    begins: Int64s
    """[N] first token, or for pairs first sentence."""
    ends: Int64s
    """[N] one past the last."""
    lengths: Int64s
    """[N] tokens, special ones included; a pair is truncated to it."""
    starts: Int64s
    """Where each sentence begins, and the end of the last; only where there are pairs."""
    documents: Int64s
    """Where each document begins, in sentences, and the end of the last; as `starts`."""
    first: Int64s
    """[L+1] where the sequences of each language begin, and N."""
    counted: Int64s
    """[L+1] where each language begins in what `begins` counts, and the end of the last."""
    tokens: Int64s
    """[L+1] where the tokens of each language begin, and the end of the last."""

    def __len__(self) -> int:
        return len(self.begins)

    def of(self, language: int) -> slice:
        """Where the sequences of a language lie."""
        return slice(int(self.first[language]), int(self.first[language + 1]))

    @cached_property
    def before(self) -> Int64s:
        """[N+1] tokens of all sequences before each, and of all."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def by_length(self) -> Int64s:
        """[N] the numbers in each language, shorter sequences first."""
        languages = [self.lengths[self.of(i)] for i in range(len(self.first) - 1)]
        return np.concatenate([np.argsort(lengths, kind="stable") for lengths in languages])


def join(languages: Sequence[Sequences]) -> Sequences:
    """The sequences of several languages end to end."""
    counted = _joined([one.counted for one in languages])
    pairs = list(zip(languages, counted.tolist(), strict=False))
    return Sequences(
        begins=np.concatenate([one.begins + before for one, before in pairs]),
        ends=np.concatenate([one.ends + before for one, before in pairs]),
        lengths=np.concatenate([one.lengths for one in languages]),
        starts=_joined([one.starts for one in languages]),
        documents=_joined([one.documents for one in languages]),
        first=_joined([one.first for one in languages]),
        counted=counted,
        tokens=_joined([one.tokens for one in languages]),
    )


def _joined(tables: Sequence[Int64s]) -> Int64s:
    """Tables that end with what they count, as one: each goes on where the one before ends."""
    before = np.cumsum([0, *(table[-1] for table in tables)])
    shifted = [table[:-1] + at for table, at in zip(tables, before[:-1], strict=True)]
    return np.concatenate([*shifted, before[-1:]])


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
    tokens = np.array([0, len(shard.tokens)])
    if pairing == "none":
        begins, ends = _text(shard, documents, room, starts_word)
        text, counted, starts, offsets = ends - begins, tokens, _NO_TABLE, _NO_TABLE
    else:
        partner = pairing == "next"
        begins, ends, text = _stretches(shard, documents, room, seed, partner=partner)
        starts, offsets = shard.sentences, shard.documents
        counted = np.array([0, len(starts) - 1])
    return Sequences(
        begins=begins,
        ends=ends,
        lengths=text + SPECIALS[pairing],
        starts=starts,
        documents=offsets,
        first=np.array([0, len(begins)]),
        counted=counted,
        tokens=tokens,
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
        text.append(np.minimum(room, np.where((to - at == 1) & partner, 2 * own, own)))
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
