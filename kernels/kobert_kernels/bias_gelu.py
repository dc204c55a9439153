"""GELU(x + bias), the activation between the two linear layers of a feed-forward block.

    gelu(x) = x Phi(x)
    Phi(x) = (1 + erf(x / sqrt(2))) / 2                          "none", of most checkpoints
    Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2     "tanh", of google-research/bert

(Hendrycks and Gimpel, "Gaussian error linear units", 2016.) x is the product of a linear layer
without its bias: added here it costs nothing, and its gradient, a sum over rows, falls out of the
backward pass.

Both directions are bound by memory. Forward reads x and writes y; backward reads dy and x and
writes dx. Kept are x and the bias: to compute the activation again is cheaper than to read it.

Legend: R rows, N width, P programs of the backward pass that share the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
APPROXIMATIONS = ("none", "tanh")
# Columns of a tile: it divides the widths in use (3072 and 4096 in BERT, 1152 in ModernBERT), and
# in 16 bits a row of it is still two whole lines of 128 bytes.
WIDEST_TILE = 128
# Backward programs for each multiprocessor: with 96 registers in each of 128 threads five fit at
# once. At 32768 x 3072 in bf16 their partial sums are 0.1 % of the traffic.
PROGRAMS_PER_PROCESSOR = 5


def bias_gelu(x: Tensor, bias: Tensor | None = None, *, approximate: str = "none") -> Tensor:
    """GELU(x + bias) over the last dimension (Hendrycks and Gimpel, 2016).

    Args:
        x: [..., N].
        bias: [N], of any floating dtype, such as fp32 where x is fp16 or bf16.
        approximate: "none" for the erf form, which transformers calls "gelu"; "tanh" for the form
            of google-research/bert, "gelu_new" there.

    Returns:
        [..., N] in the dtype of x.

    Raises:
        ValueError: a shape, dtype or device does not fit, the form is unknown, or an implementation
            was asked for that cannot compute this.
    """
    size = x.shape[-1] if x.dim() > 0 else 0
    call = Call(op="bias_gelu", device=x.device, dtype=x.dtype, size=size)
    y: Tensor = choose(call)(x, bias, approximate=approximate)
    return y


def check_activation(op: str, x: Tensor, bias: Tensor | None, approximate: str) -> None:
    """Raise a ValueError unless x, its bias and the form of GELU go together."""
    if x.dim() == 0 or not x.is_floating_point():
        raise ValueError(f"{op}: x must be floating point [..., N], got {x.dtype} {list(x.shape)}")
    if bias is not None and (bias.shape != x.shape[-1:] or not bias.is_floating_point()):
        raise ValueError(
            f"{op}: bias must be floating point {list(x.shape[-1:])}, "
            f"got {bias.dtype} {list(bias.shape)}"
        )
    if bias is not None and bias.device != x.device:
        raise ValueError(f"{op}: bias is on {bias.device}, x is on {x.device}")
    if approximate not in APPROXIMATIONS:
        raise ValueError(f"{op}: approximate must be 'none' or 'tanh', got {approximate!r}")


# PyTorch


def bias_gelu_reference(
    x: Tensor, bias: Tensor | None = None, *, approximate: str = "none"
) -> Tensor:
    """`bias_gelu` in plain PyTorch, computed in fp32 or better."""
    check_activation("bias_gelu", x, bias, approximate)
    y = torch.nn.functional.gelu(biased(x, bias), approximate=approximate)
    return y.to(x.dtype)


def biased(x: Tensor, bias: Tensor | None) -> Tensor:
    """The sum in fp32, or in fp64 if one of them is."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    if bias is None:
        return x.to(dtype)
    dtype = torch.promote_types(dtype, bias.dtype)
    return x.to(dtype) + bias.to(dtype)


# Triton kernels

# Phi(-a) = sigmoid(-(LINEAR + CUBIC a^2) a) in the tanh form; with exp2 both are times log2(e).
_LINEAR = tl.constexpr(2 * math.sqrt(2 / math.pi))
_CUBIC = tl.constexpr(2 * math.sqrt(2 / math.pi) * 0.044715)
_LINEAR_2 = tl.constexpr(2 * math.sqrt(2 / math.pi) * math.log2(math.e))
_CUBIC_2 = tl.constexpr(2 * math.sqrt(2 / math.pi) * 0.044715 * math.log2(math.e))
# The normal density exp(-a^2 / 2) / sqrt(2 pi) as 2^(QUADRATIC_2 a^2 + CONSTANT_2).
_QUADRATIC_2 = tl.constexpr(-math.log2(math.e) / 2)
_CONSTANT_2 = tl.constexpr(-math.log2(2 * math.pi) / 2)


@jit()
def _tail(a: Tile, TANH: tl.constexpr) -> tuple[Tile, Tile]:
    """Phi(-a) and its slope, for a from 0 to 16, where both have become 0 in fp32.

    The erf form takes log2 Phi(-a) from a polynomial, fitted on [0, 6]. Phi(-a) is then wrong by
    3e-9 at most, and by 3e-5 of itself far out, where PyTorch's 1 + erf is a difference of near
    numbers and keeps no digit. It costs 14 instructions on sm_90. tl.erf costs 31, as each thread
    first selects its coefficients: on an H200 to issue them would take forward 1.4 times as long
    as the memory takes.
    """
    square = a * a
    if TANH:
        e = tl.exp2(-a * (square * _CUBIC_2 + _LINEAR_2))  # at most 1: it cannot overflow
        r = 1 / (1 + e)
        tail = e * r
        slope = tail * r * (square * (3 * _CUBIC) + _LINEAR)
    else:
        p = 9.24886251e-7 - 3.16068984e-8 * a
        p = p * a - 1.15894036e-5
        p = p * a + 7.94080988e-5
        p = p * a - 2.87070463e-4
        p = p * a + 9.2774344e-6
        p = p * a + 6.94270479e-3
        p = p * a - 5.24426699e-2
        p = p * a - 4.59219277e-1
        p = p * a - 1.15110445
        tail = tl.exp2(p * a - 1)
        slope = tl.exp2(square * _QUADRATIC_2 + _CONSTANT_2)
    return tail, slope


@jit()
def gelu_and_slope(x: Tile, TANH: tl.constexpr) -> tuple[Tile, Tile]:
    """GELU of each element and its derivative; what is not used is not computed.

    x Phi(x) is max(x, 0) - |x| Phi(-|x|) on either side of 0.
    """
    size = tl.abs(x)
    tail, slope = _tail(tl.minimum(size, 16.0), TANH)
    left = tail - size * slope  # the derivative at -|x|; at |x| it is one less that
    return tl.maximum(x, 0.0) - size * tail, tl.where(x < 0, left, 1 - left)


@jit()
def load_tile(
    ptr: Pointer, row: Tile, column: Tile, stride: Scalar, inside: Tile, ACC: tl.constexpr
) -> Tile:
    """A tile of a matrix, zero where not inside."""
    return tl.load(ptr + offset(row, stride)[:, None] + column[None, :], mask=inside, other=0.0).to(
        ACC
    )


@jit()
def load_bias(ptr: Pointer, column: Tile, N: Scalar, ACC: tl.constexpr) -> Tile:
    """The bias of each column, as one row."""
    return tl.load(ptr + column, mask=column < N, other=0.0).to(ACC)[None, :]


@jit()
def store_tile(
    ptr: Pointer, value: Tile, row: Tile, column: Tile, stride: Scalar, inside: Tile
) -> None:
    """A tile of a matrix, rounded to its dtype."""
    place = ptr + offset(row, stride)[:, None] + column[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty), mask=inside)


# One axis of the grid for rows and columns alike, as only the first may exceed 65535. Neighbouring
# programs have neighbouring columns.


@jit("rows")
def _bias_gelu_fwd_kernel(
    x_ptr: Pointer,
    bias_ptr: Pointer,
    y_ptr: Pointer,
    rows: Scalar,
    N: Scalar,
    stride_x: Scalar,
    TANH: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(x_ptr.dtype.element_ty)
    blocks = tl.cdiv(N, BLOCK_N)
    row = (tl.program_id(0) // blocks).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (row < rows)[:, None] & (column < N)[None, :]
    x = load_tile(x_ptr, row, column, stride_x, inside, ACC)
    if bias_ptr is not None:
        x += load_bias(bias_ptr, column, N, ACC)
    y, _ = gelu_and_slope(x, TANH)
    store_tile(y_ptr, y, row, column, N, inside)


@jit("rows")
def _bias_gelu_bwd_kernel(
    dy_ptr: Pointer,
    x_ptr: Pointer,
    bias_ptr: Pointer,
    dx_ptr: Pointer,
    partials_ptr: Pointer,
    rows: Scalar,
    N: Scalar,
    stride_dy: Scalar,
    stride_x: Scalar,
    TANH: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    ACC: tl.constexpr = accumulator(x_ptr.dtype.element_ty)
    blocks = tl.cdiv(N, BLOCK_N)
    program = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    if bias_ptr is not None:
        bias = load_bias(bias_ptr, column, N, ACC)
    # Summed over rows only once, at the end: inside the loop that would be a reduction across
    # threads.
    dbias = tl.zeros((BLOCK_R, BLOCK_N), ACC)
    for tile in range(program, tl.cdiv(rows, BLOCK_R), tl.num_programs(0) // blocks):
        row = (tile * BLOCK_R + tl.arange(0, BLOCK_R)).to(tl.int64)
        inside = (row < rows)[:, None] & (column < N)[None, :]
        dy = load_tile(dy_ptr, row, column, stride_dy, inside, ACC)
        x = load_tile(x_ptr, row, column, stride_x, inside, ACC)
        if bias_ptr is not None:
            x += bias
        _, slope = gelu_and_slope(x, TANH)
        dx = dy * slope
        store_tile(dx_ptr, dx, row, column, N, inside)
        dbias += dx  # 0 where dy was not loaded
    if partials_ptr is not None:
        tl.store(partials_ptr + offset(program, N) + column, tl.sum(dbias, 0), mask=column < N)


# Launcher


def as_rows(tensor: Tensor) -> Tensor:
    """[..., N] as [R, N] with neighbouring columns adjacent in memory, copied only if need be.

    The gradient of a sum arrives expanded, with every stride 0. Rows may keep a stride of 0.
    """
    width = tensor.shape[-1]
    tensor = tensor.reshape(tensor.numel() // max(width, 1), width)
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def grid(rows: int, width: int, blocks: Mapping[str, int]) -> tuple[int, int]:
    """How many tiles lie below and beside each other."""
    return -(-rows // blocks["BLOCK_R"]), -(-width // blocks["BLOCK_N"])


def programs_per_column(
    device: torch.device, rows: int, width: int, blocks: Mapping[str, int], per_processor: int
) -> int:
    """P: those of all columns of tiles together fill the GPU once."""
    down, across = grid(rows, width, blocks)
    programs = first_stage_programs(device, down * across, per_processor)
    return max(1, programs // across)


def _forward(x: Tensor, bias: Tensor | None, tanh: bool) -> Tensor:
    y = _forward_result(x, bias, tanh)
    if x.numel() > 0:
        rows, width = as_rows(x), x.shape[-1]
        size = min(power_of_two(width), WIDEST_TILE)
        tile = launch("bias_gelu.forward", size=size, dtype=x.dtype, device=x.device)
        down, across = grid(rows.shape[0], width, tile.blocks)
        with on_device_of(x):
            _bias_gelu_fwd_kernel[(down * across,)](
                *(rows, bias, y, rows.shape[0], width, rows.stride(0)), TANH=tanh, **tile.options
            )
    return y


def _forward_result(x: Tensor, bias: Tensor | None, tanh: bool) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


bias_gelu_fwd = register(
    "bias_gelu_fwd(Tensor x, Tensor? bias, bool tanh) -> Tensor", _forward, _forward_result
)


def _backward(
    dy: Tensor, x: Tensor, bias: Tensor | None, tanh: bool, sum_rows: bool
) -> tuple[Tensor, Tensor]:
    dx, dbias = _backward_results(dy, x, bias, tanh, sum_rows)
    if x.numel() == 0:
        return dx, dbias.zero_()
    dy, x, width, device = as_rows(dy), as_rows(x), x.shape[-1], x.device
    size = min(power_of_two(width), WIDEST_TILE)
    tile = launch("bias_gelu.backward", size=size, dtype=x.dtype, device=device)
    rows, across = x.shape[0], grid(1, width, tile.blocks)[1]
    programs = programs_per_column(device, rows, width, tile.blocks, PROGRAMS_PER_PROCESSOR)
    partials = None
    if sum_rows:
        partials = torch.empty((1, programs, width), dtype=dbias.dtype, device=device)
    with on_device_of(x):
        _bias_gelu_bwd_kernel[(programs * across,)](
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


bias_gelu_bwd = register(
    "bias_gelu_bwd(Tensor dy, Tensor x, Tensor? bias, bool tanh, bool sum_rows) "
    "-> (Tensor, Tensor)",
    _backward,
    _backward_results,
)


class _BiasGelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        x: Tensor,
        bias: Tensor | None,
        tanh: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, bias)
        ctx.tanh = tanh
        y: Tensor = bias_gelu_fwd(x, bias, tanh)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, bias = ctx.saved_tensors
        sum_rows = bias is not None and ctx.needs_input_grad[1]
        dx, dbias = bias_gelu_bwd(dy, x, bias, ctx.tanh, sum_rows)
        return dx, dbias.to(bias.dtype) if sum_rows else None, None


def bias_gelu_triton(x: Tensor, bias: Tensor | None = None, *, approximate: str = "none") -> Tensor:
    """`bias_gelu` by the Triton kernels, for fp32, fp16 and bf16.

    Equal inputs give equal bits in both directions: no atomics.
    """
    check_activation("bias_gelu", x, bias, approximate)
    bias = None if bias is None else bias.contiguous()
    y: Tensor = _BiasGelu.apply(x, bias, approximate == "tanh")  # type: ignore[no-untyped-call]
    return y


def _triton_rejects(call: Call) -> str | None:
    if call.dtype not in TRITON_DTYPES:
        return f"the kernel takes fp32, fp16 and bf16, not {call.dtype}"
    return can_run_on(call.device)


register_implementation("bias_gelu", "triton", bias_gelu_triton, rejects=_triton_rejects)
register_implementation("bias_gelu", "torch", bias_gelu_reference)
register_inductor("bias_gelu", bias_gelu_reference)
