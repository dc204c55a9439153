"""LayerNorm(residual + dropout(x)), the step that closes every sublayer of BERT.

    z = residual + dropout(x)
    y = (z - mean(z)) / sqrt(var(z) + eps) * weight + bias

(Ba, Kiros and Hinton, "Layer normalization", 2016; dropout and residual as in Vaswani et al.,
"Attention is all you need", 2017.) Forward reads x and the residual and writes y alone. Backward
reads both again, not a saved z: over the two directions the traffic is the same, and z is rounded
nowhere. Kept besides them are the mean and 1/sqrt(var + eps) of each row, in fp32, and the mask's
seed.

Legend: R rows, N width, P programs of the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._triton import Pointer, Scalar, Tile, jit, on_device_of, tl
from .philox import check_dropout, keep_rows, keep_rows_tile, keep_scale, threshold

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_WIDTH = 8192  # a row stays in registers: 8192 columns over 16 warps are 16 per thread


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    residual: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """LayerNorm(residual + dropout(x)) over the last dimension (Ba et al., 2016).

    CUDA tensors go to the Triton kernels, all others to `layer_norm_reference`.

    Args:
        x: [..., N].
        weight: [N]; may be fp32 where x is fp16 or bf16.
        bias: [N], of weight's dtype.
        residual: [..., N] like x, of any floating dtype.
        eps: added to the variance. BERT's 1e-12 is below what fp16 can hold; it is used in fp32.
        dropout: probability of zeroing an element of x; the others are scaled up.
        seed: int64 [1], the seed of the dropout mask; required when dropout > 0.

    Returns:
        [..., N] in the dtype of x.

    Raises:
        ValueError: a shape, dtype or device does not fit, dropout is outside [0, 1) or has no seed,
            or a row is too wide for the kernel (more than 8192).
    """
    op = layer_norm_triton if x.is_cuda else layer_norm_reference
    return op(x, weight, bias, residual=residual, eps=eps, dropout=dropout, seed=seed)


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    dropout: float,
    seed: Tensor | None,
) -> None:
    if x.dim() == 0 or not x.is_floating_point():
        raise ValueError(
            f"layer_norm: x must be floating point [..., N], got {x.dtype} {list(x.shape)}"
        )
    width = x.shape[-1]
    if weight.shape != (width,) or bias.shape != (width,) or weight.dtype != bias.dtype:
        raise ValueError(
            f"layer_norm: weight and bias must be [{width}] of one dtype, got "
            f"{weight.dtype} {list(weight.shape)} and {bias.dtype} {list(bias.shape)}"
        )
    if residual is not None and residual.shape != x.shape:
        raise ValueError(
            f"layer_norm: residual {list(residual.shape)} must have the shape of x {list(x.shape)}"
        )
    for name, tensor in (("weight", weight), ("bias", bias), ("residual", residual)):
        if tensor is not None and tensor.device != x.device:
            raise ValueError(f"layer_norm: {name} is on {tensor.device}, x is on {x.device}")
    check_dropout("layer_norm", dropout, seed, x.device)


# PyTorch


def layer_norm_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    residual: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """`layer_norm` in plain PyTorch with the same dropout mask, computed in fp32 or better.

    PyTorch's own fp16 op keeps 1/sqrt(var + eps) in fp16 on a CPU, where eps = 1e-12 and a constant
    row overflow it to inf and the gradients to NaN.
    """
    _check(x, weight, bias, residual, dropout, seed)
    dtype = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    if residual is not None:
        dtype = torch.promote_types(dtype, residual.dtype)
    z = x.to(dtype)
    width = x.shape[-1]
    if seed is not None and dropout > 0.0:
        keep = keep_rows(seed, x.numel() // max(width, 1), width, dropout).view(x.shape)
        z = torch.where(keep, z * keep_scale(dropout), 0.0)
    if residual is not None:
        z = residual.to(dtype) + z
    y = torch.nn.functional.layer_norm(z, (width,), weight.to(dtype), bias.to(dtype), eps)
    return y.to(x.dtype)


# Triton kernels


@jit()
def _load_rows(
    ptr: Pointer, row: Tile, column: Tile, stride: Scalar, rows: Scalar, N: tl.constexpr
) -> Tile:
    """Rows of a matrix as fp32, zero beyond its edges.

    `row` is int64, since row * stride may exceed 2^31.
    """
    inside = (row < rows)[:, None] & (column < N)[None, :]
    return tl.load(ptr + row[:, None] * stride + column[None, :], mask=inside, other=0.0).to(
        tl.float32
    )


@jit("rows", "threshold")
def _layer_norm_fwd_kernel(
    x_ptr: Pointer,
    residual_ptr: Pointer,
    weight_ptr: Pointer,
    bias_ptr: Pointer,
    seed_ptr: Pointer,
    y_ptr: Pointer,
    mean_ptr: Pointer,
    rstd_ptr: Pointer,
    rows: Scalar,
    stride_x: Scalar,
    stride_residual: Scalar,
    eps: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    N: tl.constexpr,
    RESIDUAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.arange(0, BLOCK_N)
    z = _load_rows(x_ptr, row, column, stride_x, rows, N)
    if DROPOUT:
        keep = keep_rows_tile(tl.load(seed_ptr), row, threshold, BLOCK_R, BLOCK_N)
        z = tl.where(keep, z * keep_scale, 0.0)
    if RESIDUAL:
        z += _load_rows(residual_ptr, row, column, stride_residual, rows, N)

    # Two passes over registers: E[z^2] - E[z]^2 would cancel for a large mean. The mask comes after
    # the centring, or each column beyond N would add mean^2 to the variance.
    mean = tl.sum(z, 1) / N
    centred = tl.where((column < N)[None, :], z - mean[:, None], 0.0)
    rstd = tl.rsqrt(tl.sum(centred * centred, 1) / N + eps)
    tl.store(mean_ptr + row, mean, mask=row < rows)
    tl.store(rstd_ptr + row, rstd, mask=row < rows)

    weight = tl.load(weight_ptr + column, mask=column < N, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + column, mask=column < N, other=0.0).to(tl.float32)
    y = centred * rstd[:, None] * weight[None, :] + bias[None, :]
    inside = (row < rows)[:, None] & (column < N)[None, :]
    tl.store(y_ptr + row[:, None] * N + column[None, :], y.to(y_ptr.dtype.element_ty), mask=inside)


@jit("rows", "threshold")
def _layer_norm_bwd_kernel(
    dy_ptr: Pointer,
    x_ptr: Pointer,
    residual_ptr: Pointer,
    weight_ptr: Pointer,
    seed_ptr: Pointer,
    mean_ptr: Pointer,
    rstd_ptr: Pointer,
    dx_ptr: Pointer,
    dresidual_ptr: Pointer,
    dweight_ptr: Pointer,
    dbias_ptr: Pointer,
    rows: Scalar,
    stride_dy: Scalar,
    stride_x: Scalar,
    stride_residual: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    N: tl.constexpr,
    RESIDUAL: tl.constexpr,
    DRESIDUAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    program = tl.program_id(0)
    column = tl.arange(0, BLOCK_N)
    weight = tl.load(weight_ptr + column, mask=column < N, other=0.0).to(tl.float32)[None, :]
    if DROPOUT:
        seed = tl.load(seed_ptr)
    # Summed over rows only once, at the end: inside the loop that would be a reduction across
    # threads.
    dweight = tl.zeros((BLOCK_R, BLOCK_N), tl.float32)
    dbias = tl.zeros((BLOCK_R, BLOCK_N), tl.float32)

    for tile in range(program, tl.cdiv(rows, BLOCK_R), tl.num_programs(0)):
        row = tile * BLOCK_R + tl.arange(0, BLOCK_R).to(tl.int64)
        inside = (row < rows)[:, None] & (column < N)[None, :]
        dy = _load_rows(dy_ptr, row, column, stride_dy, rows, N)
        z = _load_rows(x_ptr, row, column, stride_x, rows, N)
        if DROPOUT:
            keep = keep_rows_tile(seed, row, threshold, BLOCK_R, BLOCK_N)
            z = tl.where(keep, z * keep_scale, 0.0)
        if RESIDUAL:
            z += _load_rows(residual_ptr, row, column, stride_residual, rows, N)
        mean = tl.load(mean_ptr + row, mask=row < rows, other=0.0)[:, None]
        rstd = tl.load(rstd_ptr + row, mask=row < rows, other=0.0)[:, None]

        normed = tl.where(inside, (z - mean) * rstd, 0.0)
        dweight += dy * normed
        dbias += dy
        dnormed = dy * weight
        along_mean = tl.sum(dnormed, 1)[:, None] / N
        along_normed = tl.sum(dnormed * normed, 1)[:, None] / N
        dz = rstd * (dnormed - along_mean - normed * along_normed)

        offset = row[:, None] * N + column[None, :]
        if DRESIDUAL:
            tl.store(dresidual_ptr + offset, dz.to(dresidual_ptr.dtype.element_ty), mask=inside)
        if DROPOUT:
            dz = tl.where(keep, dz * keep_scale, 0.0)
        tl.store(dx_ptr + offset, dz.to(dx_ptr.dtype.element_ty), mask=inside)

    partial = program * N + column  # P * N stays far below 2^31
    tl.store(dweight_ptr + partial, tl.sum(dweight, 0), mask=column < N)
    tl.store(dbias_ptr + partial, tl.sum(dbias, 0), mask=column < N)


@jit("programs")
def _layer_norm_sum_kernel(
    dweight_ptr: Pointer,
    dbias_ptr: Pointer,
    dweight_sum_ptr: Pointer,
    dbias_sum_ptr: Pointer,
    programs: Scalar,
    N: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """Column sums of the [P, N] partial gradients.

    They are added in a fixed order, so every run gives the same bits.
    """
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    dweight = tl.zeros((BLOCK_P, BLOCK_N), tl.float32)
    dbias = tl.zeros((BLOCK_P, BLOCK_N), tl.float32)
    for first in range(0, programs, BLOCK_P):
        program = first + tl.arange(0, BLOCK_P)
        offset = program[:, None] * N + column[None, :]
        inside = (program < programs)[:, None] & (column < N)[None, :]
        dweight += tl.load(dweight_ptr + offset, mask=inside, other=0.0)
        dbias += tl.load(dbias_ptr + offset, mask=inside, other=0.0)
    element = dweight_sum_ptr.dtype.element_ty
    tl.store(dweight_sum_ptr + column, tl.sum(dweight, 0).to(element), mask=column < N)
    tl.store(dbias_sum_ptr + column, tl.sum(dbias, 0).to(element), mask=column < N)


# Launcher


@dataclass(frozen=True, kw_only=True)
class LayerNormLaunch:
    """How the kernels cut a matrix of one width into programs."""

    block_n: int
    """The width, rounded up to a power of two: masked columns cost no bandwidth."""
    forward_rows: int
    """Rows per program, forward."""
    backward_rows: int
    """Rows per loop step, backward."""
    num_warps: int
    programs_per_sm: int = 4
    """Backward programs for each multiprocessor: all of them fit at once, and at 32768 x 768
    in bf16 the partial gradients are 3 % of the traffic."""
    sum_p: int = 32
    sum_n: int = 32
    """Tile of the kernel that sums the partials: 32 columns are one 128-byte line of fp32."""


def layer_norm_launch(width: int) -> LayerNormLaunch:
    """The launch parameters for rows of `width` elements.

    Four warps share 4096 elements in the forward pass (32 per thread and tensor) and 2048 in the
    backward pass, which holds six such tensors: compiled for sm_80 and sm_90 at widths that are
    multiples of 16, nothing spills. Wider rows get more warps, not more elements per thread.
    """
    block_n = 16
    while block_n < width:
        block_n *= 2
    return LayerNormLaunch(
        block_n=block_n,
        forward_rows=max(1, min(16, 4096 // block_n)),
        backward_rows=max(1, min(16, 2048 // block_n)),
        num_warps=max(4, block_n // 512),
    )


def _as_rows(tensor: Tensor, width: int) -> Tensor:
    """[..., N] as [R, N] with neighbouring columns adjacent in memory, copied only if need be.

    The gradient of a sum arrives expanded, with every stride 0. Rows may keep a stride of 0.
    """
    tensor = tensor.reshape(tensor.numel() // max(width, 1), width)
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        eps: float,
        dropout: float,
        seed: Tensor | None,
    ) -> Tensor:
        shape, width = x.shape, x.shape[-1]
        launch = layer_norm_launch(width)
        x = _as_rows(x, width)
        residual = None if residual is None else _as_rows(residual, width)
        rows = x.shape[0]
        y = torch.empty((rows, width), dtype=x.dtype, device=x.device)
        mean = torch.empty(rows, dtype=torch.float32, device=x.device)
        rstd = torch.empty(rows, dtype=torch.float32, device=x.device)
        if y.numel() > 0:
            with on_device_of(x):
                _layer_norm_fwd_kernel[(-(-rows // launch.forward_rows),)](
                    x,
                    residual,
                    weight,
                    bias,
                    seed if dropout > 0.0 else None,
                    y,
                    mean,
                    rstd,
                    rows,
                    x.stride(0),
                    0 if residual is None else residual.stride(0),
                    eps,
                    threshold(dropout),
                    keep_scale(dropout),
                    N=width,
                    RESIDUAL=residual is not None,
                    DROPOUT=dropout > 0.0,
                    BLOCK_R=launch.forward_rows,
                    BLOCK_N=launch.block_n,
                    num_warps=launch.num_warps,
                )
        ctx.save_for_backward(x, weight, residual, seed, mean, rstd)
        ctx.shape, ctx.dropout, ctx.launch = shape, dropout, launch
        return y.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, residual, seed, mean, rstd = ctx.saved_tensors
        launch: LayerNormLaunch = ctx.launch
        dropout: float = ctx.dropout
        rows, width = x.shape
        dy = _as_rows(dy, width)
        dx = torch.empty((rows, width), dtype=x.dtype, device=x.device)
        if residual is None:
            dresidual = None
        elif dropout == 0.0 and residual.dtype == x.dtype:
            dresidual = dx  # the same numbers: written once
        else:
            dresidual = torch.empty_like(dx, dtype=residual.dtype)
        if dx.numel() == 0:
            dweight, dbias = torch.zeros_like(weight), torch.zeros_like(weight)
        else:
            programs = min(-(-rows // launch.backward_rows), _programs(x.device, launch))
            partials = torch.empty((2, programs, width), dtype=torch.float32, device=x.device)
            dweight, dbias = torch.empty_like(weight), torch.empty_like(weight)
            with on_device_of(x):
                _layer_norm_bwd_kernel[(programs,)](
                    dy,
                    x,
                    residual,
                    weight,
                    seed if dropout > 0.0 else None,
                    mean,
                    rstd,
                    dx,
                    None if dresidual is dx else dresidual,
                    partials[0],
                    partials[1],
                    rows,
                    dy.stride(0),
                    x.stride(0),
                    0 if residual is None else residual.stride(0),
                    threshold(dropout),
                    keep_scale(dropout),
                    N=width,
                    RESIDUAL=residual is not None,
                    DRESIDUAL=dresidual is not None and dresidual is not dx,
                    DROPOUT=dropout > 0.0,
                    BLOCK_R=launch.backward_rows,
                    BLOCK_N=launch.block_n,
                    num_warps=launch.num_warps,
                )
                _layer_norm_sum_kernel[(-(-width // launch.sum_n),)](
                    partials[0],
                    partials[1],
                    dweight,
                    dbias,
                    programs,
                    N=width,
                    BLOCK_P=launch.sum_p,
                    BLOCK_N=launch.sum_n,
                    num_warps=4,
                )
        same = dresidual is dx
        dx = dx.view(ctx.shape)
        if dresidual is not None:
            # Not two views of one memory: autograd would add to both of them in place.
            dresidual = dx if same else dresidual.view(ctx.shape)
        return dx, dweight, dbias, dresidual, None, None, None


def _programs(device: torch.device, launch: LayerNormLaunch) -> int:
    """Programs of the backward kernel: a few for each multiprocessor of the GPU."""
    if device.type != "cuda":
        return launch.programs_per_sm  # the interpreter runs them one after another
    return launch.programs_per_sm * torch.cuda.get_device_properties(device).multi_processor_count


def layer_norm_triton(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    residual: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """`layer_norm` by the Triton kernels, for fp32, fp16 and bf16 and up to 8192 columns.

    Equal inputs give equal bits in both directions: no atomics.
    """
    _check(x, weight, bias, residual, dropout, seed)
    for name, tensor in (("x", x), ("weight", weight), ("residual", residual)):
        if tensor is not None and tensor.dtype not in TRITON_DTYPES:
            raise ValueError(
                f"layer_norm: {name} is {tensor.dtype}; the kernel takes fp32, fp16, bf16"
            )
    if x.shape[-1] > MAX_WIDTH:
        raise ValueError(f"layer_norm: width {x.shape[-1]} is above the kernel's {MAX_WIDTH}")
    y: Tensor = _LayerNorm.apply(  # type: ignore[no-untyped-call]
        x, weight.contiguous(), bias.contiguous(), residual, eps, dropout, seed
    )
    return y
