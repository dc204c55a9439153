"""GeGLU, the gated feed-forward activation of ModernBERT.

    y = gelu(a) * g,  a = x[..., :F] + bias[:F],  g = x[..., F:] + bias[F:]

(Shazeer, "GLU variants improve Transformer", 2020.) x is the product of one linear layer with 2F
outputs, without its bias. The first half is activated, as in transformers' ModernBERT. The result
is rounded once, at the store.

Both directions are bound by memory. Forward reads x and writes y, half as wide; backward reads dy
and x and writes dx. Kept are x and the bias: to compute the activation again is cheaper than to
read it.

Legend: R rows, F width of the result, P programs of the backward pass that share the rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._registration import register
from ._triton import Pointer, Scalar, accumulator, can_run_on, jit, offset, on_device_of, tl
from .bias_gelu import (
    TRITON_DTYPES,
    WIDEST_TILE,
    as_rows,
    biased,
    check_activation,
    gelu_and_slope,
    grid,
    load_bias,
    load_tile,
    programs_per_column,
    store_tile,
)
from .column_sums import column_sums
from .dispatch import Call, choose, register_inductor
from .dispatch import register as register_implementation
from .launches import launch, power_of_two

# Backward programs for each multiprocessor: with 138 registers in each of 128 threads three fit at
# once. At 32768 x 1152 in bf16 their partial sums are 0.2 % of the traffic.
PROGRAMS_PER_PROCESSOR = 3


def geglu(x: Tensor, bias: Tensor | None = None, *, approximate: str = "none") -> Tensor:
    """GELU of one half of x + bias times the other half (Shazeer, 2020).

    Args:
        x: [..., 2F]; the first F columns are activated, the others are the gate.
        bias: [2F], of any floating dtype, such as fp32 where x is fp16 or bf16.
        approximate: the form of GELU, "none" (erf) or "tanh", as in `bias_gelu`.

    Returns:
        [..., F] in the dtype of x.

    Raises:
        ValueError: a shape, dtype or device does not fit, the form is unknown, or an implementation
            was asked for that cannot compute this.
    """
    size = x.shape[-1] // 2 if x.dim() > 0 else 0
    call = Call(op="geglu", device=x.device, dtype=x.dtype, size=size)
    y: Tensor = choose(call)(x, bias, approximate=approximate)
    return y


def _check(x: Tensor, bias: Tensor | None, approximate: str) -> None:
    check_activation("geglu", x, bias, approximate)
    if x.shape[-1] % 2 != 0:
        raise ValueError(f"geglu: x must have two halves [..., 2F], got {list(x.shape)}")


# PyTorch


def geglu_reference(x: Tensor, bias: Tensor | None = None, *, approximate: str = "none") -> Tensor:
    """`geglu` in plain PyTorch, computed in fp32 or better."""
    _check(x, bias, approximate)
    activated, gate = biased(x, bias).chunk(2, -1)
    y = torch.nn.functional.gelu(activated, approximate=approximate) * gate
    return y.to(x.dtype)


# Triton kernels


@jit("rows")
def _geglu_fwd_kernel(
    x_ptr: Pointer,
    bias_ptr: Pointer,
    y_ptr: Pointer,
    rows: Scalar,
    F: Scalar,
    stride_x: Scalar,
    TANH: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(x_ptr.dtype.element_ty)
    blocks = tl.cdiv(F, BLOCK_N)
    row = (tl.program_id(0) // blocks).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (row < rows)[:, None] & (column < F)[None, :]
    activated = load_tile(x_ptr, row, column, stride_x, inside, ACC)
    gate = load_tile(x_ptr + F, row, column, stride_x, inside, ACC)
    if bias_ptr is not None:
        activated += load_bias(bias_ptr, column, F, ACC)
        gate += load_bias(bias_ptr + F, column, F, ACC)
    gelu, _ = gelu_and_slope(activated, TANH)
    store_tile(y_ptr, gelu * gate, row, column, F, inside)


@jit("rows")
def _geglu_bwd_kernel(
    dy_ptr: Pointer,
    x_ptr: Pointer,
    bias_ptr: Pointer,
    dx_ptr: Pointer,
    partials_ptr: Pointer,
    rows: Scalar,
    F: Scalar,
    stride_dy: Scalar,
    stride_x: Scalar,
    TANH: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(x_ptr.dtype.element_ty)
    blocks = tl.cdiv(F, BLOCK_N)
    program = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    if bias_ptr is not None:
        activated_bias = load_bias(bias_ptr, column, F, ACC)
        gate_bias = load_bias(bias_ptr + F, column, F, ACC)
    # Summed over rows only once, at the end, as in bias_gelu.
    dactivated_sum = tl.zeros((BLOCK_R, BLOCK_N), ACC)
    dgate_sum = tl.zeros((BLOCK_R, BLOCK_N), ACC)
    for tile in range(program, tl.cdiv(rows, BLOCK_R), tl.num_programs(0) // blocks):
        row = (tile * BLOCK_R + tl.arange(0, BLOCK_R)).to(tl.int64)
        inside = (row < rows)[:, None] & (column < F)[None, :]
        dy = load_tile(dy_ptr, row, column, stride_dy, inside, ACC)
        activated = load_tile(x_ptr, row, column, stride_x, inside, ACC)
        gate = load_tile(x_ptr + F, row, column, stride_x, inside, ACC)
        if bias_ptr is not None:
            activated += activated_bias
            gate += gate_bias
        gelu, slope = gelu_and_slope(activated, TANH)
        dactivated = dy * gate * slope
        dgate = dy * gelu
        store_tile(dx_ptr, dactivated, row, column, 2 * F, inside)
        store_tile(dx_ptr + F, dgate, row, column, 2 * F, inside)
        dactivated_sum += dactivated  # 0 where dy was not loaded
        dgate_sum += dgate
    if partials_ptr is not None:
        partial = partials_ptr + offset(program, 2 * F) + column
        tl.store(partial, tl.sum(dactivated_sum, 0), mask=column < F)
        tl.store(partial + F, tl.sum(dgate_sum, 0), mask=column < F)


# Launcher


def _forward(x: Tensor, bias: Tensor | None, tanh: bool) -> Tensor:
    y = _forward_result(x, bias, tanh)
    if x.numel() > 0:
        rows, width = as_rows(x), y.shape[-1]
        size = min(power_of_two(width), WIDEST_TILE)
        tile = launch("geglu.forward", size=size, dtype=x.dtype, device=x.device)
        down, across = grid(rows.shape[0], width, tile.blocks)
        with on_device_of(x):
            _geglu_fwd_kernel[(down * across,)](
                *(rows, bias, y, rows.shape[0], width, rows.stride(0)), TANH=tanh, **tile.options
            )
    return y


def _forward_result(x: Tensor, bias: Tensor | None, tanh: bool) -> Tensor:
    return torch.empty((*x.shape[:-1], x.shape[-1] // 2), dtype=x.dtype, device=x.device)


geglu_fwd = register(
    "geglu_fwd(Tensor x, Tensor? bias, bool tanh) -> Tensor", _forward, _forward_result
)


def _backward(
    dy: Tensor, x: Tensor, bias: Tensor | None, tanh: bool, sum_rows: bool
) -> tuple[Tensor, Tensor]:
    dx, dbias = _backward_results(dy, x, bias, tanh, sum_rows)
    if x.numel() == 0:
        return dx, dbias.zero_()
    dy, x, width, device = as_rows(dy), as_rows(x), dy.shape[-1], x.device
    size = min(power_of_two(width), WIDEST_TILE)
    tile = launch("geglu.backward", size=size, dtype=x.dtype, device=device)
    rows, across = x.shape[0], grid(1, width, tile.blocks)[1]
    programs = programs_per_column(device, rows, width, tile.blocks, PROGRAMS_PER_PROCESSOR)
    partials = None
    if sum_rows:
        partials = torch.empty((1, programs, 2 * width), dtype=dbias.dtype, device=device)
    with on_device_of(x):
        _geglu_bwd_kernel[(programs * across,)](
            *(dy, x, bias, dx, partials, rows, width, dy.stride(0), x.stride(0)),
            TANH=tanh,
            **tile.options,
        )
        return dx, dbias if partials is None else column_sums(partials)[0]


def _backward_results(
    dy: Tensor, x: Tensor, bias: Tensor | None, tanh: bool, sum_rows: bool
) -> tuple[Tensor, Tensor]:
    dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    dtype = torch.promote_types(x.dtype, torch.float32)
    return dx, torch.empty(x.shape[-1] if sum_rows else 0, dtype=dtype, device=x.device)


geglu_bwd = register(
    "geglu_bwd(Tensor dy, Tensor x, Tensor? bias, bool tanh, bool sum_rows) -> (Tensor, Tensor)",
    _backward,
    _backward_results,
)


class _GeGLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        x: Tensor,
        bias: Tensor | None,
        tanh: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, bias)
        ctx.tanh = tanh
        y: Tensor = geglu_fwd(x, bias, tanh)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, bias = ctx.saved_tensors
        sum_rows = bias is not None and ctx.needs_input_grad[1]
        dx, dbias = geglu_bwd(dy, x, bias, ctx.tanh, sum_rows)
        return dx, dbias.to(bias.dtype) if sum_rows else None, None


def geglu_triton(x: Tensor, bias: Tensor | None = None, *, approximate: str = "none") -> Tensor:
    """`geglu` by the Triton kernels, for fp32, fp16 and bf16.

    Equal inputs give equal bits in both directions: no atomics.
    """
    _check(x, bias, approximate)
    bias = None if bias is None else bias.contiguous()
    y: Tensor = _GeGLU.apply(x, bias, approximate == "tanh")  # type: ignore[no-untyped-call]
    return y


def _triton_rejects(call: Call) -> str | None:
    if call.dtype not in TRITON_DTYPES:
        return f"the kernel takes fp32, fp16 and bf16, not {call.dtype}"
    return can_run_on(call.device)


register_implementation("geglu", "triton", geglu_triton, rejects=_triton_rejects)
register_implementation("geglu", "torch", geglu_reference)
register_inductor("geglu", geglu_reference)
