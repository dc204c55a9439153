"""The embeddings of BERT: those of word, position and segment, summed, normalised, dropped out.

    z = words[tokens] + position_table[positions] + segment_table[segments]
    y = dropout((z - mean(z)) / sqrt(var(z) + eps) * weight + bias)

(Devlin, Chang, Lee and Toutanova, "BERT: pre-training of deep bidirectional transformers for
language understanding", 2019; the norm is that of Ba, Kiros and Hinton, 2016.) Forward gathers and
writes y alone. Kept are the ids, the mean and 1/sqrt(var + eps) of each token and the mask's seed:
backward gathers again, which costs what reading a saved z would.

Backward makes dz, the gradient of the sum, and from it those of the tables: a row of a table gets
the sum of dz over the tokens that it served. Some rows serve many: [MASK] is 12 % of all tokens,
and of two segments each is half of them. Up to two segments are summed like weight and bias, one
partial sum for each program. For other tables the ids are sorted and dz is added up run by run, in
a fixed order. PyTorch's `embedding_dense_backward` would do, but its bits may differ from run to
run: since pytorch#172454 (2026) it sums tables of few rows, such as BERT's 512 positions, by
atomics unless `torch.use_deterministic_algorithms` is on.

Legend: T tokens, N width; V, L and S rows of the tables of words, positions and segments; P
programs of the backward pass, C chunks of the sorted ids.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ._registration import autocast_dtype, register
from ._triton import Pointer, Scalar, Tile, accumulator, can_run_on, jit, offset, on_device_of, tl
from .column_sums import column_sums, first_stage_programs
from .dispatch import Call, choose, register_inductor
from .dispatch import register as register_implementation
from .launches import launch, power_of_two
from .philox import check_dropout, keep_rows, keep_rows_tile, keep_scale, threshold

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ID_DTYPES = (torch.int32, torch.int64)
MAX_WIDTH = 8192  # a row stays in registers
# Segments that are summed like weight and bias: at most two, and in the widest rows none, or the
# registers spill.
MOST_SUMMED_SEGMENTS = 2
WIDEST_WITH_SEGMENTS = 4096
# Backward programs for each multiprocessor: with up to 251 registers in each of 128 threads two fit
# at once. At 32768 x 768 in bf16 with two segments their partial sums are 2.6 % of the traffic.
PROGRAMS_PER_PROCESSOR = 2
TABLE_TILE = 256  # columns


def embedding(
    tokens: Tensor,
    words: Tensor,
    *,
    positions: Tensor | None = None,
    position_table: Tensor | None = None,
    segments: Tensor | None = None,
    segment_table: Tensor | None = None,
    weight: Tensor,
    bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    padding_idx: int | None = None,
) -> Tensor:
    """Embeddings of tokens, positions and segments, normalised (Devlin et al., 2019).

    A token, position or segment that its table does not have is an IndexError in PyTorch on a CPU.
    The kernels read nothing outside a table: there the token's row is NaN.

    Args:
        tokens: int32 or int64 [T].
        words: [V, N].
        positions: like tokens; with position_table or not at all.
        position_table: [L, N] of words' dtype.
        segments: like tokens; with segment_table or not at all.
        segment_table: [S, N] of words' dtype.
        weight: [N] of the norm; may be fp32 where the tables are fp16 or bf16.
        bias: [N] of the norm, of weight's dtype.
        eps: added to the variance. BERT's 1e-12 is below what fp16 can hold; it is used in fp32.
        dropout: probability of zeroing an element of the result; the others are scaled up.
        seed: int64 [1], the seed of the dropout mask; required when dropout > 0.
        padding_idx: the row of `words` that gets no gradient.

    Returns:
        [T, N] in autocast's dtype inside its region, else in that of the tables.

    Raises:
        ValueError: a shape, dtype or device does not fit, dropout is outside [0, 1) or has no seed,
            or an implementation was asked for that cannot compute this.
    """
    call = Call(
        op="embedding",
        device=words.device,
        dtype=autocast_dtype(words),
        size=words.shape[-1] if words.dim() > 0 else 0,
        dropout=dropout,
    )
    y: Tensor = choose(call)(
        tokens,
        words,
        positions=positions,
        position_table=position_table,
        segments=segments,
        segment_table=segment_table,
        weight=weight,
        bias=bias,
        eps=eps,
        dropout=dropout,
        seed=seed,
        padding_idx=padding_idx,
    )
    return y


def _check(
    tokens: Tensor,
    words: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    segments: Tensor | None,
    segment_table: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    dropout: float,
    seed: Tensor | None,
    padding_idx: int | None,
) -> None:
    if words.dim() != 2 or not words.is_floating_point():
        raise ValueError(
            f"embedding: words must be floating point [V, N], got {words.dtype} {list(words.shape)}"
        )
    if tokens.dim() != 1 or tokens.dtype not in ID_DTYPES:
        raise ValueError(
            f"embedding: tokens must be int32 or int64 [T], got {tokens.dtype} {list(tokens.shape)}"
        )
    width = words.shape[1]
    for name, ids, table_name, table in (
        ("positions", positions, "position_table", position_table),
        ("segments", segments, "segment_table", segment_table),
    ):
        if (ids is None) != (table is None):
            raise ValueError(f"embedding: {name} and {table_name} must come together")
        if ids is None or table is None:
            continue
        if ids.shape != tokens.shape or ids.dtype not in ID_DTYPES:
            raise ValueError(
                f"embedding: {name} must be int32 or int64 {list(tokens.shape)}, "
                f"got {ids.dtype} {list(ids.shape)}"
            )
        if table.dim() != 2 or table.shape[1] != width or table.dtype != words.dtype:
            raise ValueError(
                f"embedding: {table_name} must be {words.dtype} [rows, {width}], "
                f"got {table.dtype} {list(table.shape)}"
            )
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and (vector.shape != (width,) or vector.dtype != weight.dtype):
            raise ValueError(
                f"embedding: {name} must be {weight.dtype} [{width}], "
                f"got {vector.dtype} {list(vector.shape)}"
            )
    if not weight.is_floating_point():
        raise ValueError(f"embedding: weight must be floating point, got {weight.dtype}")
    for name, tensor in (
        ("tokens", tokens),
        ("positions", positions),
        ("position_table", position_table),
        ("segments", segments),
        ("segment_table", segment_table),
        ("weight", weight),
        ("bias", bias),
    ):
        if tensor is not None and tensor.device != words.device:
            raise ValueError(f"embedding: {name} is on {tensor.device}, words on {words.device}")
    if padding_idx is not None and not 0 <= padding_idx < words.shape[0]:
        raise ValueError(f"embedding: padding_idx {padding_idx} is no row of {words.shape[0]}")
    check_dropout("embedding", dropout, seed, words.device)


# PyTorch


def embedding_reference(
    tokens: Tensor,
    words: Tensor,
    *,
    positions: Tensor | None = None,
    position_table: Tensor | None = None,
    segments: Tensor | None = None,
    segment_table: Tensor | None = None,
    weight: Tensor,
    bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    padding_idx: int | None = None,
) -> Tensor:
    """`embedding` in plain PyTorch with the same dropout mask, summed and normed in fp32 or better.

    Raises:
        ValueError: as `embedding`.
        IndexError: a table does not have a row.
    """
    _check(
        *(tokens, words, positions, position_table, segments, segment_table, weight, bias),
        *(dropout, seed, padding_idx),
    )
    dtype = torch.promote_types(_sum_dtype(words), weight.dtype)
    z = functional.embedding(tokens, words, padding_idx).to(dtype)
    for ids, table in ((positions, position_table), (segments, segment_table)):
        if ids is not None and table is not None:
            z = z + functional.embedding(ids, table).to(dtype)
    affine = (weight.to(dtype), None if bias is None else bias.to(dtype))
    y = functional.layer_norm(z, words.shape[1:], *affine, eps)
    if seed is not None and dropout > 0.0:
        keep = keep_rows(seed, tokens.shape[0], words.shape[1], dropout)
        y = y * (keep.to(dtype) * keep_scale(dropout))
    return y.to(autocast_dtype(words))


def _sum_dtype(words: Tensor) -> torch.dtype:
    return torch.promote_types(words.dtype, torch.float32)


# Triton kernels: forward and dz


@jit()
def _gather(
    table_ptr: Pointer,
    ids_ptr: Pointer,
    row: Tile,
    T: Scalar,
    rows: Scalar,
    stride: Scalar,
    column: Tile,
    N: tl.constexpr,
    ACC: tl.constexpr,
) -> tuple[Tile, Tile]:
    """Each token's row of a table, and whether there is one; zero where there is none."""
    id = tl.load(ids_ptr + row, mask=row < T, other=-1)
    exists = (id >= 0) & (id < rows)
    inside = exists[:, None] & (column < N)[None, :]
    place = table_ptr + offset(id, stride)[:, None] + column[None, :]
    return tl.load(place, mask=inside, other=0.0).to(ACC), exists


@jit()
def _gathered_sum(
    tokens_ptr: Pointer,
    words_ptr: Pointer,
    positions_ptr: Pointer,
    position_table_ptr: Pointer,
    segments_ptr: Pointer,
    segment_table_ptr: Pointer,
    row: Tile,
    T: Scalar,
    V: Scalar,
    L: Scalar,
    S: Scalar,
    stride_words: Scalar,
    stride_positions: Scalar,
    stride_segments: Scalar,
    column: Tile,
    N: tl.constexpr,
    ACC: tl.constexpr,
) -> tuple[Tile, Tile]:
    """The sum z of each token's rows, and whether all of them exist."""
    z, exists = _gather(words_ptr, tokens_ptr, row, T, V, stride_words, column, N, ACC)
    if positions_ptr is not None:
        position, there = _gather(
            position_table_ptr, positions_ptr, row, T, L, stride_positions, column, N, ACC
        )
        z += position
        exists &= there
    if segments_ptr is not None:
        segment, there = _gather(
            segment_table_ptr, segments_ptr, row, T, S, stride_segments, column, N, ACC
        )
        z += segment
        exists &= there
    return z, exists


@jit()
def _load_vector(ptr: Pointer, column: Tile, N: tl.constexpr, ACC: tl.constexpr) -> Tile:
    """One number per column, as one row."""
    return tl.load(ptr + column, mask=column < N, other=0.0).to(ACC)[None, :]


@jit("T", "threshold")
def _embedding_fwd_kernel(
    tokens_ptr: Pointer,
    words_ptr: Pointer,
    positions_ptr: Pointer,
    position_table_ptr: Pointer,
    segments_ptr: Pointer,
    segment_table_ptr: Pointer,
    weight_ptr: Pointer,
    bias_ptr: Pointer,
    seed_ptr: Pointer,
    y_ptr: Pointer,
    mean_ptr: Pointer,
    rstd_ptr: Pointer,
    T: Scalar,
    V: Scalar,
    L: Scalar,
    S: Scalar,
    stride_words: Scalar,
    stride_positions: Scalar,
    stride_segments: Scalar,
    eps: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    N: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """A pointer that is None switches off what it is for."""
    ACC: tl.constexpr = accumulator(words_ptr.dtype.element_ty)
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.arange(0, BLOCK_N)
    z, exists = _gathered_sum(
        tokens_ptr, words_ptr, positions_ptr, position_table_ptr, segments_ptr, segment_table_ptr,
        row, T, V, L, S, stride_words, stride_positions, stride_segments, column, N, ACC,
    )  # fmt: skip

    # Two passes over registers: E[z^2] - E[z]^2 would cancel for a large mean. The mask comes after
    # the centring, or each column beyond N would add mean^2 to the variance.
    mean = tl.where(exists, tl.sum(z, 1) / N, float("nan"))
    centred = tl.where((column < N)[None, :], z - mean[:, None], 0.0)
    rstd = tl.rsqrt(tl.sum(centred * centred, 1) / N + eps)
    tl.store(mean_ptr + row, mean, mask=row < T)
    tl.store(rstd_ptr + row, rstd, mask=row < T)

    y = centred * rstd[:, None] * _load_vector(weight_ptr, column, N, ACC)
    if bias_ptr is not None:
        y += _load_vector(bias_ptr, column, N, ACC)
    if seed_ptr is not None:
        keep = keep_rows_tile(tl.load(seed_ptr), row, threshold, BLOCK_R, BLOCK_N)
        y = tl.where(keep, y * keep_scale, 0.0)
    inside = (row < T)[:, None] & (column < N)[None, :]
    place = y_ptr + offset(row, N)[:, None] + column[None, :]
    tl.store(place, y.to(y_ptr.dtype.element_ty), mask=inside)


@jit("T", "threshold")
def _embedding_bwd_kernel(
    dy_ptr: Pointer,
    tokens_ptr: Pointer,
    words_ptr: Pointer,
    positions_ptr: Pointer,
    position_table_ptr: Pointer,
    segments_ptr: Pointer,
    segment_table_ptr: Pointer,
    weight_ptr: Pointer,
    seed_ptr: Pointer,
    mean_ptr: Pointer,
    rstd_ptr: Pointer,
    dz_ptr: Pointer,
    partials_ptr: Pointer,
    T: Scalar,
    V: Scalar,
    L: Scalar,
    S: Scalar,
    stride_dy: Scalar,
    stride_words: Scalar,
    stride_positions: Scalar,
    stride_segments: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    N: tl.constexpr,
    BIAS: tl.constexpr,
    SUMMED_SEGMENTS: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(words_ptr.dtype.element_ty)
    program = tl.program_id(0)
    programs = tl.num_programs(0)
    column = tl.arange(0, BLOCK_N)
    weight = _load_vector(weight_ptr, column, N, ACC)
    if seed_ptr is not None:
        seed = tl.load(seed_ptr)
        weight *= keep_scale
    # From widths of 256 on each thread holds the same columns of every row of a tile, so to sum
    # over rows takes no other thread, and the sums take registers for one row alone.
    dweight = tl.zeros((BLOCK_N,), ACC)
    dbias = tl.zeros((BLOCK_N,), ACC)
    dsegment_0 = tl.zeros((BLOCK_N,), ACC)
    dsegment_1 = tl.zeros((BLOCK_N,), ACC)

    # Neighbouring tiles: their ids and statistics share cache lines.
    tiles = tl.cdiv(T, BLOCK_R)
    share = tl.cdiv(tiles, programs)
    for tile in range(program * share, tl.minimum(program * share + share, tiles)):
        row = (tile * BLOCK_R + tl.arange(0, BLOCK_R)).to(tl.int64)
        inside = (row < T)[:, None] & (column < N)[None, :]
        place = dy_ptr + offset(row, stride_dy)[:, None] + column[None, :]
        dy = tl.load(place, mask=inside, other=0.0).to(ACC)
        z, _ = _gathered_sum(
            tokens_ptr, words_ptr, positions_ptr, position_table_ptr, segments_ptr,
            segment_table_ptr, row, T, V, L, S, stride_words, stride_positions, stride_segments,
            column, N, ACC,
        )  # fmt: skip
        if seed_ptr is not None:  # the scale is in the weight, and in the sums at the end
            keep = keep_rows_tile(seed, row, threshold, BLOCK_R, BLOCK_N)
            dy = tl.where(keep, dy, 0.0)
        mean = tl.load(mean_ptr + row, mask=row < T, other=0.0)[:, None]
        rstd = tl.load(rstd_ptr + row, mask=row < T, other=0.0)[:, None]

        normed = (z - mean) * rstd  # beyond N not 0, but there dy is
        dweight += tl.sum(dy * normed, 0)
        if BIAS:
            dbias += tl.sum(dy, 0)
        dnormed = dy * weight
        along_mean = tl.sum(dnormed, 1)[:, None] / N
        along_normed = tl.sum(dnormed * normed, 1)[:, None] / N
        dz = rstd * (dnormed - along_mean - normed * along_normed)
        if dz_ptr is not None:
            place = dz_ptr + offset(row, N)[:, None] + column[None, :]
            tl.store(place, dz.to(dz_ptr.dtype.element_ty), mask=inside)
        if SUMMED_SEGMENTS > 0:
            segment = tl.load(segments_ptr + row, mask=row < T, other=-1)[:, None]
            dsegment_0 += tl.sum(dz * (segment == 0).to(ACC), 0)
        if SUMMED_SEGMENTS > 1:
            dsegment_1 += tl.sum(dz * (segment == 1).to(ACC), 0)

    # [K, P, N]: dweight, then dbias and the segments where there are such.
    if seed_ptr is not None:
        dweight *= keep_scale
        dbias *= keep_scale
    real = column < N
    tl.store(partials_ptr + offset(program, N) + column, dweight, mask=real)
    if BIAS:
        partial = partials_ptr + offset(programs + program, N) + column
        tl.store(partial, dbias, mask=real)
    if SUMMED_SEGMENTS > 0:
        partial = partials_ptr + offset((1 + BIAS) * programs + program, N) + column
        tl.store(partial, dsegment_0, mask=real)
    if SUMMED_SEGMENTS > 1:
        partial = partials_ptr + offset((2 + BIAS) * programs + program, N) + column
        tl.store(partial, dsegment_1, mask=real)


# Triton kernels: from dz to the gradient of a table
#
# The ids are sorted, so that each row of the table has one run of tokens. The first kernel cuts
# them into chunks of equal length. A run that lies in one chunk is summed there and done. Of one
# that crosses into others each chunk sums a part, and the second kernel adds the parts. Before the
# first id and after the last stands -1, which is no row.


@jit()
def _is_row(id: Scalar, rows: Scalar, padding: Scalar) -> Scalar:
    return (id >= 0) & (id < rows) & (id != padding)


@jit("T")
def _sum_chunks_kernel(
    dz_ptr: Pointer,
    ids_ptr: Pointer,
    order_ptr: Pointer,
    dtable_ptr: Pointer,
    parts_ptr: Pointer,
    T: Scalar,
    rows: Scalar,
    padding: Scalar,
    N: Scalar,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """Parts are [C, 2, N]: of the run that goes on from an earlier chunk, and into a later one."""
    ACC: tl.constexpr = accumulator(dz_ptr.dtype.element_ty)
    blocks = tl.cdiv(N, BLOCK_N)
    chunk = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    first = chunk * BLOCK_R
    end = tl.minimum(first + BLOCK_R, T)
    id = tl.load(ids_ptr + first)
    goes_on = tl.load(ids_ptr + first - 1, mask=first > 0, other=-1) == id
    total = tl.zeros((BLOCK_N,), ACC)
    row = tl.load(order_ptr + first)
    dz = tl.load(dz_ptr + offset(row, N) + column, mask=column < N, other=0.0)
    for i in range(first, end):
        total += dz.to(ACC)
        # Asked for before the stores below: after them a thread would wait for each row anew.
        more = i + 1 < end
        row = tl.load(order_ptr + i + 1, mask=more, other=0)
        dz = tl.load(dz_ptr + offset(row, N) + column, mask=(column < N) & more, other=0.0)
        next_id = tl.load(ids_ptr + i + 1, mask=i + 1 < T, other=-1)

        ends = next_id != id
        whole = ends & ~goes_on
        dtable = dtable_ptr + offset(id, N) + column
        store = (column < N) & whole & _is_row(id, rows, padding)
        tl.store(dtable, total.to(dtable_ptr.dtype.element_ty), mask=store)
        part = parts_ptr + offset(tl.where(goes_on, 2 * chunk, 2 * chunk + 1), N) + column
        tl.store(part, total, mask=(column < N) & (ends | ~more) & ~whole)

        total = tl.where(ends, 0.0, total)
        goes_on &= ~ends
        id = next_id


@jit("T")
def _join_chunks_kernel(
    ids_ptr: Pointer,
    dtable_ptr: Pointer,
    parts_ptr: Pointer,
    T: Scalar,
    rows: Scalar,
    padding: Scalar,
    N: Scalar,
    CHUNK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """Sum the run that begins in this chunk and goes on into later ones, if there is one."""
    ACC: tl.constexpr = accumulator(parts_ptr.dtype.element_ty)
    blocks = tl.cdiv(N, BLOCK_N)
    chunk = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    first = offset(chunk, CHUNK)
    end = first + CHUNK
    if end >= T:
        return
    id = tl.load(ids_ptr + end)
    goes_on = tl.load(ids_ptr + end - 1) == id
    began_earlier = tl.load(ids_ptr + first - 1, mask=first > 0, other=-1) == id
    if ~goes_on | began_earlier | ~_is_row(id, rows, padding):
        return
    total = tl.zeros((BLOCK_C, BLOCK_N), ACC)
    later = chunk + 1
    while later > 0:
        c = later + tl.arange(0, BLOCK_C)
        same = offset(c, CHUNK) < T
        same &= tl.load(ids_ptr + offset(c, CHUNK), mask=same, other=-1) == id
        part = parts_ptr + offset(2 * c, N)[:, None] + column[None, :]
        total += tl.load(part, mask=same[:, None] & (column < N)[None, :], other=0.0)
        later = tl.where(tl.min(same.to(tl.int32), 0) == 1, later + BLOCK_C, 0)
    begin = tl.load(parts_ptr + offset(2 * chunk + 1, N) + column, mask=column < N, other=0.0)
    total = begin + tl.sum(total, 0)
    dtable = dtable_ptr + offset(id, N) + column
    tl.store(dtable, total.to(dtable_ptr.dtype.element_ty), mask=column < N)


# Launcher


def _with_adjacent_columns(table: Tensor | None) -> Tensor | None:
    """Copied only if need be."""
    return table if table is None or table.stride(1) == 1 else table.contiguous()


def _gathered(
    tokens: Tensor,
    words: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    segments: Tensor | None,
    segment_table: Tensor | None,
) -> tuple[list[Tensor | None], list[int], list[int]]:
    """Ids and tables as the kernels read them, the tables' numbers of rows, and their strides."""
    pairs: list[Tensor | None] = []
    rows, strides = [], []
    for ids, table in ((tokens, words), (positions, position_table), (segments, segment_table)):
        table = _with_adjacent_columns(table)
        pairs += [None if ids is None else ids.contiguous(), table]
        rows.append(0 if table is None else table.shape[0])
        strides.append(0 if table is None else table.stride(0))
    return pairs, rows, strides


def _forward(
    tokens: Tensor,
    words: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    segments: Tensor | None,
    segment_table: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    seed: Tensor | None,
    eps: float,
    dropout: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    y, mean, rstd = _forward_results(
        *(tokens, words, positions, position_table, segments, segment_table, weight, bias),
        *(seed, eps, dropout, dtype),
    )
    if y.numel() > 0:
        pairs, rows, strides = _gathered(
            tokens, words, positions, position_table, segments, segment_table
        )
        count, width = y.shape
        size = power_of_two(width)
        tile = launch("embedding.forward", size=size, dtype=words.dtype, device=words.device)
        with on_device_of(words):
            _embedding_fwd_kernel[(-(-count // tile.blocks["BLOCK_R"]),)](
                *(*pairs, weight, bias, seed if dropout > 0.0 else None, y, mean, rstd),
                *(count, *rows, *strides, eps, threshold(dropout), keep_scale(dropout)),
                N=width,
                **tile.options,
            )
    return y, mean, rstd


def _forward_results(
    tokens: Tensor,
    words: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    segments: Tensor | None,
    segment_table: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    seed: Tensor | None,
    eps: float,
    dropout: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.empty((tokens.shape[0], words.shape[1]), dtype=dtype, device=words.device)
    mean = torch.empty(tokens.shape, dtype=_sum_dtype(words), device=words.device)
    return y, mean, torch.empty_like(mean)


embedding_fwd = register(
    "embedding_fwd(Tensor tokens, Tensor words, Tensor? positions, Tensor? position_table, "
    "Tensor? segments, Tensor? segment_table, Tensor weight, Tensor? bias, Tensor? seed, "
    "float eps, float dropout, ScalarType dtype) -> (Tensor, Tensor, Tensor)",
    _forward,
    _forward_results,
)


def _backward(
    dy: Tensor,
    tokens: Tensor,
    words: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    segments: Tensor | None,
    segment_table: Tensor | None,
    weight: Tensor,
    seed: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    dropout: float,
    bias: bool,
    summed_segments: int,
    write_dz: bool,
) -> tuple[Tensor, Tensor]:
    dz, sums = _backward_results(
        *(dy, tokens, words, positions, position_table, segments, segment_table, weight, seed),
        *(mean, rstd, dropout, bias, summed_segments, write_dz),
    )
    if dy.numel() == 0:
        return dz, sums.zero_()
    dy = dy if dy.stride(1) == 1 else dy.contiguous()
    pairs, rows, strides = _gathered(
        tokens, words, positions, position_table, segments, segment_table
    )
    (count, width), device = dy.shape, words.device
    size = power_of_two(width)
    tile = launch("embedding.backward", size=size, dtype=words.dtype, device=device)
    tiles = -(-count // tile.blocks["BLOCK_R"])
    programs = first_stage_programs(device, tiles, PROGRAMS_PER_PROCESSOR)
    partials = torch.empty((sums.shape[0], programs, width), dtype=sums.dtype, device=device)
    with on_device_of(words):
        _embedding_bwd_kernel[(programs,)](
            *(dy, *pairs, weight, seed if dropout > 0.0 else None, mean, rstd),
            *(dz if write_dz else None, partials, count, *rows, dy.stride(0), *strides),
            *(threshold(dropout), keep_scale(dropout)),
            N=width,
            BIAS=bias,
            SUMMED_SEGMENTS=summed_segments,
            **tile.options,
        )
        return dz, column_sums(partials)


def _backward_results(
    dy: Tensor,
    tokens: Tensor,
    words: Tensor,
    positions: Tensor | None,
    position_table: Tensor | None,
    segments: Tensor | None,
    segment_table: Tensor | None,
    weight: Tensor,
    seed: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    dropout: float,
    bias: bool,
    summed_segments: int,
    write_dz: bool,
) -> tuple[Tensor, Tensor]:
    dz = torch.empty(dy.shape if write_dz else 0, dtype=words.dtype, device=words.device)
    shape = (1 + bias + summed_segments, words.shape[1])
    return dz, torch.empty(shape, dtype=_sum_dtype(words), device=words.device)


embedding_bwd = register(
    "embedding_bwd(Tensor dy, Tensor tokens, Tensor words, Tensor? positions, "
    "Tensor? position_table, Tensor? segments, Tensor? segment_table, Tensor weight, Tensor? seed, "
    "Tensor mean, Tensor rstd, float dropout, bool bias, int summed_segments, bool write_dz) "
    "-> (Tensor, Tensor)",
    _backward,
    _backward_results,
)


def _table_backward(dz: Tensor, ids: Tensor, rows: int, padding: int) -> Tensor:
    dtable = torch.zeros((rows, dz.shape[1]), dtype=dz.dtype, device=dz.device)
    if dz.numel() == 0 or rows == 0:
        return dtable
    (count, width), device = dz.shape, dz.device
    sums = launch("embedding.backward_sum", size=TABLE_TILE, dtype=dz.dtype, device=device)
    join = launch("embedding.backward_join", size=TABLE_TILE, dtype=dz.dtype, device=device)
    ids, order = ids.sort(stable=True)
    chunks = -(-count // sums.blocks["BLOCK_R"])
    parts = torch.empty((chunks, 2, width), dtype=_sum_dtype(dz), device=device)
    numbers = (count, rows, padding, width)
    with on_device_of(dz):
        _sum_chunks_kernel[(chunks * -(-width // sums.blocks["BLOCK_N"]),)](
            *(dz, ids, order, dtable, parts, *numbers), **sums.options
        )
        _join_chunks_kernel[(chunks * -(-width // join.blocks["BLOCK_N"]),)](
            *(ids, dtable, parts, *numbers), CHUNK=sums.blocks["BLOCK_R"], **join.options
        )
    return dtable


def _table_backward_result(dz: Tensor, ids: Tensor, rows: int, padding: int) -> Tensor:
    return torch.empty((rows, dz.shape[1]), dtype=dz.dtype, device=dz.device)


embedding_table_bwd = register(
    "embedding_table_bwd(Tensor dz, Tensor ids, SymInt rows, int padding) -> Tensor",
    _table_backward,
    _table_backward_result,
)


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        tokens: Tensor,
        words: Tensor,
        positions: Tensor | None,
        position_table: Tensor | None,
        segments: Tensor | None,
        segment_table: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        eps: float,
        dropout: float,
        seed: Tensor | None,
        padding: int,
        dtype: torch.dtype,
    ) -> Tensor:
        gathered = (tokens, words, positions, position_table, segments, segment_table)
        y, mean, rstd = embedding_fwd(*gathered, weight, bias, seed, eps, dropout, dtype)
        ctx.save_for_backward(*gathered, weight, seed, mean, rstd)
        ctx.dropout, ctx.padding, ctx.bias = dropout, padding, bias is not None
        out: Tensor = y
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        *gathered, weight, seed, mean, rstd = ctx.saved_tensors
        tokens, words, positions, position_table, segments, segment_table = gathered
        _, words_wanted, _, positions_wanted, _, segments_wanted, *_ = ctx.needs_input_grad
        summed = 0  # segments
        if (
            segments_wanted
            and segment_table.shape[0] <= MOST_SUMMED_SEGMENTS
            and words.shape[1] <= WIDEST_WITH_SEGMENTS
        ):
            summed = segment_table.shape[0]
            segments_wanted = False
        write_dz = words_wanted or positions_wanted or segments_wanted
        dz, sums = embedding_bwd(
            *(dy, *gathered, weight, seed, mean, rstd, ctx.dropout, ctx.bias, summed, write_dz)
        )
        dwords = dpositions = dsegments = dbias = None
        if words_wanted:
            dwords = embedding_table_bwd(dz, tokens, words.shape[0], ctx.padding)
        if positions_wanted:
            dpositions = embedding_table_bwd(dz, positions, position_table.shape[0], -1)
        if segments_wanted:
            dsegments = embedding_table_bwd(dz, segments, segment_table.shape[0], -1)
        if summed > 0:
            dsegments = sums[1 + ctx.bias :].to(segment_table.dtype)
        if ctx.bias:
            dbias = sums[1].to(weight.dtype)
        gradients = (None, dwords, None, dpositions, None, dsegments, sums[0].to(weight.dtype))
        return *gradients, dbias, None, None, None, None, None


def embedding_triton(
    tokens: Tensor,
    words: Tensor,
    *,
    positions: Tensor | None = None,
    position_table: Tensor | None = None,
    segments: Tensor | None = None,
    segment_table: Tensor | None = None,
    weight: Tensor,
    bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    padding_idx: int | None = None,
) -> Tensor:
    """`embedding` by the Triton kernels, for fp32, fp16 and bf16 and up to 8192 columns.

    Equal inputs give equal bits in both directions: no atomics.
    """
    gathered = (tokens, words, positions, position_table, segments, segment_table)
    _check(*gathered, weight, bias, dropout, seed, padding_idx)
    if words.shape[1] > MAX_WIDTH:
        raise ValueError(f"embedding: width {words.shape[1]} is above the kernel's {MAX_WIDTH}")
    bias = None if bias is None else bias.contiguous()
    padding = -1 if padding_idx is None else padding_idx
    y: Tensor = _Embedding.apply(  # type: ignore[no-untyped-call]
        *(*gathered, weight.contiguous(), bias, eps, dropout, seed, padding, autocast_dtype(words))
    )
    return y


def _triton_rejects(call: Call) -> str | None:
    if call.dtype not in TRITON_DTYPES:
        return f"the kernel takes fp32, fp16 and bf16, not {call.dtype}"
    if call.size > MAX_WIDTH:
        return f"a row of {call.size} does not fit the registers, {MAX_WIDTH} does"
    return can_run_on(call.device)


register_implementation("embedding", "triton", embedding_triton, rejects=_triton_rejects)
register_implementation("embedding", "torch", embedding_reference)
register_inductor("embedding", embedding_reference)
