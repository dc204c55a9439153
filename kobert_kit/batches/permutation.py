"""A keyed permutation: a shuffled order without a shuffled list.

Four Feistel rounds over the smallest even number of bits that holds the size, walked until the
value falls inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", sections 3-4).
"""

import numpy as np
import numpy.typing as npt

from kobert_kit.batches.counter_random import ORDER, Names, bits, further

ROUNDS = 4  # the fewest that Luby and Rackoff (1988) prove strong; we only need "looks shuffled"


def permuted(index: Names, size: Names, *key: Names) -> npt.NDArray[np.int64]:
    """The place of each ``index`` in the order of ``range(size)`` that ``key`` names.

    All arguments broadcast against each other; each element has a size and a key of its own, below
    2^53. The time does not depend on the size.
    """
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a)) for a in (index, size, *key)))
    value, sizes = arrays[0].astype(np.uint64), arrays[1].astype(np.uint64)
    half = _half_bits(sizes)
    mask = (np.uint64(1) << half) - np.uint64(1)
    keyed = bits(ORDER, *arrays[2:])
    rounds = np.stack(
        [np.broadcast_to(further(keyed, turn), value.shape) for turn in range(ROUNDS)]
    )
    outside = np.arange(len(value))
    while len(outside):
        value[outside] = _feistel(value[outside], half[outside], mask[outside], rounds[:, outside])
        outside = outside[value[outside] >= sizes[outside]]
    return value.astype(np.int64)


def _half_bits(size: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bit_length = np.frexp((size - np.uint64(1)).astype(np.float64))[1]
    half: npt.NDArray[np.uint64] = np.maximum(1, (bit_length + 1) // 2).astype(np.uint64)
    return half


def _feistel(
    value: npt.NDArray[np.uint64],
    half: npt.NDArray[np.uint64],
    mask: npt.NDArray[np.uint64],
    rounds: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]:
    left, right = value >> half, value & mask
    for key in rounds:
        left, right = right, left ^ (further(key, right) & mask)
    joined: npt.NDArray[np.uint64] = (left << half) | right
    return joined
