import math

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kernels.philox import (
    keep_rows,
    keep_rows_tile,
    keep_scale,
    keep_scores,
    keep_scores_tile,
    philox,
    threshold,
)

SEEDS = [0, 1, -1, 2**63 - 1, -(2**63), -1234567890123]


@triton.jit
def rows_kernel(mask_ptr, seed_ptr, threshold, first, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    row = tl.arange(0, BLOCK_R)
    keep = keep_rows_tile(tl.load(seed_ptr), first + row.to(tl.int64), threshold, BLOCK_R, BLOCK_N)
    offset = row[:, None] * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    tl.store(mask_ptr + offset, keep.to(tl.int8))


@triton.jit
def scores_kernel(
    mask_ptr, seed_ptr, threshold, heads, length, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr
):
    """The grid is (query tiles, heads, sequences), as in the attention kernels."""
    head, sequence = tl.program_id(1), tl.program_id(2)
    query = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    mask_ptr += (sequence * heads + head) * length * length
    for first in range(0, length, BLOCK_N):
        seed = tl.load(seed_ptr)
        keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
        key = first + tl.arange(0, BLOCK_N)
        inside = (query < length)[:, None] & (key < length)[None, :]
        offset = query[:, None] * length + key[None, :]
        tl.store(mask_ptr + offset, keep.to(tl.int8), mask=inside)


def triton_scores(seed, sequences, heads, length, dropout, block_m, block_n):
    mask = torch.zeros(sequences, heads, length, length, dtype=torch.int8, device=seed.device)
    grid = (-(-length // block_m), heads, sequences)
    scores_kernel[grid](mask, seed, threshold(dropout), heads, length, block_m, block_n)
    return mask.bool()


# The answers published with Random123 (its file kat_vectors): counter, key, words.
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000" * 4, "00000000" * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff" * 4, "ffffffff" * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88" "85a308d3" "13198a2e" "03707344",
            "a4093822" "299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
    ids=["zeros", "ones", "pi"],
)  # fmt: skip
def test_ten_rounds_give_the_published_words(counter, key, words):
    def parts(text):
        return [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]

    low, high = parts(key)
    unsigned = high << 32 | low
    seed = torch.tensor([unsigned - (1 << 64) if unsigned >> 63 else unsigned])
    got = philox(seed, tuple(torch.tensor([c]) for c in parts(counter)), rounds=10)
    assert [f"{int(word):08x}" for word in got] == words.split()


@pytest.mark.parametrize("seed", SEEDS)
def test_triton_and_torch_keep_the_same_rows(seed, device):
    seed = torch.tensor([seed], device=device)
    mask = torch.zeros(8, 64, dtype=torch.int8, device=device)
    rows_kernel[(1,)](mask, seed, threshold(0.3), 0, 8, 64)
    assert torch.equal(mask.bool(), keep_rows(seed, 8, 64, 0.3))


def test_rows_beyond_2_to_the_32_differ_from_their_low_word(device):
    seed = torch.tensor([5], device=device)
    masks = [torch.zeros(4, 32, dtype=torch.int8, device=device) for _ in range(2)]
    for mask, first in zip(masks, (7, 2**32 + 7), strict=True):
        rows_kernel[(1,)](mask, seed, threshold(0.5), first, 4, 32)
    assert torch.equal(masks[0].bool(), keep_rows(seed, 11, 32, 0.5)[7:])
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("seed", SEEDS[-2:])
@pytest.mark.parametrize("tile", [(16, 32), (64, 64), (32, 128)], ids="{0[0]}x{0[1]}".format)
def test_triton_and_torch_keep_the_same_scores_for_every_tile(seed, tile, device):
    seed = torch.tensor([seed], device=device)
    reference = keep_scores(seed, torch.arange(2, device=device), 2, 77, 0.1)
    assert torch.equal(triton_scores(seed, 2, 2, 77, 0.1, *tile), reference)


def test_a_score_does_not_depend_on_the_length_or_on_the_other_sequences():
    seed = torch.tensor([9])
    full = keep_scores(seed, torch.arange(5), 3, 100, 0.4)
    part = keep_scores(seed, torch.tensor([4, 2]), 3, 33, 0.4)
    assert torch.equal(part, full[[4, 2], :, :33, :33])


def test_each_position_has_its_own_lane():
    """Neighbours along every axis agree as often as independent masks do, not always."""
    keep = keep_scores(torch.tensor([3]), torch.arange(4), 4, 96, 0.5)
    for axis in range(4):
        for step in (1, 2, 8, 32) if axis >= 2 else (1,):
            n = keep.shape[axis] - step
            same = keep.narrow(axis, 0, n) == keep.narrow(axis, step, n)
            assert abs(same.double().mean() - 0.5) < 6 * 0.5 / math.sqrt(same.numel())


def test_rows_and_scores_share_no_mask():
    rows = keep_rows(torch.tensor([3]), 96, 96, 0.5)
    scores = keep_scores(torch.tensor([3]), torch.zeros(1, dtype=torch.int64), 1, 96, 0.5)[0, 0]
    assert abs((rows == scores).double().mean() - 0.5) < 6 * 0.5 / 96


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    dropout=st.floats(0.0, 0.99),
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_keep_rate_is_binomial(seed, dropout, shape):
    keep = keep_rows(torch.tensor([seed]), *shape, dropout)
    kept, share = keep.sum().item(), 1 / keep_scale(dropout)
    assert abs(share - (1 - dropout)) <= 2**-17
    # Six sigma, and the 3 that covers the small numbers where the binomial is not normal.
    assert abs(kept - share * keep.numel()) <= 6 * math.sqrt(keep.numel() * share * (1 - share)) + 3


def test_the_threshold_is_the_first_lane_that_is_kept():
    """p = 1/2 keeps a lane exactly when its highest bit is set."""
    seed = torch.tensor([11])
    counter = (torch.arange(4), torch.arange(6)[:, None], torch.tensor(0), torch.tensor(2**32 - 1))
    words = torch.stack(philox(seed, counter), -1)
    lanes = torch.stack((words & 0xFFFF, words >> 16), -1).flatten(1)
    for smallest in (1, 777, 32768, 65535):
        keep = keep_rows(seed, 6, 32, smallest / 65536)
        assert torch.equal(keep, lanes >= smallest)
    exact = lanes[0, 0].item()  # a lane equal to the threshold is kept, one below is not
    assert keep_rows(seed, 1, 1, exact / 65536).item() is True
    assert keep_rows(seed, 1, 1, (exact + 1) / 65536).item() is False


def test_the_triton_threshold_is_the_first_lane_that_is_kept(device):
    """At the lane of the first row and column, and of the first score, and one above."""
    seed = torch.tensor([11], device=device)
    for last_word in (2**32 - 1, 0):  # rows, and sequence 0
        counter = (torch.tensor(c, device=device) for c in (0, 0, 0, last_word))
        lane = philox(seed, tuple(counter))[0].item() & 0xFFFF
        for smallest, kept in ((lane, 1), (lane + 1, 0)):
            mask = torch.zeros(16, 32, dtype=torch.int8, device=device)
            if last_word:
                rows_kernel[(1,)](mask, seed, smallest, 0, 16, 32)
            else:
                scores_kernel[(1, 1, 1)](mask, seed, smallest, 1, 16, 16, 32)
            assert mask[0, 0].item() == kept
