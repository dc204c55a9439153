"""A keyed permutation: a shuffled order without a shuffled list.

Four Feistel rounds over the smallest even number of bits that holds the size, walked until the
value falls inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", sections 3-4).
"""

from kobert_kit.corpus.counter_random import ORDER, bits

ROUNDS = 4  # the fewest that Luby and Rackoff (1988) prove strong; we only need "looks shuffled"


def permuted(index: int, size: int, *key: int) -> int:
    """The place of ``index`` in the order of ``range(size)`` that ``key`` names; O(1)."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (int(bits(ORDER, *key, turn, right)[0]) & mask)
        index = left << half | right
        if index < size:
            return index
