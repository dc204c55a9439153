"""Softmax attention over sequences that lie end to end, without padding.

    O = dropout(softmax(scale * R(Q) R(K)^T)) V      for each head of each sequence

(Vaswani et al., "Attention is all you need", 2017.) R turns queries and keys by the angles of their
places where tables of these are given (`rotary.py`); with a window a query sees only the keys near
it (Beltagy, Peters and Cohan, "Longformer", 2020).

The kernels follow FlashAttention-2 (Dao, "FlashAttention-2: faster attention with better
parallelism and work partitioning", ICLR 2024): scores exist only as tiles, the softmax is computed
online in fp32 and base 2, and what backward needs is Q, K, V, O and one number per query and head,
the log2 of the softmax's denominator (LSE).

Backward goes one of two ways. Up to 128 tokens one program has a whole head of a sequence: five
matrix products, and O is not read. Above, one kernel makes dQ and another dK and dV: the scores are
computed twice, seven products. Either way no two programs add to one place: no atomics, and equal
inputs give equal bits.

Legend: T tokens of the batch, S sequences, H heads, D head size, L length of one sequence, P
positions; M queries and N keys of a tile.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from . import launches
from ._registration import autocast_dtype, register
from ._triton import Pointer, Scalar, Tile, accumulator, can_run_on, jit, offset, on_device_of, tl
from .dispatch import Call, choose
from .dispatch import register as register_implementation
from .launches import launch
from .philox import KEYS_PER_GROUP, check_dropout, keep_scale, keep_scores, keep_scores_tile
from .philox import threshold as lane_threshold
from .rotary import (
    Rotary,
    by_registers,
    load_tile,
    load_turned,
    rotated,
    store_tile,
    store_turned_back,
)

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HEAD_SIZES = (16, 32, 64, 96, 128)  # 64 is BERT's; 16 and 32 are for demo models

_HAS_VARLEN = importlib.util.find_spec("torch.nn.attention.varlen") is not None
_HAS_FLASH_ATTN = importlib.util.find_spec("flash_attn") is not None


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
    window: int | None = None,
    rotary: Rotary | None = None,
) -> Tensor:
    """Attention within each of S packed sequences (Dao, 2024); no sequence sees another.

    Args:
        q: [T, H, D], and k, v alike; views of one [T, 3, H, D] tensor are read in place.
        k: [T, H, D].
        v: [T, H, D].
        cu_seqlens: int32 [S+1]; sequence s is tokens cu_seqlens[s] to cu_seqlens[s+1]. It starts
            with 0, never falls and ends with T at most: tokens from there on belong to no sequence,
            and their rows are 0 in the result and in the gradients. Checked on a CPU alone: reading
            it back would stall a GPU.
        max_seqlen: at least the longest length; tokens beyond it would get no result.
        scale: multiplies the scores; 1/sqrt(D) if not given.
        dropout: probability of dropping an attention weight; the others are scaled up.
        seed: int64 [1], the seed of the dropout mask; required when dropout > 0.
        window: query i sees key j only if |i - j| <= window; every key if not given.
        rotary: cosines and sines [P, D/2] of the angles by which queries and keys are turned, P at
            least max_seqlen; constants, which get no gradient.

    Returns:
        [T, H, D] in the dtype of q; under autocast in autocast's.

    Raises:
        ValueError: a shape, dtype or device does not fit, dropout is outside [0, 1) or has no seed,
            or an implementation was asked for that cannot compute this.
    """
    run = _chosen(q, cu_seqlens, max_seqlen, dropout, window, rotary)
    return run(
        *(q, k, v, cu_seqlens, max_seqlen),
        scale=scale,
        dropout=dropout,
        seed=seed,
        window=window,
        rotary=rotary,
    )


def attention_packed(qkv: Tensor, cu_seqlens: Tensor, max_seqlen: int, **options: Any) -> Tensor:  # noqa: ANN401
    """`attention`, options and all, of q, k and v in one [T, 3, H, D], as a linear layer has them.

    The kernels write its gradient in one piece. Autograd stacks that of three views: one more pass
    over 3 T H D numbers, where the backward of short sequences moves 7 T H D in all.
    """
    if qkv.dim() != 4 or qkv.shape[1] != 3:
        raise ValueError(f"attention: qkv must be [T, 3, H, D], got {list(qkv.shape)}")
    facts = (options.get("dropout", 0.0), options.get("window"), options.get("rotary"))
    q, k, v = qkv.unbind(1)
    run = _chosen(q, cu_seqlens, max_seqlen, *facts)
    if run is not attention_triton:
        return run(q, k, v, cu_seqlens, max_seqlen, **options)
    return _triton(_problem(q, k, v, cu_seqlens, max_seqlen, **options), qkv)


def _chosen(
    q: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout: float,
    window: int | None,
    rotary: Rotary | None,
) -> Callable[..., Tensor]:
    call = Call(
        op="attention",
        device=q.device,
        dtype=autocast_dtype(q),
        size=q.shape[-1],
        length=max_seqlen,
        dropout=dropout,
        ragged=q.shape[0] != (cu_seqlens.numel() - 1) * max_seqlen,
        window=window is not None,
        rotary=rotary is not None,
    )
    return choose(call)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What `attention` was called with, checked, and cast as autocast asks."""

    q: Tensor
    k: Tensor
    v: Tensor
    cu_seqlens: Tensor
    max_seqlen: int
    scale: float | None = None
    dropout: float = 0.0
    seed: Tensor | None = None
    window: int | None = None
    rotary: Rotary | None = None


def _problem(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    **options: Any,  # noqa: ANN401
) -> Problem:
    q, k, v = (t.to(autocast_dtype(t)) for t in (q, k, v))
    problem = Problem(q=q, k=k, v=v, cu_seqlens=cu_seqlens, max_seqlen=max_seqlen, **options)
    _check(problem)
    return problem


def _check(problem: Problem) -> None:
    q, bounds, longest = problem.q, problem.cu_seqlens, problem.max_seqlen
    if q.dim() != 3 or not q.is_floating_point():
        raise ValueError(
            f"attention: q must be floating point [T, H, D], got {q.dtype} {list(q.shape)}"
        )
    for name, tensor in (("k", problem.k), ("v", problem.v)):
        if (tensor.shape, tensor.dtype, tensor.device) != (q.shape, q.dtype, q.device):
            raise ValueError(
                f"attention: {name} is {tensor.dtype} {list(tensor.shape)} on {tensor.device}, "
                f"q is {q.dtype} {list(q.shape)} on {q.device}"
            )
    if bounds.dtype != torch.int32 or bounds.dim() != 1 or bounds.numel() == 0:
        raise ValueError(
            f"attention: cu_seqlens must be int32 [S+1], got {bounds.dtype} {list(bounds.shape)}"
        )
    for name, tensor in (("cu_seqlens", bounds), *(("rotary", t) for t in problem.rotary or ())):
        if tensor.device != q.device:
            raise ValueError(f"attention: {name} is on {tensor.device}, q is on {q.device}")
    for name, number in (("max_seqlen", longest), ("window", problem.window)):
        if number is not None and number < 0:
            raise ValueError(f"attention: {name} must not be negative, got {number}")
    for table in problem.rotary or ():
        fits = table.dim() == 2 and table.shape[0] >= longest and 2 * table.shape[1] == q.shape[2]
        if not fits or not table.is_floating_point():
            raise ValueError(
                f"attention: rotary must be two floating point [{longest} or more, "
                f"{q.shape[2] // 2}], got {table.dtype} {list(table.shape)}"
            )
    check_dropout("attention", problem.dropout, problem.seed, q.device)


def _check_bounds(bounds: Sequence[int], tokens: int, max_seqlen: int) -> None:
    if bounds[0] != 0 or bounds[-1] > tokens:
        raise ValueError(
            f"attention: cu_seqlens runs from {bounds[0]} to {bounds[-1]}, "
            f"must be from 0 to {tokens} at most"
        )
    for number, (start, end) in enumerate(pairwise(bounds)):
        if not 0 <= end - start <= max_seqlen:
            raise ValueError(
                f"attention: sequence {number} has length {end - start}, must be 0 to {max_seqlen}"
            )


def _implementation(compute: Callable[[Problem], Tensor]) -> Callable[..., Tensor]:
    """One way to compute a problem, as a function with the arguments of `attention`."""

    def run(*tensors: Any, **options: Any) -> Tensor:  # noqa: ANN401
        problem = _problem(*tensors, **options)
        with torch.autocast(problem.q.device.type, enabled=False):  # it has been obeyed
            return compute(problem)

    run.__name__, run.__doc__ = compute.__name__, compute.__doc__
    return run


# PyTorch


@_implementation
def attention_reference(problem: Problem) -> Tensor:
    """`attention` in plain PyTorch, with the same dropout mask.

    Sequences are padded to the next multiple of 32 and those of one padded length computed
    together. What is computed for a sequence thus depends on its own length alone: no change of
    another one moves it by a bit, as padding all to the longest would allow. For 32 sequences of
    100-128 tokens (H=4, D=64), forward and backward take 0.6 times as long as with one call per
    sequence.

    Raises:
        ValueError: as `attention`, or the sequences do not fit the tokens.
    """
    q, v, dropout, seed = problem.q, problem.v, problem.dropout, problem.seed
    bounds = problem.cu_seqlens.tolist()
    _check_bounds(bounds, q.shape[0], problem.max_seqlen)
    q, k = rotated(q, problem.k, problem.cu_seqlens, problem.rotary)
    # Where no token is in a sequence: all 0, and still differentiable.
    outputs, rows = [q[:0] + k[:0] + v[:0]], [torch.arange(0, device=q.device)]
    for length, numbers in _by_padded_length(bounds).items():
        first = torch.tensor([bounds[s] for s in numbers], device=q.device)
        size = torch.tensor([bounds[s + 1] - bounds[s] for s in numbers], device=q.device)
        position = torch.arange(length, device=q.device)
        real = position < size[:, None]  # [S, L], false where there is padding
        source = (first[:, None] + position)[real]
        target = real.flatten().nonzero()[:, 0]
        full, alone = target.numel() == real.numel(), source.numel() == q.shape[0]
        q_g, k_g, v_g = (
            _pad(t if alone else t.index_select(0, source), target, real.shape) for t in (q, k, v)
        )
        keep = None
        if seed is not None and dropout > 0.0:
            sequences = torch.tensor(numbers, device=q.device)
            keep = keep_scores(seed, sequences, q.shape[1], length, dropout)
        o = _attend(problem, q_g, k_g, v_g, None if full else size, keep)
        o = o.transpose(1, 2).flatten(0, 1)
        o = o if full else o.index_select(0, target)
        if alone:
            return o
        outputs.append(o)
        rows.append(source)
    zeros = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    return zeros.index_copy(0, torch.cat(rows), torch.cat(outputs))


def _by_padded_length(bounds: Sequence[int]) -> dict[int, list[int]]:
    """The sequences that are not empty, by their length rounded up to a multiple of 32."""
    groups: dict[int, list[int]] = {}
    for number, (start, end) in enumerate(pairwise(bounds)):
        if end > start:
            groups.setdefault(-(-(end - start) // 32) * 32, []).append(number)
    return groups


def _pad(tensor: Tensor, target: Tensor, shape: torch.Size) -> Tensor:
    """[T, H, D] to [S, H, L, D], token t at place target[t] of S * L and zeros elsewhere."""
    if target.numel() < shape.numel():
        zeros = tensor.new_zeros(shape.numel(), *tensor.shape[1:])
        tensor = zeros.index_copy(0, target, tensor)
    return tensor.reshape(*shape, *tensor.shape[1:]).transpose(1, 2)


def _attend(
    problem: Problem, q: Tensor, k: Tensor, v: Tensor, size: Tensor | None, keep: Tensor | None
) -> Tensor:
    """Attention of [S, H, L, D], of which the first size[s] tokens of a sequence are real, or all.

    With a window it goes by blocks of queries, each with the keys that one of them sees.
    """
    length, window, scale = q.shape[2], problem.window, problem.scale
    position = torch.arange(length, device=q.device)
    reach, step = (length, length) if window is None else (window, max(512, 4 * window))
    blocks = []
    for first in range(0, length, step):
        rows = slice(first, first + step)
        columns = slice(max(0, first - reach), first + step + reach)
        query, key = position[rows, None], position[columns]
        # A mask of [S, 1, 1, L], or of [S, 1, L, L], leaves PyTorch on its flash kernel, for a CPU
        # and in backward too.
        seen = None if size is None else key < size[:, None, None, None]
        if window is not None:
            near = (query - key).abs() <= window
            # Padding sees itself: a row that sees nothing would be NaN, and so would gradients.
            seen = near if seen is None else near & seen | (query == key)
        block = q[:, :, rows], k[:, :, columns], v[:, :, columns]
        if keep is None:
            o = scaled_dot_product_attention(*block, attn_mask=seen, scale=scale)
        else:
            kept = keep[:, :, rows, columns]
            o = _explicit(*block, seen, scale, kept, keep_scale(problem.dropout))
        blocks.append(o)
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 2)


def _explicit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    seen: Tensor | None,
    scale: float | None,
    keep: Tensor,
    keep_scale: float,
) -> Tensor:
    """Attention of [S, H, L, D] with its weights written out, in fp32 or better."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = (q.to(dtype) * scale) @ k.to(dtype).transpose(2, 3)
    if seen is not None:
        # Added, and multiplied below: with 8 sequences of 128 tokens and 12 heads, forward and
        # backward, a CPU takes 0.2 of the time of `masked_fill`, and 0.4 of that of `where`.
        scores = scores + torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, -math.inf)
    weights = scores.softmax(-1) * keep.to(dtype)
    return (weights @ (v.to(dtype) * keep_scale)).to(q.dtype)


# Triton kernels
#
# A pointer or number that is None switches off what it is for: seed_ptr dropout, window the window,
# cos_ptr and sin_ptr the turning. q, k and v have strides in common; o, do and the gradients of all
# three, [T, 3, H, D], lie packed.
#
# Every dot says "ieee": fp32 would otherwise be rounded to TF32, with errors near 1e-3. It changes
# nothing for fp16 and bf16.

_LOG2_E = tl.constexpr(math.log2(math.e))
_GROUP = tl.constexpr(KEYS_PER_GROUP)


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


@jit()
def _zero_tail(
    ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    tiles: Scalar,
    tokens: Scalar,
    stride: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Write 0 for our share of the tokens after the last sequence; a full batch has none."""
    ROWS: tl.constexpr = 16
    programs = tl.num_programs(0)
    end = tl.load(cu_seqlens_ptr + programs // tiles)
    for first in range(end + tl.program_id(0) * ROWS, tokens, programs * ROWS):
        zero = tl.zeros((ROWS, BLOCK_D), tl.float32)
        store_tile(ptr, zero, first + tl.arange(0, ROWS), tokens, stride, D, BLOCK_D)


@jit()
def _zero_gradients_tail(
    dqkv_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    tiles: Scalar,
    tokens: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    head, heads = tl.program_id(1), tl.num_programs(1)
    for which in tl.static_range(3):
        ptr = dqkv_ptr + (which * heads + head) * D
        _zero_tail(ptr, cu_seqlens_ptr, tiles, tokens, 3 * heads * D, D, BLOCK_D)


@jit()
def _within_reach(first: Scalar, size: tl.constexpr, length: Scalar, window: Scalar) -> Tile:
    """From where to where the window of a tile of `size` reaches; the start is a multiple of 32."""
    if window is None:
        return 0, length
    else:
        start = tl.maximum(first - window, 0) // _GROUP * _GROUP
        return start, tl.minimum(first + size + window, length)


@jit()
def _scores(
    q: Tile, k: Tile, query: Tile, key: Tile, length: Scalar, window: Scalar, scale: Scalar
) -> Tile:
    """[M, N] scores in base 2; -inf where a query does not see a key."""
    score = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * _LOG2_E)
    seen = (key < length)[None, :]
    if window is not None:
        seen = seen & (tl.abs(query[:, None] - key[None, :]) <= window)
    return tl.where(seen, score, float("-inf"))


@jit("tokens", "tiles", "window", "threshold")
def _attention_fwd_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    o_ptr: Pointer,
    lse_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    cos_ptr: Pointer,
    sin_ptr: Pointer,
    tokens: Scalar,
    tiles: Scalar,
    window: Scalar,
    stride_t: Scalar,
    stride_h: Scalar,
    scale: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(q_ptr.dtype.element_ty)
    sequence, start, length, tile = _sequence(cu_seqlens_ptr, tiles)
    head = tl.program_id(1).to(tl.int64)
    stride_o = tl.num_programs(1) * D
    o_ptr += head * D
    lse_ptr += head * tokens
    _zero_tail(o_ptr, cu_seqlens_ptr, tiles, tokens, stride_o, D, BLOCK_D)
    _zero_tail(lse_ptr, cu_seqlens_ptr, tiles, tokens, 1, 1, 1)
    if tile * BLOCK_M >= length:  # beyond the end of a shorter sequence
        return
    here = offset(start, stride_t) + head * stride_h
    k_ptr += here
    v_ptr += here

    query = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    q = load_turned(q_ptr + here, cos_ptr, sin_ptr, query, length, stride_t, D, BLOCK_D)
    # Running maximum of the scores: finite, as a query may see no key of a tile, and -inf - -inf is
    # NaN.
    top = tl.full((BLOCK_M,), -1e38, ACC)
    total = tl.zeros((BLOCK_M,), ACC)  # running sum of exp2(score - top)
    o = tl.zeros((BLOCK_M, BLOCK_D), ACC)

    begin, end = _within_reach(tile * BLOCK_M, BLOCK_M, length, window)
    for first in range(begin, end, BLOCK_N):
        key = first + tl.arange(0, BLOCK_N)
        k = load_turned(k_ptr, cos_ptr, sin_ptr, key, length, stride_t, D, BLOCK_D)
        score = _scores(q, k, query, key, length, window, scale)
        new_top = tl.maximum(top, tl.max(score, 1))
        p = tl.exp2(score - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        # Before dropout, which acts on the normalised weights.
        total = total * shrink + tl.sum(p, 1)
        if seed_ptr is not None:
            seed = tl.load(seed_ptr)
            keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
            p = tl.where(keep, p, 0.0)
        v = load_tile(v_ptr, key, length, stride_t, D, BLOCK_D)
        if cos_ptr is not None:
            v = by_registers(v, key, length)  # else each wgmma waits for the last (C7515 of ptxas)
        o = tl.dot(p.to(v.dtype), v, o * shrink[:, None], input_precision="ieee", out_dtype=ACC)
        top = new_top

    total = tl.where(total > 0, total, 1.0)  # a query beyond the end may have seen no key
    o *= (keep_scale / total)[:, None]
    store_tile(o_ptr + offset(start, stride_o), o, query, length, stride_o, D, BLOCK_D)
    tl.store(lse_ptr + start + query, top + tl.log2(total), mask=query < length)


@jit("tokens", "tiles", "window", "threshold")
def _attention_bwd_q_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    o_ptr: Pointer,
    do_ptr: Pointer,
    lse_ptr: Pointer,
    delta_ptr: Pointer,
    dqkv_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    cos_ptr: Pointer,
    sin_ptr: Pointer,
    tokens: Scalar,
    tiles: Scalar,
    window: Scalar,
    stride_t: Scalar,
    stride_h: Scalar,
    scale: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Make dQ of a tile of queries, and delta = rowsum(dO * O), which the other kernel reads."""
    ACC: tl.constexpr = accumulator(q_ptr.dtype.element_ty)
    sequence, start, length, tile = _sequence(cu_seqlens_ptr, tiles)
    if tile * BLOCK_M >= length:
        return
    head = tl.program_id(1).to(tl.int64)
    stride_o = tl.num_programs(1) * D
    here = offset(start, stride_t) + head * stride_h
    there = offset(start, stride_o) + head * D
    k_ptr += here
    v_ptr += here

    query = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    do = load_tile(do_ptr + there, query, length, stride_o, D, BLOCK_D)
    o = load_tile(o_ptr + there, query, length, stride_o, D, BLOCK_D)
    delta = tl.sum(do.to(ACC) * o.to(ACC), 1)
    row = head * tokens + start + query
    tl.store(delta_ptr + row, delta, mask=query < length)
    q = load_turned(q_ptr + here, cos_ptr, sin_ptr, query, length, stride_t, D, BLOCK_D)
    # An LSE of inf makes every weight of a query beyond the end 0.
    lse = tl.load(lse_ptr + row, mask=query < length, other=float("inf"))
    dq = tl.zeros((BLOCK_M, BLOCK_D), ACC)

    begin, end = _within_reach(tile * BLOCK_M, BLOCK_M, length, window)
    for first in range(begin, end, BLOCK_N):
        key = first + tl.arange(0, BLOCK_N)
        k = load_turned(k_ptr, cos_ptr, sin_ptr, key, length, stride_t, D, BLOCK_D)
        v = load_tile(v_ptr, key, length, stride_t, D, BLOCK_D)
        score = _scores(q, k, query, key, length, window, scale)
        p = tl.exp2(score - lse[:, None])
        dp = tl.dot(do, tl.trans(v), input_precision="ieee")
        if seed_ptr is not None:
            seed = tl.load(seed_ptr)
            keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
            dp = tl.where(keep, dp * keep_scale, 0.0)
        ds = p * (dp - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee", out_dtype=ACC)

    dqkv_ptr += 3 * there - 2 * head * D
    stride_d = 3 * stride_o
    store_turned_back(dqkv_ptr, dq * scale, cos_ptr, sin_ptr, query, length, stride_d, D, BLOCK_D)


@jit("tokens", "tiles", "window", "threshold")
def _attention_bwd_kv_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    do_ptr: Pointer,
    lse_ptr: Pointer,
    delta_ptr: Pointer,
    dqkv_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    cos_ptr: Pointer,
    sin_ptr: Pointer,
    tokens: Scalar,
    tiles: Scalar,
    window: Scalar,
    stride_t: Scalar,
    stride_h: Scalar,
    scale: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Make dK and dV of a tile of keys, from all queries that see one of them."""
    ACC: tl.constexpr = accumulator(q_ptr.dtype.element_ty)
    sequence, start, length, tile = _sequence(cu_seqlens_ptr, tiles)
    _zero_gradients_tail(dqkv_ptr, cu_seqlens_ptr, tiles, tokens, D, BLOCK_D)
    if tile * BLOCK_N >= length:
        return
    head = tl.program_id(1).to(tl.int64)
    stride_o = tl.num_programs(1) * D
    here = offset(start, stride_t) + head * stride_h
    q_ptr += here
    do_ptr += offset(start, stride_o) + head * D
    lse_ptr += head * tokens + start
    delta_ptr += head * tokens + start

    first = tile * BLOCK_N
    key = first + tl.arange(0, BLOCK_N)
    k = load_turned(k_ptr + here, cos_ptr, sin_ptr, key, length, stride_t, D, BLOCK_D)
    v = load_tile(v_ptr + here, key, length, stride_t, D, BLOCK_D)
    dk = tl.zeros((BLOCK_N, BLOCK_D), ACC)
    dv = tl.zeros((BLOCK_N, BLOCK_D), ACC)

    begin, end = _within_reach(first, BLOCK_N, length, window)
    for first_query in range(begin, end, BLOCK_M):
        query = first_query + tl.arange(0, BLOCK_M)
        q = load_turned(q_ptr, cos_ptr, sin_ptr, query, length, stride_t, D, BLOCK_D)
        # Scores lie as [M, N], not transposed as in most FlashAttention kernels: only so does a
        # thread hold the keys of its own Philox blocks. Transposing the mask costs 20 % more. They
        # are masked here too: a key beyond the end, of score 0, overflows to inf where LSE < -128.
        score = _scores(q, k, query, key, length, window, scale)
        lse = tl.load(lse_ptr + query, mask=query < length, other=float("inf"))
        p = tl.exp2(score - lse[:, None])
        dropped = p
        if seed_ptr is not None:
            seed = tl.load(seed_ptr)
            keep = keep_scores_tile(seed, query, first, head, sequence, threshold, BLOCK_M, BLOCK_N)
            p = tl.where(keep, p, -p)  # the sign keeps the mask, which else takes registers
            dropped = tl.maximum(p, 0.0)
        # dO is loaded and dV made before dP: the other way round 52 bytes spill on sm_80.
        do = load_tile(do_ptr, query, length, stride_o, D, BLOCK_D)
        delta = tl.load(delta_ptr + query, mask=query < length, other=0.0)
        dropped = tl.trans(dropped.to(do.dtype))
        dv = tl.dot(dropped, do, dv, input_precision="ieee", out_dtype=ACC)
        dp = tl.dot(do, tl.trans(v), input_precision="ieee")
        if seed_ptr is not None:
            dp = tl.where(p > 0, dp * keep_scale, 0.0)
            p = tl.abs(p)
        ds = p * (dp - delta[:, None])
        dk = tl.dot(tl.trans(ds.to(q.dtype)), q, dk, input_precision="ieee", out_dtype=ACC)

    stride_d = 3 * stride_o
    dk_ptr = dqkv_ptr + offset(start, stride_d) + stride_o + head * D
    dv_ptr = dk_ptr + stride_o
    # dV is stored first and LSE loaded after the scores: else up to 72 bytes spill where both turn.
    store_tile(dv_ptr, dv * keep_scale, key, length, stride_d, D, BLOCK_D)
    store_turned_back(dk_ptr, dk * scale, cos_ptr, sin_ptr, key, length, stride_d, D, BLOCK_D)


@jit("tokens", "window", "threshold")
def _attention_bwd_once_kernel(
    q_ptr: Pointer,
    k_ptr: Pointer,
    v_ptr: Pointer,
    do_ptr: Pointer,
    lse_ptr: Pointer,
    dqkv_ptr: Pointer,
    cu_seqlens_ptr: Pointer,
    seed_ptr: Pointer,
    cos_ptr: Pointer,
    sin_ptr: Pointer,
    tokens: Scalar,
    window: Scalar,
    stride_t: Scalar,
    stride_h: Scalar,
    scale: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    D: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """Make dQ, dK and dV of one head of one sequence that fits a single tile.

    All weights of a query are at hand: delta is rowsum(P * dP), and O need not be read.
    """
    sequence, start, length, _ = _sequence(cu_seqlens_ptr, 1)
    _zero_gradients_tail(dqkv_ptr, cu_seqlens_ptr, 1, tokens, D, BLOCK_D)
    if length == 0:
        return
    head = tl.program_id(1).to(tl.int64)
    stride_o = tl.num_programs(1) * D
    here = offset(start, stride_t) + head * stride_h

    token = tl.arange(0, BLOCK_L)
    q = load_turned(q_ptr + here, cos_ptr, sin_ptr, token, length, stride_t, D, BLOCK_D)
    k = load_turned(k_ptr + here, cos_ptr, sin_ptr, token, length, stride_t, D, BLOCK_D)
    row = head * tokens + start + token
    lse = tl.load(lse_ptr + row, mask=token < length, other=float("inf"))
    score = _scores(q, k, token, token, length, window, scale)
    p = tl.exp2(score - lse[:, None])
    dropped = p
    if seed_ptr is not None:
        seed = tl.load(seed_ptr)
        keep = keep_scores_tile(seed, token, 0, head, sequence, threshold, BLOCK_L, BLOCK_L)
        p = tl.where(keep, p, -p)  # the sign keeps the mask: 60 registers fewer on sm_90
        dropped = tl.maximum(p, 0.0)

    stride_d = 3 * stride_o
    dq_ptr = dqkv_ptr + offset(start, stride_d) + head * D
    dk_ptr, dv_ptr = dq_ptr + stride_o, dq_ptr + 2 * stride_o
    do_ptr += offset(start, stride_o) + head * D
    do = load_tile(do_ptr, token, length, stride_o, D, BLOCK_D)
    dv = tl.dot(tl.trans(dropped.to(do.dtype)), do, input_precision="ieee")
    store_tile(dv_ptr, dv * keep_scale, token, length, stride_d, D, BLOCK_D)
    v = load_tile(v_ptr + here, token, length, stride_t, D, BLOCK_D)
    dp = tl.dot(do, tl.trans(v), input_precision="ieee")
    if seed_ptr is not None:
        dp = tl.where(p > 0, dp * keep_scale, 0.0)
        p = tl.abs(p)
    ds = (p * (dp - tl.sum(p * dp, 1)[:, None])).to(q.dtype)
    dq = tl.dot(ds, k, input_precision="ieee") * scale
    store_turned_back(dq_ptr, dq, cos_ptr, sin_ptr, token, length, stride_d, D, BLOCK_D)
    dk = tl.dot(tl.trans(ds), q, input_precision="ieee") * scale
    store_turned_back(dk_ptr, dk, cos_ptr, sin_ptr, token, length, stride_d, D, BLOCK_D)


# Launcher


def _alike(*tensors: Tensor) -> tuple[Tensor, ...]:
    """With adjacent columns and common strides, as the views of one tensor; else copied."""
    strides = tensors[0].stride()
    if strides[2] == 1 and all(t.stride() == strides for t in tensors):
        return tensors
    return tuple(t.contiguous() for t in tensors)


def _once(head_size: int, dtype: torch.dtype, device: torch.device, longest: int) -> str | None:
    """The kernel that makes all gradients at once; None where no tile for it fits the registers."""
    length = next((n for n in (32, 64, 128) if longest <= n), None)
    name = f"attention.backward_once_{length}"
    bits = 16 if dtype.itemsize == 2 else 32
    arch = launches._pretended or launches.architecture(device)
    return name if _has_row(name, head_size, bits, arch) else None


@functools.cache
def _has_row(kernel: str, size: int, bits: int, arch: str) -> bool:
    wanted = {(kernel, size, bits, arch), (kernel, size, bits, "any")}
    return any((r.kernel, r.size, r.bits, r.arch) in wanted for r in launches.rows())


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    seed: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    max_seqlen: int,
    window: int | None,
    scale: float,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    (tokens, heads, head_size), sequences = q.shape, cu_seqlens.numel() - 1
    if q.device.type == "cpu":
        _check_bounds(cu_seqlens.tolist(), tokens, max_seqlen)
    o, lse = _forward_results(q)
    tile = launch("attention.forward", size=head_size, dtype=q.dtype, device=q.device)
    tiles = -(-max_seqlen // tile.blocks["BLOCK_M"])
    if q.numel() == 0 or tiles * sequences == 0:
        return o.zero_(), lse.zero_()
    q, k, v = _alike(q, k, v)
    with on_device_of(q):
        _attention_fwd_kernel[(tiles * sequences, heads)](
            *(q, k, v, o, lse, *_contiguous(cu_seqlens, seed if dropout > 0.0 else None, cos, sin)),
            *(tokens, tiles, None if window is None else min(window, max_seqlen)),
            *(q.stride(0), q.stride(1), scale, lane_threshold(dropout), keep_scale(dropout)),
            D=head_size,
            **tile.options,
        )
    return o, lse


def _forward_results(q: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    dtype = torch.promote_types(q.dtype, torch.float32)
    return o, torch.empty((q.shape[1], q.shape[0]), dtype=dtype, device=q.device)


def _contiguous(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    return tuple(None if t is None else t.contiguous() for t in tensors)


attention_fwd = register(
    "attention_fwd(Tensor q, Tensor k, Tensor v, Tensor cu_seqlens, Tensor? seed, Tensor? cos, "
    "Tensor? sin, SymInt max_seqlen, SymInt? window, float scale, float dropout) "
    "-> (Tensor o, Tensor lse)",
    _forward,
    _forward_results,
)


def _backward(
    do: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens: Tensor,
    seed: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    o: Tensor,
    lse: Tensor,
    max_seqlen: int,
    window: int | None,
    scale: float,
    dropout: float,
) -> Tensor:
    (tokens, heads, head_size), sequences = q.shape, cu_seqlens.numel() - 1
    dqkv = _backward_result(do, q)
    if q.numel() == 0 or sequences * max_seqlen == 0:
        return dqkv.zero_()
    q, k, v = _alike(q, k, v)
    do = do.contiguous()  # the gradient of a sum comes with every stride 0
    tables = (*_contiguous(cu_seqlens, seed if dropout > 0.0 else None, cos, sin), tokens)
    numbers = (
        *(None if window is None else min(window, max_seqlen), q.stride(0), q.stride(1)),
        *(scale, lane_threshold(dropout), keep_scale(dropout)),
    )
    facts: dict[str, Any] = {"size": head_size, "dtype": q.dtype, "device": q.device}
    once = _once(head_size, q.dtype, q.device, max_seqlen)
    with on_device_of(q):
        if once is not None:
            _attention_bwd_once_kernel[(sequences, heads)](
                *(q, k, v, do, lse, dqkv, *tables, *numbers),
                D=head_size,
                **launch(once, **facts).options,
            )
            return dqkv
        delta = torch.empty_like(lse)
        tile = launch("attention.backward_q", **facts)
        tiles = -(-max_seqlen // tile.blocks["BLOCK_M"])
        _attention_bwd_q_kernel[(tiles * sequences, heads)](
            *(q, k, v, o, do, lse, delta, dqkv, *tables, tiles, *numbers),
            D=head_size,
            **tile.options,
        )
        tile = launch("attention.backward_kv", **facts)
        tiles = -(-max_seqlen // tile.blocks["BLOCK_N"])
        _attention_bwd_kv_kernel[(tiles * sequences, heads)](
            *(q, k, v, do, lse, delta, dqkv, *tables, tiles, *numbers),
            D=head_size,
            **tile.options,
        )
    return dqkv


def _backward_result(do: Tensor, q: Tensor, *rest: object) -> Tensor:
    return torch.empty((q.shape[0], 3, *q.shape[1:]), dtype=q.dtype, device=q.device)


attention_bwd = register(
    "attention_bwd(Tensor do, Tensor q, Tensor k, Tensor v, Tensor cu_seqlens, Tensor? seed, "
    "Tensor? cos, Tensor? sin, Tensor o, Tensor lse, SymInt max_seqlen, SymInt? window, "
    "float scale, float dropout) -> Tensor dqkv",
    _backward,
    _backward_result,
)


class _Attention(torch.autograd.Function):
    """Of q, k and v; or of a [T, 3, H, D] that is all three, where k and v are None."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor | None, v: Tensor | None, *rest: Any) -> Tensor:  # noqa: ANN401
        ctx.packed = k is None
        inputs = (*(q.unbind(1) if ctx.packed else (q, k, v)), *rest[:4])
        ctx.numbers = rest[4:]
        o, lse = attention_fwd(*inputs, *ctx.numbers)
        ctx.save_for_backward(*inputs, o, lse)
        return o  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        dqkv = attention_bwd(do, *ctx.saved_tensors, *ctx.numbers)
        gradients = (dqkv, None, None) if ctx.packed else dqkv.unbind(1)
        return *gradients, *(None,) * 8


@_implementation
def attention_triton(problem: Problem) -> Tensor:
    """`attention` by the Triton kernels, for fp32, fp16 and bf16 and the sizes in HEAD_SIZES."""
    return _triton(problem, None)


def _triton(problem: Problem, packed: Tensor | None) -> Tensor:
    q, head_size = problem.q, problem.q.shape[2]
    if head_size not in HEAD_SIZES:
        raise ValueError(f"attention: head size {head_size} is not one of {HEAD_SIZES}")
    qkv = (q, problem.k, problem.v) if packed is None else (packed.to(q.dtype), None, None)
    o: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        *(*qkv, problem.cu_seqlens, problem.seed, *(problem.rotary or (None, None))),
        *(problem.max_seqlen, problem.window),
        *(head_size**-0.5 if problem.scale is None else problem.scale, problem.dropout),
    )
    return o


# Of others: where they are faster, and to compare with


@_implementation
def attention_sdpa(problem: Problem) -> Tensor:
    """`attention` by PyTorch's own, where every sequence has `max_seqlen` tokens."""
    q, k = rotated(problem.q, problem.k, problem.cu_seqlens, problem.rotary)
    shape = (problem.cu_seqlens.numel() - 1, problem.max_seqlen, *q.shape[1:])
    q_d, k_d, v_d = (t.reshape(shape).transpose(1, 2) for t in (q, k, problem.v))
    o = scaled_dot_product_attention(q_d, k_d, v_d, scale=problem.scale)
    return o.transpose(1, 2).reshape(q.shape)


@_implementation
def attention_varlen(problem: Problem) -> Tensor:
    """`attention` by `torch.nn.attention.varlen`, the FlashAttention-2 within PyTorch."""
    from torch.nn.attention.varlen import varlen_attn

    return _flash(problem, varlen_attn, scale=problem.scale)


@_implementation
def attention_flash(problem: Problem) -> Tensor:
    """`attention` by the package flash-attn."""
    from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

    deterministic = torch.are_deterministic_algorithms_enabled()
    options = {"softmax_scale": problem.scale, "deterministic": deterministic}
    return _flash(problem, flash_attn_varlen_func, **options)


def _flash(problem: Problem, op: Callable[..., Any], **options: Any) -> Tensor:  # noqa: ANN401
    """By FlashAttention, which leaves rows of no sequence as they were allocated.

    Where the shapes allow for such rows, all inputs and the result are masked, and so are their
    gradients. Where the batch ends stands on the GPU, and to ask for it would stall. It costs one
    pass over each.
    """
    bounds, longest = problem.cu_seqlens, problem.max_seqlen
    q, k = rotated(problem.q, problem.k, bounds, problem.rotary)
    tensors: tuple[Tensor, ...] = (q, k, problem.v)
    ragged = q.shape[0] != (bounds.numel() - 1) * longest
    inside = (torch.arange(q.shape[0], device=q.device) < bounds[-1])[:, None, None]
    if ragged:
        tensors = tuple(torch.where(inside, t, 0.0) for t in tensors)
    window = -1 if problem.window is None else problem.window
    o: Tensor = op(
        *(*tensors, bounds, bounds, longest, longest), window_size=(window, window), **options
    )
    return torch.where(inside, o, 0.0) if ragged else o


# What each of them cannot do


def _triton_rejects(call: Call) -> str | None:
    interpreted = call.dtype == torch.float64 and call.device.type == "cpu"
    if call.dtype not in TRITON_DTYPES and not interpreted:
        return f"the kernel takes fp32, fp16 and bf16, not {call.dtype}"
    if call.size not in HEAD_SIZES:
        return f"the kernel takes head sizes {HEAD_SIZES}, not {call.size}"
    return can_run_on(call.device)


def _sdpa_rejects(call: Call) -> str | None:
    if call.ragged:
        return "its sequences must all have the greatest length, and fill the batch"
    if call.window:
        return "it has no window but by a mask of all scores"
    if call.deterministic:
        return "which kernel it takes is PyTorch's choice, and some add up by atomics"
    return _mask_rejects(call)


def _varlen_rejects(call: Call) -> str | None:
    if not _HAS_VARLEN:
        return f"torch {torch.__version__} has no varlen attention"
    return _flash_rejects(call)


def _flash_attn_rejects(call: Call) -> str | None:
    if not _HAS_FLASH_ATTN:
        return "flash-attn is not installed"
    return _flash_rejects(call)


def _flash_rejects(call: Call) -> str | None:
    arch = launches.architecture(call.device)
    if not arch.startswith("sm_") or int(arch[3:]) < 80:
        return f"FlashAttention needs an NVIDIA GPU of sm_80 or later, this is {arch}"
    if call.dtype not in (torch.float16, torch.bfloat16):
        return f"FlashAttention takes fp16 and bf16, not {call.dtype}"
    if call.size % 8 != 0 or call.size > 256:
        return f"FlashAttention takes head sizes of 8, 16, ... 256, not {call.size}"
    return _mask_rejects(call)


def _mask_rejects(call: Call) -> str | None:
    return "its dropout mask is not the one of our seeds" if call.dropout > 0.0 else None


register_implementation("attention", "triton", attention_triton, rejects=_triton_rejects)
register_implementation("attention", "torch", attention_reference)
register_implementation("attention", "sdpa", attention_sdpa, rejects=_sdpa_rejects)
register_implementation("attention", "varlen", attention_varlen, rejects=_varlen_rejects)
register_implementation("attention", "flash_attn", attention_flash, rejects=_flash_attn_rejects)
