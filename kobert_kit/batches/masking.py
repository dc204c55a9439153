"""Masked language modelling as in the paper (Devlin et al. 2019, section 3.1) and after it.

Of a sequence's tokens a share is chosen; of these 80 % become ``[MASK]``, 10 % a random piece and
10 % stay. All sequences of a batch are masked together. T tokens in S sequences, U units.
"""

import math

import numpy as np
import numpy.typing as npt

from kobert_kit.batches.counter_random import Bits, as_uniform, further
from kobert_kit.batches.options import Masking
from kobert_kit.corpus.shards import Bools, Int64s

_CHOICE, _ACTION, _TOKEN = range(3)  # draws of a token
NEVER = 1e-12


def budgets(lengths: Int64s, rate: float) -> Int64s:
    """How many tokens are chosen in sequences of these ``lengths``, special tokens counted in."""
    rounded: Int64s = np.rint(rate * lengths).astype(np.int64)  # halves to even, as in BERT's code
    return np.maximum(1, rounded)


def hardly_ever_more(number: int, mean: float, variance: float, most: int) -> int:
    """What the sum of so many independent draws exceeds once in 10^12 times (`NEVER`).

    Bernstein's inequality; never above ``number`` times the largest draw.

    Args:
        number: of draws.
        mean: of each.
        variance: of each.
        most: the largest that a draw can be.
    """
    log = -math.log(NEVER)
    beyond = math.sqrt(2 * number * variance * log) + (most - mean) * log / 3
    return min(number * most, math.ceil(number * mean + beyond))


def choose(begins: Bools, sequence: Int64s, special: Bools, budget: Int64s, keys: Bits) -> Bools:
    """Choose units at random until each sequence's budget is used up, and none beyond it.

    As in BERT's code, a unit that would exceed what is left is passed over.

    Args:
        begins: [T] where a unit begins; special tokens are units of their own.
        sequence: [T] which sequence a token is in, in order.
        special: [T] tokens that are never chosen.
        budget: [S] tokens to choose.
        keys: [S] names of the draw, mixed.

    Returns:
        [T] whether a token is chosen.
    """
    unit = np.cumsum(begins) - 1
    head = np.flatnonzero(begins)
    of_unit = sequence[head]
    size = np.diff(np.append(head, len(begins)))
    free = np.flatnonzero(~special[head])
    order = free[_shuffled(of_unit[free], head[free], sequence, keys)]
    chosen = np.zeros(len(head), dtype=np.bool_)
    chosen[_taken(order, of_unit[order], size[order], budget)] = True
    tokens: Bools = chosen[unit]
    return tokens


def _shuffled(of_unit: Int64s, place: Int64s, sequence: Int64s, keys: Bits) -> Int64s:
    """Units in random order within their sequences, the sequences in their own order."""
    first = np.searchsorted(sequence, np.arange(len(keys)))
    drawn = as_uniform(further(keys[of_unit], _CHOICE, place - first[of_unit]))
    return np.argsort(of_unit + drawn, kind="stable")


def _taken(order: Int64s, of_unit: Int64s, size: Int64s, budget: Int64s) -> Int64s:
    """The units that fit, tried one after another in each sequence, all sequences side by side."""
    first = np.searchsorted(of_unit, np.arange(len(budget)))
    if (size == 1).all():
        rank = np.arange(len(order)) - first[of_unit]
        return order[rank < budget[of_unit]]
    end = np.append(first[1:], len(order))
    left, taken = budget.copy(), []
    open_ = np.flatnonzero(end > first)
    at = first[open_]
    while len(open_):
        fits = size[at] <= left[open_]
        taken.append(at[fits])
        left[open_] -= np.where(fits, size[at], 0)
        goes_on = (left[open_] > 0) & (at + 1 < end[open_])
        open_, at = open_[goes_on], at[goes_on] + 1
    return order[np.concatenate(taken)] if taken else order[:0]


def toss(begins: Bools, sequence: Int64s, special: Bools, rate: float, keys: Bits) -> Bools:
    """Choose each unit with probability ``rate``; arguments as of `choose`."""
    unit = np.cumsum(begins) - 1
    head = np.flatnonzero(begins)
    first = np.searchsorted(sequence, np.arange(len(keys)))
    of_unit = sequence[head]
    drawn = as_uniform(further(keys[of_unit], _CHOICE, head - first[of_unit]))
    chosen: Bools = (drawn < rate)[unit] & ~special
    return chosen


def corrupted(
    tokens: npt.NDArray[np.int32],
    chosen: Int64s,
    sequence: Int64s,
    keys: Bits,
    masking: Masking,
    *,
    mask_id: int,
    vocab_size: int,
) -> npt.NDArray[np.int32]:
    """``tokens`` [T] with the ``chosen`` [M] masked, replaced by a random piece, or left.

    Any id of the vocabulary may be the random one, special ones too, as in BERT's code. The other
    arguments are as of `choose`.
    """
    of_chosen = sequence[chosen]
    place = chosen - np.searchsorted(sequence, np.arange(len(keys)))[of_chosen]
    action = as_uniform(further(keys[of_chosen], _ACTION, place))
    other = (as_uniform(further(keys[of_chosen], _TOKEN, place)) * vocab_size).astype(np.int32)
    kept = np.where(action < masking.masked + masking.random, other, tokens[chosen])
    result = tokens.copy()
    result[chosen] = np.where(action < masking.masked, mask_id, kept)
    return result
