"""Two texts for a sequence, as Google's ``create_pretraining_data.py`` makes them.

A stretch of sentences is cut in two at a random one; half of the time (and always when it is one
sentence) the second part is replaced by text of another document, which begins at a random
sentence. What is too long loses tokens at the front or back of the longer part, at random.

Three things differ, because the length of a pair must not depend on what is drawn (`sequences`).
The random part is as long as what it replaces, where Google's fills the pair up; so nothing can be
learnt from the length. It comes from a document that is long enough, where Google's takes any. And
what it replaces is not read again in the same epoch.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kobert_kit.batches.batch import IGNORED
from kobert_kit.batches.counter_random import (
    PAIR,
    TRUNCATION,
    Bits,
    as_uniform,
    bits,
    further,
)
from kobert_kit.batches.options import SPECIALS, Pairing
from kobert_kit.batches.sequences import Sequences
from kobert_kit.corpus.shards import Int64s

OTHER_DOCUMENT_TRIES = 10  # as in BERT's code; then B may come from the same document
_CUT, _RANDOM, _START, _TRIES = 0, 1, 2, 3  # draws of a pair; tries are the last


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """N pairs as ranges of tokens, counted in their language."""

    a_begin: Int64s
    a_end: Int64s
    b_begin: Int64s
    b_end: Int64s
    label: Int64s
    """0: B follows A. 1: B is random, or the two are exchanged. `IGNORED`: there is no B."""


def draw_pairs(
    sequences: Sequences,
    which: Int64s,
    pairing: Pairing,
    seed: int,
    language: int | Int64s,
    epoch: Int64s,
) -> Pairs:
    """The pairs that sequences give.

    Args:
        sequences: of all languages.
        which: [N] number of the sequence in its language.
        pairing: next or order.
        seed: names the draws, as `epoch` does.
        language: [N], or one for all.
        epoch: [N].
    """
    key = seed, language, epoch, which
    drawn = bits(PAIR, *key)
    at = sequences.first[language] + which
    first, last = sequences.begins[at], sequences.ends[at]
    middle = first + 1 + (_draw(drawn, _CUT) * (last - first - 1)).astype(np.int64)
    starts = sequences.starts
    a_begin, a_end, b_end = starts[first], starts[middle], starts[last]
    b_begin = a_end.copy()
    alone, heads = last - first == 1, _draw(drawn, _RANDOM) < 0.5
    text = sequences.lengths[at] - SPECIALS[pairing]
    if pairing == "next":
        label = (alone | heads).astype(np.int64)
        other = np.flatnonzero(label)
        room = np.maximum(1, text - (a_end - a_begin))[other]
        b_begin[other], b_end[other] = _other_text(sequences, at[other], room, drawn[other])
    else:
        _halve(alone, a_begin, a_end, b_begin, b_end, drawn)
        label = np.where(b_end > b_begin, heads.astype(np.int64), IGNORED)
    pairs = _truncated(a_begin, a_end, b_begin, b_end, text, bits(TRUNCATION, *key))
    swap = label == 1 if pairing == "order" else np.zeros(len(which), dtype=np.bool_)
    a_begin, a_end, b_begin, b_end = pairs
    before = sequences.tokens[language]
    return Pairs(
        a_begin=np.where(swap, b_begin, a_begin) - before,
        a_end=np.where(swap, b_end, a_end) - before,
        b_begin=np.where(swap, a_begin, b_begin) - before,
        b_end=np.where(swap, a_end, b_end) - before,
        label=label,
    )


def _draw(drawn: Bits, number: int) -> npt.NDArray[np.float64]:
    return as_uniform(further(drawn, number))


def _other_text(
    sequences: Sequences, at: Int64s, room: Int64s, drawn: Bits
) -> tuple[Int64s, Int64s]:
    """Text of another document, from a random sentence on until ``room`` [N] is filled.

    Of ten documents, longer ones more likely, the first that is another one and long enough is
    taken, and in it a sentence that has enough behind it; else the longest of the others.
    """
    starts, offsets = sequences.starts, sequences.documents
    tries = np.arange(_TRIES, _TRIES + OTHER_DOCUMENT_TRIES)
    language = np.searchsorted(sequences.first, at, side="right")[:, None]
    low, high = sequences.before[sequences.first[[language - 1, language]]]
    token = low + as_uniform(further(drawn[:, None], tries)) * (high - low)
    stretch = np.searchsorted(sequences.before, token, side="right") - 1
    tried = np.searchsorted(offsets, sequences.begins[stretch], side="right") - 1
    own = np.searchsorted(offsets, sequences.begins[at], side="right") - 1
    first, last = offsets[tried], offsets[tried + 1]
    used = np.minimum(starts[last] - starts[first], room[:, None])
    # argmax takes the first of the best.
    best = np.where(tried != own[:, None], used, 0).argmax(1)
    rows = np.arange(len(at))
    first, last = first[rows, best], last[rows, best]
    behind = np.searchsorted(starts, starts[last] - room, side="right") - 1
    choices = np.maximum(1, np.minimum(behind, last - 1) - first + 1)
    begin = first + (_draw(drawn, _START) * choices).astype(np.int64)
    end = np.searchsorted(starts, starts[begin] + room)
    return starts[begin], starts[np.minimum(np.maximum(end, begin + 1), last)]


def _halve(
    alone: npt.NDArray[np.bool_],
    a_begin: Int64s,
    a_end: Int64s,
    b_begin: Int64s,
    b_end: Int64s,
    drawn: Bits,
) -> None:
    """Cut sentences that stand alone in two at a random token; of one token there is no B."""
    tokens = (a_end - a_begin)[alone]
    cut = 1 + (_draw(drawn, _CUT)[alone] * (tokens - 1)).astype(np.int64)
    b_end[alone] = a_end[alone]
    a_end[alone] = b_begin[alone] = a_begin[alone] + cut


def _truncated(
    a_begin: Int64s, a_end: Int64s, b_begin: Int64s, b_end: Int64s, text: Int64s, drawn: Bits
) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    """Token after token off the longer part (B where they are alike), at its front or back."""
    a, b = a_end - a_begin, b_end - b_begin
    excess = np.maximum(0, a + b - text)
    level = np.minimum(excess, np.abs(a - b))  # until both are alike, then in turn
    rest = excess - level
    from_a = np.where(a > b, level, 0) + rest // 2
    from_b = np.where(a > b, 0, level) + (rest + 1) // 2
    a_front, b_front = _heads(from_a, further(drawn, 0)), _heads(from_b, further(drawn, 1))
    return (
        a_begin + a_front,
        a_end - (from_a - a_front),
        b_begin + b_front,
        b_end - (from_b - b_front),
    )


def _heads(tosses: Int64s, drawn: Bits) -> Int64s:
    """How many of ``tosses`` [N] fair coins fall on heads: the ones in that many random bits."""
    words = int(tosses.max(initial=0)) // 64 + 1
    random_bits = further(drawn[:, None], np.arange(words))
    wanted = np.clip(tosses[:, None] - 64 * np.arange(words), 0, 64).astype(np.uint64)
    shift = np.uint64(64) - wanted
    # A shift by all 64 bits is not defined.
    kept = np.where(wanted == 0, np.uint64(0), random_bits >> np.minimum(shift, np.uint64(63)))
    heads: Int64s = np.bitwise_count(kept).sum(1).astype(np.int64)
    return heads
