"""Masked language modelling as in the paper (Devlin et al. 2019, section 3.1).

15 % of the tokens, an exact count per sequence; of these 80 % become ``[MASK]``, 10 % a random
piece, 10 % stay.
"""

import math

import numpy as np

from kobert_kit.corpus.counter_random import MASK_ACTION, MASK_CHOICE, MASK_TOKEN, below, uniform
from kobert_kit.corpus.shards import Bools, Ints

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


def capacity(length: int, rate: float) -> int:
    """The most positions that are masked in a sequence of ``length`` tokens."""
    return max(1, math.floor(rate * length + 0.5))


def choose(special: Bools, rate: float, *key: int) -> Ints:
    """The positions to predict, in order.

    Args:
        special: [T] tokens that are never chosen (``[CLS]``, ``[SEP]``).
        rate: share of all tokens, the special ones counted in, as in BERT's code.
        key: names of the draw.
    """
    candidates = np.flatnonzero(~special)
    count = min(capacity(len(special), rate), len(candidates))
    order = np.argsort(uniform(MASK_CHOICE, *key, candidates), kind="stable")
    return np.sort(candidates[order[:count]])


def corrupted(tokens: Ints, chosen: Ints, mask_id: int, vocab_size: int, *key: int) -> Ints:
    """``tokens`` with the chosen positions masked, replaced by a random piece, or left."""
    action = uniform(MASK_ACTION, *key, chosen)
    # Any id of the vocabulary, special ones too, as in BERT's code.
    other = below(vocab_size, MASK_TOKEN, *key, chosen)
    kept = np.where(action < MASK_SHARE + RANDOM_SHARE, other, tokens[chosen])
    result = tokens.copy()
    result[chosen] = np.where(action < MASK_SHARE, mask_id, kept)
    return result
