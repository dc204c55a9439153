"""Dropout masks as a pure function of (seed, position): the same bits from Triton and from PyTorch.

The generator is Philox-4x32 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011). Its key is a 64-bit seed and its counter is a *position*: of a row and a column,
or of a query and a key in one head of one sequence. No tile index enters, so forward, backward,
every tile size and the PyTorch reference drop the same elements, and no mask is ever stored.

One call gives four 32-bit words, used as eight lanes of 16 bits. An element is kept iff its lane
is at least round(dropout * 65536), so any probability is met to 2^-17 = 7.6e-6. On sm_90 the mask
then costs about 5 instructions for each attention score (counted in the compiled kernel), against
54 with one `tl.rand` for each.

Which lane belongs to which column follows the registers that hold the tile, so that a GPU thread
draws exactly the lanes that it needs and no bit travels through shared memory:

- rows: a thread loads 8 neighbouring columns at once, so block i holds columns 8i .. 8i+7;
- scores: of 32 keys, tensor cores leave with one thread keys 2c and 2c+1 of each group of eight,
  so block 4i+c holds keys 32i + 8w + 2c + h, for word w and half h. With the order used for rows
  the forward kernel has 18 % more instructions and five more barriers.

Legend: R rows, N width, S sequences, H heads, L sequence length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import Scalar, Tile, jit, tl

# Seven rounds is the fewest that passes BigCrush (Salmon et al.; ten is their margin for
# safety), and a mask needs no more. Ten rounds cost 26 % more integer instructions per lane.
ROUNDS = 7
# PyTorch on a CPU makes masks in portions that stay in the cache: at 4096 x 768 on two cores in
# 0.55 of the time that all at once takes.
COUNTERS_AT_ONCE = 48 * 1024
KEYS_PER_GROUP = 32  # keys served by four neighbouring blocks; a tile of scores covers whole groups

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)  # the constants of Philox-4x32, from the paper
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, from the paper
# The last counter word is a sequence number for scores and this for rows: one seed given to both
# ops still gives two independent masks.
_ROWS_MARK = 0xFFFFFFFF

_ROUNDS = tl.constexpr(ROUNDS)
_MARK = tl.constexpr(_ROWS_MARK)


def threshold(dropout: float) -> int:
    """The smallest 16-bit lane that is kept: round(dropout * 65536)."""
    return round(dropout * 65536)


def keep_scale(dropout: float) -> float:
    """What kept elements are multiplied by: one over the share of lanes that are kept."""
    return 65536 / (65536 - threshold(dropout))


def check_dropout(op: str, dropout: float, seed: Tensor | None, device: torch.device) -> None:
    """Raise a ValueError unless `dropout` is in [0, 1) and comes with an int64[1] seed."""
    if not 0.0 <= dropout < 1.0 or threshold(dropout) == 65536:
        raise ValueError(f"{op}: dropout must be at least 0 and below 1, got {dropout}")
    if dropout == 0.0:
        return
    if seed is None:
        raise ValueError(f"{op}: dropout={dropout} needs a seed, an int64 tensor of one element")
    if seed.dtype != torch.int64 or seed.shape != (1,) or seed.device != device:
        raise ValueError(
            f"{op}: seed must be int64 of shape [1] on {device}, "
            f"got {seed.dtype} of shape {list(seed.shape)} on {seed.device}"
        )


# PyTorch


def philox(
    seed: Tensor, counter: tuple[Tensor, Tensor, Tensor, Tensor], rounds: int = ROUNDS
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox-4x32: four 32-bit words for each counter.

    Args:
        seed: int64 of shape [1]; its low and high halves are the two words of the key.
        counter: four int64 tensors that broadcast together, with values in [0, 2^32).
        rounds: 7 here; published test vectors are for 10.

    Returns:
        Four int64 tensors of the broadcast shape, with values in [0, 2^32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(rounds):
        # int64 products wrap modulo 2^64, which keeps both 32-bit halves intact; the mask removes
        # the copies of the sign bit that an arithmetic shift brings in, and the high half of c1
        # and c3, whose low half is the word.
        a, b = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = ((b >> 32) ^ c1 ^ k0) & _LOW
        c2 = ((a >> 32) ^ c3 ^ k1) & _LOW
        c1, c3 = b, a
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
    return c0, c1 & _LOW, c2, c3 & _LOW


def _keep(
    seed: Tensor, blocks: int, row: tuple[Tensor, ...], dropout: float, *, together: int
) -> Tensor:
    """True where a lane is kept: bool [R, 8 B].

    Args:
        seed: int64 of shape [1].
        blocks: B, the values of the first counter word.
        row: the other three, each [R].
        dropout: probability of dropping a lane.
        together: blocks whose first words stand side by side, then their second ones, and so on.
    """
    if seed.device.type != "cpu" or torch.compiler.is_compiling():
        return _lanes(seed, blocks, row, dropout, together)
    lanes = torch.empty((row[0].shape[0], 8 * blocks), dtype=torch.bool)
    step = max(1, COUNTERS_AT_ONCE // max(blocks, 1))
    for first in range(0, lanes.shape[0], step):
        rows = slice(first, first + step)
        lanes[rows] = _lanes(seed, blocks, tuple(word[rows] for word in row), dropout, together)
    return lanes


def _lanes(
    seed: Tensor, blocks: int, row: tuple[Tensor, ...], dropout: float, together: int
) -> Tensor:
    c1, c2, c3 = (word[:, None] for word in row)
    found = philox(seed, (torch.arange(blocks, device=seed.device), c1, c2, c3))
    shape = (row[0].shape[0], blocks // together, together)
    words = torch.stack([word.to(torch.int32).view(shape) for word in found], dim=2)
    # Sixteen bits at a time, the low half first; torch compares them as signed, so both sides are
    # moved down by 2^15.
    return (words.flatten(1).view(torch.int16) ^ -32768) >= threshold(dropout) - 32768


def keep_rows(seed: Tensor, rows: int, width: int, dropout: float) -> Tensor:
    """The mask of a matrix: bool [R, N], true where an element is kept."""
    row = torch.arange(rows, device=seed.device)
    mark = torch.full_like(row, _ROWS_MARK)
    blocks = -(-width // 8)
    return _keep(seed, blocks, (row & _LOW, row >> 32, mark), dropout, together=1)[:, :width]


def keep_scores(seed: Tensor, sequences: Tensor, heads: int, length: int, dropout: float) -> Tensor:
    """The mask of attention scores: bool [S, H, L, L] (query, key), true where a score is kept.

    Args:
        seed: int64 of shape [1].
        sequences: int64 [S], the number of each sequence within the batch.
        heads: H.
        length: L.
        dropout: probability of dropping a score.
    """
    blocks = 4 * -(-length // KEYS_PER_GROUP)
    query = torch.arange(length, device=seed.device)
    head = torch.arange(heads, device=seed.device)[:, None]
    shape = (sequences.shape[0], heads, length)
    row = tuple(word.expand(shape).flatten() for word in (query, head, sequences[:, None, None]))
    return _keep(seed, blocks, row, dropout, together=4).view(*shape, 8 * blocks)[..., :length]


# Triton


@jit()
def keep_rows_tile(
    seed: Scalar, row: Tile, threshold: Scalar, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr
) -> Tile:
    """[BLOCK_R, BLOCK_N] of `keep_rows` for the int64 rows `row` and columns from 0."""
    block = tl.arange(0, BLOCK_N // 8)[None, :].to(tl.uint32)
    low = (row & 0xFFFFFFFF).to(tl.uint32)[:, None]
    high = (row >> 32).to(tl.uint32)[:, None]
    mark = tl.full((1, 1), _MARK, tl.uint32)
    w0, w1, w2, w3 = tl.philox(seed, block, low, high, mark, _ROUNDS)
    # `join` adds a minor axis: [.., 8 columns] = [.., word's high bit, word's low bit, half].
    words = tl.join(tl.join(w0, w2), tl.join(w1, w3))
    lanes = tl.join(words & 0xFFFF, words >> 16)
    return tl.reshape(lanes, (BLOCK_R, BLOCK_N)) >= threshold.to(tl.uint32)


@jit()
def keep_scores_tile(
    seed: Scalar,
    query: Tile,
    first_key: Scalar,
    head: Scalar,
    sequence: Scalar,
    threshold: Scalar,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> Tile:
    """[BLOCK_M, BLOCK_N] of `keep_scores` from `query` and `first_key`, a multiple of 32."""
    block = (first_key // 8 + tl.arange(0, BLOCK_N // 8))[None, :].to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(
        seed,
        block,
        query[:, None].to(tl.uint32),
        head.to(tl.uint32),
        sequence.to(tl.uint32),
        _ROUNDS,
    )
    words = tl.join(tl.join(w0, w2), tl.join(w1, w3))
    lanes = tl.join(words & 0xFFFF, words >> 16)
    lanes = tl.reshape(
        lanes, (BLOCK_M, BLOCK_N // 32, 4, 2, 2, 2)
    )  # group, pair, word (2 bits), half
    lanes = tl.permute(lanes, (0, 1, 3, 4, 2, 5))  # group, word, pair, half: the order of the keys
    return tl.reshape(lanes, (BLOCK_M, BLOCK_N)) >= threshold.to(tl.uint32)
