"""Rows of queries and keys, turned by the angles of their places (Su et al., "RoFormer", 2021).

Row p of the tables cos and sin turns the pair (x1, x2) = (x[c], x[c + D/2]) of every query and key
at place p of its sequence by the angle of column c:

    (x1 cos - x2 sin, x2 cos + x1 sin)

A score then depends on how far apart a query and a key are, not on where. The kernels turn on the
way from memory to the matrix product, in fp32, and turn gradients back on their way out: what is
turned is never stored.

Legend: T tokens, H heads, D head size, P positions; M rows of a tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import Pointer, Scalar, Tile, accumulator, jit, offset, tl

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, [P, D/2]."""


def rotated(
    q: Tensor, k: Tensor, cu_seqlens: Tensor, rotary: Rotary | None
) -> tuple[Tensor, Tensor]:
    """Queries and keys [T, H, D] in plain PyTorch, in fp32 or better and rounded once."""
    if rotary is None or q.numel() == 0:
        return q, k
    token = torch.arange(q.shape[0], device=q.device, dtype=torch.int32)
    cu_seqlens = cu_seqlens.contiguous()
    start = cu_seqlens[torch.searchsorted(cu_seqlens, token, right=True) - 1]
    place = (token - start).clamp(max=rotary[0].shape[0] - 1)  # after the last sequence: anything
    dtype = torch.promote_types(q.dtype, torch.float32)
    cos, sin = (table.detach()[place].to(dtype)[:, None, :] for table in rotary)

    def turn(x: Tensor) -> Tensor:
        x1, x2 = x.to(dtype).chunk(2, dim=-1)
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1).to(x.dtype)

    return turn(q), turn(k)


# Triton. `ptr` is where the first row of one head of one sequence begins, `length` how many rows
# there are; without tables (None) nothing is turned.


@jit()
def load_tile(
    ptr: Pointer, row: Tile, length: Scalar, stride: Scalar, D: tl.constexpr, BLOCK_D: tl.constexpr
) -> Tile:
    """[M, BLOCK_D], zero beyond the last row and beyond D."""
    column = tl.arange(0, BLOCK_D)
    inside = (row < length)[:, None] & (column < D)[None, :]
    return tl.load(ptr + offset(row, stride)[:, None] + column[None, :], mask=inside, other=0.0)


@jit()
def store_tile(
    ptr: Pointer,
    tile: Tile,
    row: Tile,
    length: Scalar,
    stride: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """The part of a tile that `load_tile` would load."""
    column = tl.arange(0, BLOCK_D)
    inside = (row < length)[:, None] & (column < D)[None, :]
    place = ptr + offset(row, stride)[:, None] + column[None, :]
    tl.store(place, tile.to(ptr.dtype.element_ty), mask=inside)


@jit()
def by_registers(tile: Tile, row: Tile, length: Scalar) -> Tile:
    """The same tile, as rows beyond the last are zero already.

    What is only loaded and computed with, Triton takes straight from memory to the matrix product,
    and computes there. It does not reach past a select on something that was never loaded.
    """
    return tl.where((row < length)[:, None], tile, 0.0)


@jit()
def load_turned(
    ptr: Pointer,
    cos_ptr: Pointer,
    sin_ptr: Pointer,
    row: Tile,
    length: Scalar,
    stride: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> Tile:
    """`load_tile` of queries or keys, turned.

    The halves of a row are loaded apart, so that no number changes threads. Each is padded by
    itself, which for D = 96 puts columns 48-95 at 64-111 of the tile: queries and keys have one
    order of columns, and their product needs no more.
    """
    if cos_ptr is None:
        return load_tile(ptr, row, length, stride, D, BLOCK_D)
    else:
        ACC: tl.constexpr = accumulator(ptr.dtype.element_ty)
        HALF: tl.constexpr = D // 2
        PAD: tl.constexpr = BLOCK_D // 2
        cos = load_tile(cos_ptr, row, length, HALF, HALF, PAD).to(ACC)
        sin = load_tile(sin_ptr, row, length, HALF, HALF, PAD).to(ACC)
        x1 = load_tile(ptr, row, length, stride, HALF, PAD).to(ACC)
        x2 = load_tile(ptr + HALF, row, length, stride, HALF, PAD).to(ACC)
        turned = tl.join(x1 * cos - x2 * sin, x2 * cos + x1 * sin)  # [M, PAD, 2]
        turned = tl.reshape(tl.permute(turned, (0, 2, 1)), (row.shape[0], BLOCK_D))
        # Straight from memory, every warp would turn all keys for itself: 6 KB of spills on sm_80.
        return by_registers(turned.to(ptr.dtype.element_ty), row, length)


@jit()
def store_turned_back(
    ptr: Pointer,
    tile: Tile,
    cos_ptr: Pointer,
    sin_ptr: Pointer,
    row: Tile,
    length: Scalar,
    stride: Scalar,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    """`store_tile` of the gradient of what `load_turned` gave."""
    if cos_ptr is None:
        store_tile(ptr, tile, row, length, stride, D, BLOCK_D)
    else:
        HALF: tl.constexpr = D // 2
        PAD: tl.constexpr = BLOCK_D // 2
        halves = tl.reshape(tile, (row.shape[0], 2, PAD))
        x1, x2 = tl.split(tl.permute(halves, (0, 2, 1)))
        cos = load_tile(cos_ptr, row, length, HALF, HALF, PAD).to(tile.dtype)
        sin = load_tile(sin_ptr, row, length, HALF, HALF, PAD).to(tile.dtype)
        store_tile(ptr, x1 * cos + x2 * sin, row, length, stride, HALF, PAD)
        store_tile(ptr + HALF, x2 * cos - x1 * sin, row, length, stride, HALF, PAD)
