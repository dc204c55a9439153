"""LayerNorm(residual + dropout(x + linear_bias)), the step around every sublayer of BERT.

    z = residual + dropout(x + linear_bias)
    y = (z - mean(z)) / sqrt(var(z) + eps) * weight + bias

(Ba, Kiros and Hinton, "Layer normalization", 2016; dropout and residual as in Vaswani et al.,
"Attention is all you need", 2017.) x is the product of a linear layer without its bias: added here
it costs nothing, and its gradient, a sum over rows, falls out of the backward pass.

BERT needs y alone (post-norm). Forward then reads x and the residual and writes y; backward reads
both again, not a saved z: over the two directions the traffic is the same, and z is rounded
nowhere. Models that norm before each sublayer need z as well, as the next residual (`return_sum`):
there backward reads z. Kept besides are the mean and 1/sqrt(var + eps) of each row, in fp32, and
the mask's seed.

Legend: R rows, N width, P programs of the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._registration import register
from ._triton import Pointer, Scalar, Tile, accumulator, can_run_on, jit, offset, on_device_of, tl
from .column_sums import column_sums, first_stage_programs
from .dispatch import Call, choose, register_inductor
from .dispatch import register as register_implementation
from .launches import launch, power_of_two
from .philox import check_dropout, keep_rows, keep_rows_tile, keep_scale, threshold

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_WIDTH = 8192  # a row stays in registers: 8192 columns over 16 warps are 16 per thread
# Backward programs for each multiprocessor: all of them fit at once, and at 32768 x 768 in bf16 the
# partial sums are 3 % of the traffic.
PROGRAMS_PER_PROCESSOR = 4


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    linear_bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    return_sum: bool = False,
) -> Any:  # noqa: ANN401 - one tensor, or two
    """LayerNorm(residual + dropout(x + linear_bias)) over the last dimension (Ba et al., 2016).

    Args:
        x: [..., N].
        weight: [N]; may be fp32 where x is fp16 or bf16.
        bias: [N], of weight's dtype.
        residual: [..., N] like x, of any floating dtype.
        linear_bias: [N], the bias of the linear layer that made x, of any floating dtype.
        eps: added to the variance. BERT's 1e-12 is below what fp16 can hold; it is used in fp32.
        dropout: probability of zeroing an element of x; the others are scaled up.
        seed: int64 [1], the seed of the dropout mask; required when dropout > 0.
        return_sum: return z too, the sum that was normalised; needs a residual.

    Returns:
        y, [..., N] in the dtype of x; with `return_sum` (y, z), z in the dtype of the residual.

    Raises:
        ValueError: a shape, dtype or device does not fit, dropout is outside [0, 1) or has no seed,
            or an implementation was asked for that cannot compute this.
    """
    call = Call(op="layer_norm", device=x.device, dtype=x.dtype, size=x.shape[-1], dropout=dropout)
    return choose(call)(
        x,
        weight,
        bias,
        residual=residual,
        linear_bias=linear_bias,
        eps=eps,
        dropout=dropout,
        seed=seed,
        return_sum=return_sum,
    )


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    linear_bias: Tensor | None,
    dropout: float,
    seed: Tensor | None,
    return_sum: bool,
) -> None:
    if x.dim() == 0 or not x.is_floating_point():
        raise ValueError(
            f"layer_norm: x must be floating point [..., N], got {x.dtype} {list(x.shape)}"
        )
    width = x.shape[-1]
    for name, vector in (("weight", weight), ("bias", bias), ("linear_bias", linear_bias)):
        if vector is not None and vector.shape != (width,):
            raise ValueError(f"layer_norm: {name} must be [{width}], got {list(vector.shape)}")
    if bias is not None and bias.dtype != weight.dtype:
        raise ValueError(
            f"layer_norm: weight and bias must be of one dtype, got {weight.dtype}, {bias.dtype}"
        )
    if residual is not None and residual.shape != x.shape:
        raise ValueError(
            f"layer_norm: residual {list(residual.shape)} must have the shape of x {list(x.shape)}"
        )
    for name, tensor in (
        ("weight", weight),
        ("bias", bias),
        ("residual", residual),
        ("linear_bias", linear_bias),
    ):
        if tensor is not None and tensor.device != x.device:
            raise ValueError(f"layer_norm: {name} is on {tensor.device}, x is on {x.device}")
    if return_sum and residual is None:
        raise ValueError("layer_norm: return_sum needs a residual, the sum is x otherwise")
    check_dropout("layer_norm", dropout, seed, x.device)


# PyTorch


def layer_norm_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    linear_bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    return_sum: bool = False,
) -> Any:  # noqa: ANN401
    """`layer_norm` in plain PyTorch with the same dropout mask, computed in fp32 or better.

    PyTorch's own fp16 op keeps 1/sqrt(var + eps) in fp16 on a CPU, where eps = 1e-12 and a constant
    row overflow it to inf and the gradients to NaN.
    """
    _check(x, weight, bias, residual, linear_bias, dropout, seed, return_sum)
    dtype = torch.float32
    for tensor in (x, weight, residual, linear_bias):
        if tensor is not None:
            dtype = torch.promote_types(dtype, tensor.dtype)
    z = x.to(dtype)
    if linear_bias is not None:
        z = z + linear_bias.to(dtype)
    width = x.shape[-1]
    if seed is not None and dropout > 0.0:
        keep = keep_rows(seed, x.numel() // max(width, 1), width, dropout).view(x.shape)
        z = z * (keep.to(dtype) * keep_scale(dropout))
    if residual is not None:
        z = residual.to(dtype) + z
    affine = (weight.to(dtype), None if bias is None else bias.to(dtype))
    y = torch.nn.functional.layer_norm(z, (width,), *affine, eps).to(x.dtype)
    return (y, z.to(residual.dtype)) if return_sum and residual is not None else y


# Triton kernels


@jit()
def _load_rows(
    ptr: Pointer, row: Tile, column: Tile, stride: Scalar, inside: Tile, ACC: tl.constexpr
) -> Tile:
    """Rows of a matrix, zero where not inside."""
    return tl.load(ptr + offset(row, stride)[:, None] + column[None, :], mask=inside, other=0.0).to(
        ACC
    )


@jit()
def _load_vector(ptr: Pointer, column: Tile, N: tl.constexpr, ACC: tl.constexpr) -> Tile:
    """One number per column, as one row."""
    return tl.load(ptr + column, mask=column < N, other=0.0).to(ACC)[None, :]


@jit("rows", "threshold")
def _layer_norm_fwd_kernel(
    x_ptr: Pointer,
    weight_ptr: Pointer,
    bias_ptr: Pointer,
    residual_ptr: Pointer,
    linear_bias_ptr: Pointer,
    seed_ptr: Pointer,
    y_ptr: Pointer,
    z_ptr: Pointer,
    mean_ptr: Pointer,
    rstd_ptr: Pointer,
    rows: Scalar,
    stride_x: Scalar,
    stride_residual: Scalar,
    eps: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    N: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """A pointer that is None switches off what it is for."""
    ACC: tl.constexpr = accumulator(x_ptr.dtype.element_ty)
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.arange(0, BLOCK_N)
    inside = (row < rows)[:, None] & (column < N)[None, :]
    z = _load_rows(x_ptr, row, column, stride_x, inside, ACC)
    if linear_bias_ptr is not None:
        z += _load_vector(linear_bias_ptr, column, N, ACC)
    if seed_ptr is not None:
        keep = keep_rows_tile(tl.load(seed_ptr), row, threshold, BLOCK_R, BLOCK_N)
        z = tl.where(keep, z * keep_scale, 0.0)
    if residual_ptr is not None:
        z += _load_rows(residual_ptr, row, column, stride_residual, inside, ACC)
    result = offset(row, N)[:, None] + column[None, :]
    if z_ptr is not None:
        tl.store(z_ptr + result, z.to(z_ptr.dtype.element_ty), mask=inside)

    # Two passes over registers: E[z^2] - E[z]^2 would cancel for a large mean. The mask comes after
    # the centring, or each column beyond N would add mean^2 to the variance.
    mean = tl.sum(z, 1) / N
    centred = tl.where((column < N)[None, :], z - mean[:, None], 0.0)
    rstd = tl.rsqrt(tl.sum(centred * centred, 1) / N + eps)
    tl.store(mean_ptr + row, mean, mask=row < rows)
    tl.store(rstd_ptr + row, rstd, mask=row < rows)

    y = centred * rstd[:, None] * _load_vector(weight_ptr, column, N, ACC)
    if bias_ptr is not None:
        y += _load_vector(bias_ptr, column, N, ACC)
    tl.store(y_ptr + result, y.to(y_ptr.dtype.element_ty), mask=inside)


@jit("rows", "threshold")
def _layer_norm_bwd_kernel(
    dy_ptr: Pointer,
    dz_ptr: Pointer,
    x_ptr: Pointer,
    weight_ptr: Pointer,
    residual_ptr: Pointer,
    linear_bias_ptr: Pointer,
    seed_ptr: Pointer,
    mean_ptr: Pointer,
    rstd_ptr: Pointer,
    dx_ptr: Pointer,
    dresidual_ptr: Pointer,
    partials_ptr: Pointer,
    rows: Scalar,
    stride_dy: Scalar,
    stride_dz: Scalar,
    stride_x: Scalar,
    stride_residual: Scalar,
    threshold: Scalar,
    keep_scale: Scalar,
    N: tl.constexpr,
    X_IS_SUM: tl.constexpr,
    BIAS: tl.constexpr,
    LINEAR_BIAS: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(x_ptr.dtype.element_ty)
    program = tl.program_id(0)
    column = tl.arange(0, BLOCK_N)
    weight = _load_vector(weight_ptr, column, N, ACC)
    if seed_ptr is not None:
        seed = tl.load(seed_ptr)
    # Summed over rows only once, at the end: inside the loop that would be a reduction across
    # threads.
    dweight = tl.zeros((BLOCK_R, BLOCK_N), ACC)
    dbias = tl.zeros((BLOCK_R, BLOCK_N), ACC)
    dlinear_bias = tl.zeros((BLOCK_R, BLOCK_N), ACC)

    for tile in range(program, tl.cdiv(rows, BLOCK_R), tl.num_programs(0)):
        row = (tile * BLOCK_R + tl.arange(0, BLOCK_R)).to(tl.int64)
        inside = (row < rows)[:, None] & (column < N)[None, :]
        dy = _load_rows(dy_ptr, row, column, stride_dy, inside, ACC)
        z = _load_rows(x_ptr, row, column, stride_x, inside, ACC)
        if seed_ptr is not None:
            keep = keep_rows_tile(seed, row, threshold, BLOCK_R, BLOCK_N)
        if not X_IS_SUM:
            if linear_bias_ptr is not None:
                z += _load_vector(linear_bias_ptr, column, N, ACC)
            if seed_ptr is not None:
                z = tl.where(keep, z * keep_scale, 0.0)
            if residual_ptr is not None:
                z += _load_rows(residual_ptr, row, column, stride_residual, inside, ACC)
        mean = tl.load(mean_ptr + row, mask=row < rows, other=0.0)[:, None]
        rstd = tl.load(rstd_ptr + row, mask=row < rows, other=0.0)[:, None]

        normed = tl.where(inside, (z - mean) * rstd, 0.0)
        dweight += dy * normed
        if BIAS:
            dbias += dy
        dnormed = dy * weight
        along_mean = tl.sum(dnormed, 1)[:, None] / N
        along_normed = tl.sum(dnormed * normed, 1)[:, None] / N
        dz = rstd * (dnormed - along_mean - normed * along_normed)
        if dz_ptr is not None:
            dz += _load_rows(dz_ptr, row, column, stride_dz, inside, ACC)

        result = offset(row, N)[:, None] + column[None, :]
        if dresidual_ptr is not None:
            tl.store(dresidual_ptr + result, dz.to(dresidual_ptr.dtype.element_ty), mask=inside)
        if seed_ptr is not None:
            dz = tl.where(keep, dz * keep_scale, 0.0)
        tl.store(dx_ptr + result, dz.to(dx_ptr.dtype.element_ty), mask=inside)
        if LINEAR_BIAS:
            dlinear_bias += dz  # 0 in rows beyond the last, where rstd is 0

    # [K, P, N]: dweight, then dbias and dlinear_bias where there are such.
    programs = tl.num_programs(0)
    tl.store(partials_ptr + offset(program, N) + column, tl.sum(dweight, 0), mask=column < N)
    if BIAS:
        partial = partials_ptr + offset(programs + program, N) + column
        tl.store(partial, tl.sum(dbias, 0), mask=column < N)
    if LINEAR_BIAS:
        partial = partials_ptr + offset((1 + BIAS) * programs + program, N) + column
        tl.store(partial, tl.sum(dlinear_bias, 0), mask=column < N)


# Launcher


def _as_rows(tensor: Tensor) -> Tensor:
    """[..., N] as [R, N] with neighbouring columns adjacent in memory, copied only if need be.

    The gradient of a sum arrives expanded, with every stride 0. Rows may keep a stride of 0.
    """
    width = tensor.shape[-1]
    tensor = tensor.reshape(tensor.numel() // max(width, 1), width)
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def _optional_rows(tensor: Tensor | None) -> tuple[Tensor | None, int]:
    """The rows and their stride."""
    if tensor is None:
        return None, 0
    tensor = _as_rows(tensor)
    return tensor, tensor.stride(0)


def _sum_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    linear_bias: Tensor | None,
    seed: Tensor | None,
    eps: float,
    dropout: float,
    return_sum: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    y, z, mean, rstd = _forward_results(
        x, weight, bias, residual, linear_bias, seed, eps, dropout, return_sum
    )
    width = x.shape[-1]
    if x.numel() > 0:
        rows, (residual, stride_residual) = _as_rows(x), _optional_rows(residual)
        size = power_of_two(width)
        tile = launch("layer_norm.forward", size=size, dtype=x.dtype, device=x.device)
        grid = (-(-rows.shape[0] // tile.blocks["BLOCK_R"]),)
        with on_device_of(x):
            _layer_norm_fwd_kernel[grid](
                *(rows, weight, bias, residual, linear_bias, seed if dropout > 0.0 else None),
                *(y, z if return_sum else None, mean, rstd),
                *(rows.shape[0], rows.stride(0), stride_residual),
                *(eps, threshold(dropout), keep_scale(dropout)),
                N=width,
                **tile.options,
            )
    return y, z, mean, rstd


def _forward_results(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    linear_bias: Tensor | None,
    seed: Tensor | None,
    eps: float,
    dropout: float,
    return_sum: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if return_sum and residual is not None:
        z = torch.empty(x.shape, dtype=residual.dtype, device=x.device)
    else:
        z = torch.empty(0, dtype=x.dtype, device=x.device)
    mean = torch.empty(x.shape[:-1], dtype=_sum_dtype(x), device=x.device)
    return y, z, mean, torch.empty_like(mean)


layer_norm_fwd = register(
    "layer_norm_fwd(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, Tensor? linear_bias, "
    "Tensor? seed, float eps, float dropout, bool return_sum) -> (Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_results,
)


def _backward(
    dy: Tensor,
    dz: Tensor | None,
    x: Tensor,
    weight: Tensor,
    residual: Tensor | None,
    linear_bias: Tensor | None,
    seed: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    dropout: float,
    bias: bool,
    dx_dtype: torch.dtype,
    dresidual_dtype: torch.dtype | None,
    x_is_sum: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dx, dresidual, sums = _backward_results(
        *(dy, dz, x, weight, residual, linear_bias, seed, mean, rstd, dropout, bias),
        *(dx_dtype, dresidual_dtype, x_is_sum),
    )
    if x.numel() == 0:
        return dx, dresidual, sums.zero_()
    width, device = x.shape[-1], x.device
    dy, x = _as_rows(dy), _as_rows(x)
    (dz, stride_dz), (residual, stride_residual) = _optional_rows(dz), _optional_rows(residual)
    tile = launch("layer_norm.backward", size=power_of_two(width), dtype=x.dtype, device=device)
    tiles = -(-x.shape[0] // tile.blocks["BLOCK_R"])
    programs = first_stage_programs(device, tiles, PROGRAMS_PER_PROCESSOR)
    partials = torch.empty((sums.shape[0], programs, width), dtype=sums.dtype, device=device)
    with on_device_of(x):
        _layer_norm_bwd_kernel[(programs,)](
            *(dy, dz, x, weight, residual, linear_bias, seed if dropout > 0.0 else None),
            *(mean, rstd, dx, None if dresidual_dtype is None else dresidual, partials),
            *(x.shape[0], dy.stride(0), stride_dz, x.stride(0), stride_residual),
            *(threshold(dropout), keep_scale(dropout)),
            N=width,
            X_IS_SUM=x_is_sum,
            BIAS=bias,
            LINEAR_BIAS=linear_bias is not None,
            **tile.options,
        )
        return dx, dresidual, column_sums(partials)


def _backward_results(
    dy: Tensor,
    dz: Tensor | None,
    x: Tensor,
    weight: Tensor,
    residual: Tensor | None,
    linear_bias: Tensor | None,
    seed: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    dropout: float,
    bias: bool,
    dx_dtype: torch.dtype,
    dresidual_dtype: torch.dtype | None,
    x_is_sum: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dx = torch.empty(x.shape, dtype=dx_dtype, device=x.device)
    if dresidual_dtype is None:
        dresidual = torch.empty(0, dtype=dx_dtype, device=x.device)
    else:
        dresidual = torch.empty(x.shape, dtype=dresidual_dtype, device=x.device)
    count = 1 + bias + (linear_bias is not None)
    sums = torch.empty((count, x.shape[-1]), dtype=_sum_dtype(x), device=x.device)
    return dx, dresidual, sums


layer_norm_bwd = register(
    "layer_norm_bwd(Tensor dy, Tensor? dz, Tensor x, Tensor weight, Tensor? residual, "
    "Tensor? linear_bias, Tensor? seed, Tensor mean, Tensor rstd, float dropout, bool bias, "
    "ScalarType dx_dtype, ScalarType? dresidual_dtype, bool x_is_sum) -> (Tensor, Tensor, Tensor)",
    _backward,
    _backward_results,
)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        residual: Tensor | None,
        linear_bias: Tensor | None,
        eps: float,
        dropout: float,
        seed: Tensor | None,
        return_sum: bool,
    ) -> Any:  # noqa: ANN401
        y, z, mean, rstd = layer_norm_fwd(
            x, weight, bias, residual, linear_bias, seed, eps, dropout, return_sum
        )
        saved = (z, None) if return_sum else (x, residual)
        ctx.save_for_backward(*saved, weight, linear_bias, seed, mean, rstd)
        ctx.dropout, ctx.return_sum, ctx.x_dtype = dropout, return_sum, x.dtype
        ctx.residual_dtype = None if residual is None else residual.dtype
        ctx.bias_dtype = None if bias is None else bias.dtype
        return (y, z) if return_sum else y

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        dy: Tensor,
        dz: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        x, residual, weight, linear_bias, seed, mean, rstd = ctx.saved_tensors
        # Without dropout dx and dresidual are the same numbers: written once.
        same = ctx.dropout == 0.0 and ctx.residual_dtype == ctx.x_dtype
        dx, dresidual, sums = layer_norm_bwd(
            *(dy, dz, x, weight, residual, linear_bias, seed, mean, rstd),
            *(ctx.dropout, ctx.bias_dtype is not None, ctx.x_dtype),
            *(None if same else ctx.residual_dtype, ctx.return_sum),
        )
        if ctx.residual_dtype is None:
            dresidual = None
        elif same:
            dresidual = dx
        total = iter(sums.unbind(0))
        dweight = next(total).to(weight.dtype)
        dbias = None if ctx.bias_dtype is None else next(total).to(ctx.bias_dtype)
        dlinear_bias = None if linear_bias is None else next(total).to(linear_bias.dtype)
        return dx, dweight, dbias, dresidual, dlinear_bias, None, None, None, None


def layer_norm_triton(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    linear_bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    return_sum: bool = False,
) -> Any:  # noqa: ANN401
    """`layer_norm` by the Triton kernels, for fp32, fp16 and bf16 and up to 8192 columns.

    Equal inputs give equal bits in both directions: no atomics.
    """
    _check(x, weight, bias, residual, linear_bias, dropout, seed, return_sum)
    if x.shape[-1] > MAX_WIDTH:
        raise ValueError(f"layer_norm: width {x.shape[-1]} is above the kernel's {MAX_WIDTH}")
    vectors = (None if v is None else v.contiguous() for v in (bias, linear_bias))
    bias, linear_bias = vectors
    return _LayerNorm.apply(  # type: ignore[no-untyped-call]
        x, weight.contiguous(), bias, residual, linear_bias, eps, dropout, seed, return_sum
    )


def _triton_rejects(call: Call) -> str | None:
    if call.dtype not in TRITON_DTYPES:
        return f"the kernel takes fp32, fp16 and bf16, not {call.dtype}"
    if call.size > MAX_WIDTH:
        return f"a row of {call.size} does not fit the registers, {MAX_WIDTH} does"
    return can_run_on(call.device)


register_implementation("layer_norm", "triton", layer_norm_triton, rejects=_triton_rejects)
register_implementation("layer_norm", "torch", layer_norm_reference)
register_inductor("layer_norm", layer_norm_reference)
