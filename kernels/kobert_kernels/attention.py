"""Softmax attention over sequences that lie end to end, without padding.

    O = dropout(softmax(scale * Q K^T)) V        for each head of each sequence

The kernels follow FlashAttention-2 (Dao, "FlashAttention-2: faster attention with better
parallelism and work partitioning", ICLR 2024): scores exist only as tiles, the softmax is computed
online in fp32 and base 2, and what backward needs is O and one number per query and head, the log2
of the softmax's denominator (LSE). Backward makes dQ in one kernel and dK, dV in another. That
recomputes the scores twice, seven matrix products instead of five, but no two programs add to one
place: no atomics, and equal inputs give equal bits.

Legend: T tokens of all sequences, S sequences, H heads, D head size, L length of one sequence;
M queries and N keys of a tile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from ._triton import Pointer, Scalar, Tile, jit, on_device_of, tl
from .philox import check_dropout, keep_scale, keep_scores, keep_scores_tile, threshold

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HEAD_SIZES = (16, 32, 64, 96, 128)  # 64 is BERT's; 16 and 32 are for demo models

_LOG2_E = math.log2(math.e)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """Attention within each of S packed sequences (Dao, 2024); no sequence sees another.

    CUDA tensors go to the Triton kernels, all others to `attention_reference`.

    Args:
        q: [T, H, D], and k, v alike; views of one [T, 3, H, D] tensor are read in place.
        k: [T, H, D].
        v: [T, H, D].
        cu_seqlens: int32 [S+1]; sequence s is tokens cu_seqlens[s] to cu_seqlens[s+1]. It starts
            with 0, never falls and ends with T, so unused slots at the end are a sequence too; a
            sequence may be empty. Checked on a CPU alone: reading it back would stall a GPU.
        max_seqlen: at least the longest length; tokens beyond it would get no result.
        scale: multiplies the scores; 1/sqrt(D) if not given.
        dropout: probability of dropping an attention weight; the others are scaled up.
        seed: int64 [1], the seed of the dropout mask; required when dropout > 0.

    Returns:
        [T, H, D] in the dtype of q.

    Raises:
        ValueError: a shape, dtype or device does not fit, dropout is outside [0, 1) or has no seed,
            or the kernel lacks the dtype or head size.
    """
    op = attention_triton if q.is_cuda else attention_reference
    return op(q, k, v, cu_seqlens, max_seqlen, scale=scale, dropout=dropout, seed=seed)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout: float,
    seed: Tensor | None,
) -> None:
    if q.dim() != 3 or not q.is_floating_point():
        raise ValueError(
            f"attention: q must be floating point [T, H, D], got {q.dtype} {list(q.shape)}"
        )
    for name, tensor in (("k", k), ("v", v)):
        if (tensor.shape, tensor.dtype, tensor.device) != (q.shape, q.dtype, q.device):
            raise ValueError(
                f"attention: {name} is {tensor.dtype} {list(tensor.shape)} on {tensor.device}, "
                f"q is {q.dtype} {list(q.shape)} on {q.device}"
            )
    if cu_seqlens.dtype != torch.int32 or cu_seqlens.dim() != 1 or cu_seqlens.numel() == 0:
        raise ValueError(
            f"attention: cu_seqlens must be int32 [S+1], "
            f"got {cu_seqlens.dtype} {list(cu_seqlens.shape)}"
        )
    if cu_seqlens.device != q.device:
        raise ValueError(f"attention: cu_seqlens is on {cu_seqlens.device}, q is on {q.device}")
    if max_seqlen < 0:
        raise ValueError(f"attention: max_seqlen must not be negative, got {max_seqlen}")
    check_dropout("attention", dropout, seed, q.device)


# PyTorch


def attention_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """`attention` in plain PyTorch, with the same dropout mask.

    Sequences are padded to the next multiple of 32 and those of one padded length computed
    together. What is computed for a sequence thus depends on its own length alone: no change of
    another one moves it by a bit, as padding all to the longest would allow. For 32 sequences of
    100-128 tokens (H=4, D=64), forward and backward take 0.6 times as long as with one call per
    sequence.

    Raises:
        ValueError: as `attention`, or the sequences do not fit the tokens.
    """
    _check(q, k, v, cu_seqlens, max_seqlen, dropout, seed)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    bounds = cu_seqlens.tolist()
    groups = _group_by_padded_length(bounds, q.shape[0], max_seqlen)
    outputs, rows = [], []
    for length, numbers in groups.items():
        sequences = torch.tensor(numbers, device=q.device)
        first = torch.tensor([bounds[s] for s in numbers], device=q.device)
        size = torch.tensor([bounds[s + 1] - bounds[s] for s in numbers], device=q.device)
        position = torch.arange(length, device=q.device)
        real = position < size[:, None]  # [S, L], false where there is padding
        source = (first[:, None] + position)[real]
        target = real.flatten().nonzero()[:, 0]
        if len(groups) == 1:
            q_g, k_g, v_g = (_pad(t, target, real.shape) for t in (q, k, v))
        else:
            q_g, k_g, v_g = (_pad(t.index_select(0, source), target, real.shape) for t in (q, k, v))
        if seed is not None and dropout > 0.0:
            keep = keep_scores(seed, sequences, q.shape[1], length, dropout)
            o = _explicit(q_g, k_g, v_g, real, scale, keep, keep_scale(dropout))
        else:
            # A key mask of [S, 1, 1, L] leaves PyTorch on its flash kernel, for a CPU and in
            # backward too.
            mask = None if target.numel() == real.numel() else real[:, None, None, :]
            o = scaled_dot_product_attention(q_g, k_g, v_g, attn_mask=mask, scale=scale)
        o = o.transpose(1, 2).flatten(0, 1)
        outputs.append(o if target.numel() == real.numel() else o.index_select(0, target))
        rows.append(source)
    if not outputs:
        return q + k + v  # no token: empty, and still differentiable
    if len(outputs) == 1:
        return outputs[0]
    packed = torch.cat(outputs)
    return torch.empty_like(packed).index_copy(0, torch.cat(rows), packed)


def _group_by_padded_length(
    bounds: Sequence[int], tokens: int, max_seqlen: int
) -> dict[int, list[int]]:
    """The sequences that are not empty, by their length rounded up to a multiple of 32."""
    groups: dict[int, list[int]] = {}
    if bounds[0] != 0 or bounds[-1] != tokens:
        raise ValueError(
            f"attention: cu_seqlens runs from {bounds[0]} to {bounds[-1]}, must be 0 to {tokens}"
        )
    for number in range(len(bounds) - 1):
        length = bounds[number + 1] - bounds[number]
        if not 0 <= length <= max_seqlen:
            raise ValueError(
                f"attention: sequence {number} has length {length}, must be 0 to {max_seqlen}"
            )
        if length > 0:
            groups.setdefault(-(-length // 32) * 32, []).append(number)
    return groups


def _pad(tensor: Tensor, target: Tensor, shape: torch.Size) -> Tensor:
    """[T, H, D] to [S, H, L, D], token t at place target[t] of S * L and zeros elsewhere."""
    if target.numel() < shape.numel():
        zeros = tensor.new_zeros(shape.numel(), *tensor.shape[1:])
        tensor = zeros.index_copy(0, target, tensor)
    return tensor.reshape(*shape, *tensor.shape[1:]).transpose(1, 2)


def _explicit(
    q: Tensor, k: Tensor, v: Tensor, real: Tensor, scale: float, keep: Tensor, keep_scale: float
) -> Tensor:
    """Attention of [S, H, L, D] with its weights written out, in fp32 or better."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(dtype) @ k.to(dtype).transpose(2, 3) * scale
    weights = scores.masked_fill(~real[:, None, None, :], -math.inf).softmax(-1)
    weights = torch.where(keep, weights * keep_scale, 0.0)
    return (weights @ v.to(dtype)).to(q.dtype)


# Triton kernels
#
# Every dot says "ieee": fp32 would otherwise be rounded to TF32, with errors near 1e-3. It changes
# nothing for fp16 and bf16.


@jit()
def _load_tile(
    ptr: Pointer,
    row: Tile,
    inside: Tile,
    stride: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> Tile:
    """[M, BLOCK_D] of one head, zero where not inside and beyond D.

    `row` is int64, since row * stride may exceed 2^31.
    """
    column = tl.arange(0, BLOCK_D)
    inside = inside[:, None] & (column < D)[None, :]
    return tl.load(ptr + row[:, None] * stride + column[None, :], mask=inside, other=0.0)


@jit()
def _store_tile(
    ptr: Pointer,
    value: Tile,
    row: Tile,
    inside: Tile,
    stride: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    column = tl.arange(0, BLOCK_D)
    inside = inside[:, None] & (column < D)[None, :]
    value = value.to(ptr.dtype.element_ty)
    tl.store(ptr + row[:, None] * stride + column[None, :], value, mask=inside)


@jit()
def _sequence(cu_seqlens_ptr: Pointer, tiles: Scalar) -> Tile:
    """Which sequence, where it starts, how long it is, and which of its tiles is ours.

    Tiles of one sequence and head are neighbours, so that they find K and V in the L2 cache. The
    grid's first axis carries sequences times tiles, as only that axis may exceed 65535.
    """
    program = tl.program_id(0)
    sequence = program // tiles
    start = tl.load(cu_seqlens_ptr + sequence)
    length = tl.load(cu_seqlens_ptr + sequence + 1) - start
    return sequence, start, length, program % tiles


@jit("tokens", "tiles", "threshold")
def _attention_fwd_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    o_ptr: Pointer,
    lse_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    tokens: Scalar,
    tiles: Scalar,
    stride_qt: Scalar,
    stride_qh: Scalar,
    stride_kt: Scalar,
    stride_kh: Scalar,
    stride_vt: Scalar,
    stride_vh: Scalar,
    stride_ot: Scalar,
    stride_oh: Scalar,
    scale_log2: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    DROPOUT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    sequence, start, length, tile = _sequence(cu_seqlens_ptr, tiles)
    if tile * BLOCK_M >= length:  # beyond the end of a shorter sequence
        return
    head = tl.program_id(1).to(tl.int64)
    q_ptr += head * stride_qh
    k_ptr += head * stride_kh
    v_ptr += head * stride_vh
    if DROPOUT:
        seed = tl.load(seed_ptr)

    query = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    q_row = start + query.to(tl.int64)
    q = _load_tile(q_ptr, q_row, query < length, stride_qt, D, BLOCK_D)
    top = tl.full((BLOCK_M,), float("-inf"), tl.float32)  # running maximum of the scores
    total = tl.zeros((BLOCK_M,), tl.float32)  # running sum of exp2(score - top)
    o = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)

    for first in range(0, length, BLOCK_N):
        key = first + tl.arange(0, BLOCK_N)
        k_row = start + key.to(tl.int64)
        k = _load_tile(k_ptr, k_row, key < length, stride_kt, D, BLOCK_D)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
        # Each tile has a real key, so `top` is finite from the first one on and no inf - inf
        # arises.
        score = tl.where((key < length)[None, :], score, float("-inf"))
        new_top = tl.maximum(top, tl.max(score, 1))
        p = tl.exp2(score - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(
            p, 1
        )  # before dropout, which acts on the normalised weights
        if DROPOUT:
            keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
            p = tl.where(keep, p, 0.0)
        v = _load_tile(v_ptr, k_row, key < length, stride_vt, D, BLOCK_D)
        o = tl.dot(p.to(v.dtype), v, o * shrink[:, None], input_precision="ieee")
        top = new_top

    o *= (keep_scale / total)[:, None]
    _store_tile(o_ptr + head * stride_oh, o, q_row, query < length, stride_ot, D, BLOCK_D)
    tl.store(lse_ptr + head * tokens + q_row, top + tl.log2(total), mask=query < length)


@jit("tokens", "tiles", "threshold")
def _attention_bwd_q_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    o_ptr: Pointer,
    do_ptr: Pointer,
    lse_ptr: Pointer,
    delta_ptr: Pointer,
    dq_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    tokens: Scalar,
    tiles: Scalar,
    stride_qt: Scalar,
    stride_qh: Scalar,
    stride_kt: Scalar,
    stride_kh: Scalar,
    stride_vt: Scalar,
    stride_vh: Scalar,
    stride_ot: Scalar,
    stride_oh: Scalar,
    stride_dot: Scalar,
    stride_doh: Scalar,
    scale: Scalar,
    scale_log2: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    DROPOUT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Make dQ of a tile of queries, and delta = rowsum(dO * O), which the other kernel reads."""
    sequence, start, length, tile = _sequence(cu_seqlens_ptr, tiles)
    if tile * BLOCK_M >= length:
        return
    head = tl.program_id(1).to(tl.int64)
    k_ptr += head * stride_kh
    v_ptr += head * stride_vh
    if DROPOUT:
        seed = tl.load(seed_ptr)

    query = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = query < length
    q_row = start + query.to(tl.int64)
    do = _load_tile(do_ptr + head * stride_doh, q_row, inside, stride_dot, D, BLOCK_D)
    o = _load_tile(o_ptr + head * stride_oh, q_row, inside, stride_ot, D, BLOCK_D)
    delta = tl.sum(do.to(tl.float32) * o.to(tl.float32), 1)
    tl.store(delta_ptr + head * tokens + q_row, delta, mask=inside)
    q = _load_tile(q_ptr + head * stride_qh, q_row, inside, stride_qt, D, BLOCK_D)
    lse = tl.load(lse_ptr + head * tokens + q_row, mask=inside, other=float("inf"))
    dq = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)

    for first in range(0, length, BLOCK_N):
        key = first + tl.arange(0, BLOCK_N)
        k_row = start + key.to(tl.int64)
        k = _load_tile(k_ptr, k_row, key < length, stride_kt, D, BLOCK_D)
        v = _load_tile(v_ptr, k_row, key < length, stride_vt, D, BLOCK_D)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
        score = tl.where((key < length)[None, :], score, float("-inf"))
        p = tl.exp2(score - lse[:, None])
        dp = tl.dot(do, tl.trans(v), input_precision="ieee")
        if DROPOUT:
            keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
            dp = tl.where(keep, dp * keep_scale, 0.0)
        ds = p * (dp - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")

    _store_tile(dq_ptr + head * D, dq * scale, q_row, inside, tl.num_programs(1) * D, D, BLOCK_D)


@jit("tokens", "tiles", "threshold")
def _attention_bwd_kv_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    do_ptr: Pointer,
    lse_ptr: Pointer,
    delta_ptr: Pointer,
    dk_ptr: Pointer,
    dv_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    tokens: Scalar,
    tiles: Scalar,
    stride_qt: Scalar,
    stride_qh: Scalar,
    stride_kt: Scalar,
    stride_kh: Scalar,
    stride_vt: Scalar,
    stride_vh: Scalar,
    stride_dot: Scalar,
    stride_doh: Scalar,
    scale: Scalar,
    scale_log2: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    DROPOUT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Make dK and dV of a tile of keys, from all queries of the sequence."""
    sequence, start, length, tile = _sequence(cu_seqlens_ptr, tiles)
    if tile * BLOCK_N >= length:
        return
    head = tl.program_id(1).to(tl.int64)
    q_ptr += head * stride_qh
    do_ptr += head * stride_doh
    lse_ptr += head * tokens
    delta_ptr += head * tokens
    if DROPOUT:
        seed = tl.load(seed_ptr)

    first = tile * BLOCK_N
    key = first + tl.arange(0, BLOCK_N)
    inside = key < length
    k_row = start + key.to(tl.int64)
    k = _load_tile(k_ptr + head * stride_kh, k_row, inside, stride_kt, D, BLOCK_D)
    v = _load_tile(v_ptr + head * stride_vh, k_row, inside, stride_vt, D, BLOCK_D)
    dk = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    dv = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)

    for first_query in range(0, length, BLOCK_M):
        query = first_query + tl.arange(0, BLOCK_M)
        q_row = start + query.to(tl.int64)
        q = _load_tile(q_ptr, q_row, query < length, stride_qt, D, BLOCK_D)
        # An LSE of inf makes every weight of a query beyond the end 0.
        lse = tl.load(lse_ptr + q_row, mask=query < length, other=float("inf"))
        # Scores lie as [M, N], not transposed as in most FlashAttention kernels: only so does a
        # thread hold the keys of its own Philox blocks. Transposing the mask costs 20 % more.
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale_log2
        # Without this mask a key beyond the end, of score 0, overflows to inf where LSE < -128.
        score = tl.where(inside[None, :], score, float("-inf"))
        p = tl.exp2(score - lse[:, None])
        dropped = p
        if DROPOUT:
            keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
            dropped = tl.where(keep, p, 0.0)
        # dO is loaded and dV made before dP: the other way round 52 bytes spill on sm_80.
        do = _load_tile(do_ptr, q_row, query < length, stride_dot, D, BLOCK_D)
        delta = tl.load(delta_ptr + q_row, mask=query < length, other=0.0)
        dv = tl.dot(tl.trans(dropped.to(do.dtype)), do, dv, input_precision="ieee")
        dp = tl.dot(do, tl.trans(v), input_precision="ieee")
        if DROPOUT:
            dp = tl.where(keep, dp * keep_scale, 0.0)
        ds = p * (dp - delta[:, None])
        dk = tl.dot(tl.trans(ds.to(q.dtype)), q, dk, input_precision="ieee")

    stride = tl.num_programs(1) * D
    _store_tile(dk_ptr + head * D, dk * scale, k_row, inside, stride, D, BLOCK_D)
    _store_tile(dv_ptr + head * D, dv * keep_scale, k_row, inside, stride, D, BLOCK_D)


# Launcher


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How one kernel cuts the scores: M queries by N keys per step."""

    block_m: int
    block_n: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True, kw_only=True)
class AttentionLaunch:
    """The tilings of the three kernels for one dtype and head size."""

    block_d: int
    """The head size, rounded up to a power of two: 96 is computed as 128 with masked loads."""
    forward: Tiling
    backward_q: Tiling
    backward_kv: Tiling


def attention_launch(head_size: int, dtype: torch.dtype) -> AttentionLaunch:
    """The launch parameters for one head size and dtype.

    Chosen by compiling for sm_80 and sm_90 with dropout, where 16-bit dtypes spill no register and
    wgmma is never serialised; not yet timed on a GPU.
    """
    block_d = 16
    while block_d < head_size:
        block_d *= 2
    if dtype == torch.float32:
        # Exact fp32 products run unrolled and without tensor cores: only small tiles stay in
        # registers (for head sizes 96 and 128 even here dQ spills 260 bytes).
        small = Tiling(block_m=16, block_n=32, num_warps=8, num_stages=1)
        if block_d == 128:
            return AttentionLaunch(
                block_d=block_d, forward=small, backward_q=small, backward_kv=small
            )
        return AttentionLaunch(
            block_d=block_d,
            forward=Tiling(block_m=32, block_n=32, num_warps=4, num_stages=1),
            backward_q=Tiling(block_m=32, block_n=32, num_warps=8, num_stages=1),
            backward_kv=small,
        )
    # One stage for dK and dV: prefetching the next tiles spills on sm_80 and makes ptxas serialise
    # wgmma on sm_90 (C7515).
    if block_d == 128:
        # Twice the head size is twice the accumulators: for the same registers half the tile.
        return AttentionLaunch(
            block_d=block_d,
            forward=Tiling(block_m=64, block_n=64, num_warps=8, num_stages=2),
            backward_q=Tiling(block_m=64, block_n=64, num_warps=8, num_stages=2),
            backward_kv=Tiling(block_m=64, block_n=32, num_warps=4, num_stages=1),
        )
    return AttentionLaunch(
        block_d=block_d,
        forward=Tiling(block_m=128, block_n=64, num_warps=8, num_stages=2),
        backward_q=Tiling(block_m=64, block_n=64, num_warps=4, num_stages=2),
        backward_kv=Tiling(block_m=64, block_n=64, num_warps=4, num_stages=1),
    )


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seqlens: Tensor,
        max_seqlen: int,
        scale: float,
        dropout: float,
        seed: Tensor | None,
        launch: AttentionLaunch,
    ) -> Tensor:
        tokens, heads, head_size = q.shape
        q, k, v = (_with_adjacent_columns(t) for t in (q, k, v))
        o = torch.empty((tokens, heads, head_size), dtype=q.dtype, device=q.device)
        lse = torch.empty((heads, tokens), dtype=torch.float32, device=q.device)
        tiling = launch.forward
        tiles = -(-max_seqlen // tiling.block_m)
        grid = (tiles * (cu_seqlens.numel() - 1), heads)
        if o.numel() > 0 and grid[0] > 0:
            with on_device_of(q):
                _attention_fwd_kernel[grid](
                    q,
                    k,
                    v,
                    o,
                    lse,
                    cu_seqlens,
                    seed if dropout > 0.0 else None,
                    tokens,
                    tiles,
                    *_row_strides(q, k, v, o),
                    scale * _LOG2_E,
                    threshold(dropout),
                    keep_scale(dropout),
                    D=head_size,
                    DROPOUT=dropout > 0.0,
                    **_constants(tiling, launch.block_d),
                )
        ctx.save_for_backward(q, k, v, o, lse, cu_seqlens, seed)
        ctx.max_seqlen, ctx.scale, ctx.dropout, ctx.launch = max_seqlen, scale, dropout, launch
        return o

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        q, k, v, o, lse, cu_seqlens, seed = ctx.saved_tensors
        launch: AttentionLaunch = ctx.launch
        dropout: float = ctx.dropout
        tokens, heads, head_size = q.shape
        do = _with_adjacent_columns(do)
        dq, dk, dv = (torch.empty_like(o) for _ in range(3))
        delta = torch.empty_like(lse)
        common = (cu_seqlens, seed if dropout > 0.0 else None, tokens)
        numbers = (ctx.scale, ctx.scale * _LOG2_E, threshold(dropout), keep_scale(dropout))
        sequences = cu_seqlens.numel() - 1
        if dq.numel() > 0 and sequences > 0 and ctx.max_seqlen > 0:
            with on_device_of(q):
                tiles = -(-ctx.max_seqlen // launch.backward_q.block_m)
                _attention_bwd_q_kernel[(tiles * sequences, heads)](
                    q,
                    k,
                    v,
                    o,
                    do,
                    lse,
                    delta,
                    dq,
                    *common,
                    tiles,
                    *_row_strides(q, k, v, o, do),
                    *numbers,
                    D=head_size,
                    DROPOUT=dropout > 0.0,
                    **_constants(launch.backward_q, launch.block_d),
                )
                tiles = -(-ctx.max_seqlen // launch.backward_kv.block_n)
                _attention_bwd_kv_kernel[(tiles * sequences, heads)](
                    q,
                    k,
                    v,
                    do,
                    lse,
                    delta,
                    dk,
                    dv,
                    *common,
                    tiles,
                    *_row_strides(q, k, v, do),
                    *numbers,
                    D=head_size,
                    DROPOUT=dropout > 0.0,
                    **_constants(launch.backward_kv, launch.block_d),
                )
        return dq, dk, dv, None, None, None, None, None, None


def _with_adjacent_columns(tensor: Tensor) -> Tensor:
    """Copied only if need be, as is the gradient of a sum, which comes with every stride 0."""
    return tensor if tensor.stride(2) == 1 else tensor.contiguous()


def _row_strides(*tensors: Tensor) -> list[int]:
    return [stride for t in tensors for stride in t.stride()[:2]]


def _constants(tiling: Tiling, block_d: int) -> dict[str, int]:
    return {
        "BLOCK_M": tiling.block_m,
        "BLOCK_N": tiling.block_n,
        "BLOCK_D": block_d,
        "num_warps": tiling.num_warps,
        "num_stages": tiling.num_stages,
    }


def attention_triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    launch: AttentionLaunch | None = None,
) -> Tensor:
    """`attention` by the Triton kernels, for fp32, fp16 and bf16 and the sizes in HEAD_SIZES.

    `launch` replaces the launch parameters: the rounding may then differ, the dropout mask never.
    """
    _check(q, k, v, cu_seqlens, max_seqlen, dropout, seed)
    head_size = q.shape[-1]
    if q.dtype not in TRITON_DTYPES:
        raise ValueError(f"attention: q is {q.dtype}; the kernel takes fp32, fp16 and bf16")
    if head_size not in HEAD_SIZES:
        raise ValueError(f"attention: head size {head_size} is not one of {HEAD_SIZES}")
    scale = head_size**-0.5 if scale is None else scale
    launch = attention_launch(head_size, q.dtype) if launch is None else launch
    o: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        q, k, v, cu_seqlens.contiguous(), max_seqlen, scale, dropout, seed, launch
    )
    return o
