"""Cross-entropy over a vocabulary; the gradient takes the place of the logits.

    loss of a row = (1 - s) * (lse - x[label]) + s * (lse - mean(x)) + z * lse^2
    lse = log(sum(exp(x)));  s label smoothing, z the weight of the z-loss
    d loss / d x  = exp(x - lse) * (1 + 2 * z * lse) - s / V - (1 - s) * [x is x[label]]

(Label smoothing: Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR
2016. z-loss, which keeps lse near 0: Chowdhery et al., "PaLM", 2022.) The loss is the mean over the
rows whose label is not `ignored`.

The logits are by far the largest tensor of BERT: of 4915 masked tokens over 128 thousand words they
take 1.26 GB in bf16. So forward, which has each row at hand anyway, writes the gradient over it,
divided by the number of used rows, which stays on the GPU. That one buffer is saved for backward,
which multiplies it by the incoming gradient and does nothing at all where that is 1. fp16 is the
exception: it cannot hold p / M, so there the division waits for backward and the loss scale.

`linear_cross_entropy` computes the logits too, all at once or, past a budget, some rows at a time.

Legend: M rows, V words of the vocabulary, h width of x.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._registration import autocast_dtype, register
from ._triton import Pointer, Scalar, Tile, accumulator, can_run_on, jit, offset, on_device_of, tl
from .column_sums import first_stage_programs
from .dispatch import Call, choose, register_inductor
from .dispatch import register as register_implementation
from .launches import launch, power_of_two

# What retain_graph says, in a backward pass; there since torch 2.5.
_graph_is_kept = torch._C._autograd._get_current_graph_task_keep_graph

TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_VOCABULARY = 2**18  # the largest in launches.json; XLM-R has 250002 words
IGNORED = -100

SCALE_PROGRAMS_PER_PROCESSOR = 4
CPU_PIECE = 2**20  # logits that the reference takes at a time on a CPU: 4 MiB in fp32


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = IGNORED,
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the used rows, and how many of them have their label on top.

    **The logits are consumed**: where a gradient is needed it is written over them, and after this
    call they hold no logits. What autograd saved of them before, or is asked to differentiate
    after, raises; not noticed are a later use of a *view* of them, and one inside torch.compile.
    Under `torch.no_grad`, and where no gradient is asked for, the logits stay as they are.

    Args:
        logits: [M, V], fp32, fp16 or bf16; not a leaf that requires grad. Copied first if columns
            are not adjacent or rows overlap.
        labels: int64 or int32 [M]. A label outside [0, V) other than `ignored` makes the loss and
            the row's gradient NaN on a GPU, and raises IndexError on a CPU.
        label_smoothing: the share of the target that is spread over all words, in [0, 1].
        z_loss: weight of lse^2.
        ignored: rows with this label count for nothing and get a gradient of exactly 0.

    Returns:
        The loss, fp32 (fp64 for fp64), and the number of used rows whose label has the highest
        logit, int64, both of shape []. A tie counts as right, a row whose loss is NaN as wrong.
        With no used row the loss and all gradients are 0, where PyTorch has NaN.

    Raises:
        ValueError: a shape, dtype or device does not fit, an option is out of range, or the logits
            are a leaf that requires grad.
    """
    _refuse_leaf(logits)
    call = Call(op="cross_entropy", device=logits.device, dtype=logits.dtype, size=logits.shape[-1])
    result: tuple[Tensor, Tensor] = choose(call)(
        logits, labels, label_smoothing=label_smoothing, z_loss=z_loss, ignored=ignored
    )
    return result


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = IGNORED,
    budget_bytes: int = 2**30,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy` of the logits x @ weight^T + bias, which never leave this function.

    Nothing is consumed. Logits are computed in the dtype of x, or in autocast's inside its region;
    weight and bias are cast to it, and their gradients have their own dtype. If all logits fit the
    budget they are kept, as gradients, for backward. Otherwise they are made some rows at a time,
    all gradients already in forward, and nothing of size [M, V] ever exists.

    Args:
        x: [M, h].
        weight: [V, h], such as the word embeddings.
        bias: [V], or None.
        labels: int64 or int32 [M].
        label_smoothing: as `cross_entropy`.
        z_loss: as `cross_entropy`.
        ignored: as `cross_entropy`.
        budget_bytes: what the logits may take, but for a single row.

    Returns:
        The loss and the number of rows with the right word on top, as `cross_entropy`.

    Raises:
        ValueError: a shape, dtype or device does not fit, or an option is out of range.
    """
    call = Call(
        op="linear_cross_entropy",
        device=x.device,
        dtype=autocast_dtype(x),
        size=weight.shape[0],
    )
    result: tuple[Tensor, Tensor] = choose(call)(
        *(x, weight, bias, labels),
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        ignored=ignored,
        budget_bytes=budget_bytes,
    )
    return result


def _check(logits: Tensor, labels: Tensor, label_smoothing: float, z_loss: float) -> None:
    if logits.dim() != 2 or logits.shape[1] == 0 or not logits.is_floating_point():
        raise ValueError(
            "cross_entropy: logits must be floating point [M, V], "
            f"got {logits.dtype} {list(logits.shape)}"
        )
    if labels.device != logits.device:
        raise ValueError(f"cross_entropy: labels are on {labels.device}, logits on {logits.device}")
    _check_labels("cross_entropy", labels, logits.shape[0], label_smoothing, z_loss)


def _check_labels(
    op: str, labels: Tensor, rows: int, label_smoothing: float, z_loss: float
) -> None:
    if labels.dtype not in (torch.int64, torch.int32) or labels.shape != (rows,):
        raise ValueError(
            f"{op}: labels must be int64 or int32 [{rows}], got {labels.dtype} {list(labels.shape)}"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"{op}: label_smoothing must be from 0 to 1, got {label_smoothing}")
    if not z_loss >= 0.0:
        raise ValueError(f"{op}: z_loss must not be negative, got {z_loss}")


def _check_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    label_smoothing: float,
    z_loss: float,
    budget_bytes: int,
) -> None:
    op = "linear_cross_entropy"
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"{op}: x must be floating point [M, h], got {x.dtype} {list(x.shape)}")
    if weight.dim() != 2 or weight.shape[1] != x.shape[1] or weight.shape[0] == 0:
        raise ValueError(f"{op}: weight must be [V, {x.shape[1]}], got {list(weight.shape)}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"{op}: bias must be [{weight.shape[0]}], got {list(bias.shape)}")
    for name, tensor in (("weight", weight), ("bias", bias), ("labels", labels)):
        if tensor is not None and tensor.device != x.device:
            raise ValueError(f"{op}: {name} is on {tensor.device}, x is on {x.device}")
    _check_labels(op, labels, x.shape[0], label_smoothing, z_loss)
    if budget_bytes < 0:
        raise ValueError(f"{op}: budget_bytes must not be negative, got {budget_bytes}")


def _check_vocabulary(op: str, words: int) -> None:
    if words > MAX_VOCABULARY:
        raise ValueError(f"{op}: {words} words are above the kernel's {MAX_VOCABULARY}")


def _refuse_leaf(logits: Tensor) -> None:
    """As torch does for every op in place; inside torch.compile it cannot be told."""
    if not (torch.is_grad_enabled() and logits.requires_grad) or torch.compiler.is_compiling():
        return
    whole = logits if logits._base is None else logits._base
    if whole.is_leaf and whole.requires_grad:
        raise ValueError(
            "cross_entropy: logits are a leaf that requires grad, and their gradient would be "
            "written over them: pass logits.clone()"
        )


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


# PyTorch


def cross_entropy_reference(
    logits: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = IGNORED,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy` in plain PyTorch, computed in fp32 or better; the logits stay as they are.

    On a CPU rows are taken some at a time: temporaries of a few MiB stay in the cache and are not
    given back to the system each time. At 2048 x 32000 forward and backward take about half (fp32)
    and a quarter (bf16) of the time in one piece.
    """
    _check(logits, labels, label_smoothing, z_loss)
    rows, vocabulary = logits.shape
    if logits.device.type == "cpu" and not torch.compiler.is_compiling():
        rows = max(1, CPU_PIECE // vocabulary)
    pieces = [
        _rows_reference(part, part_labels, label_smoothing, z_loss, ignored)
        for part, part_labels in zip(*(torch.split(t, rows) for t in (logits, labels)), strict=True)
    ]
    total = torch.stack([losses.sum() for losses, _ in pieces]).sum()
    correct = torch.stack([hits.sum() for _, hits in pieces]).sum()
    return total / _used(labels, ignored), correct


def _rows_reference(
    logits: Tensor, labels: Tensor, label_smoothing: float, z_loss: float, ignored: int
) -> tuple[Tensor, Tensor]:
    """The loss of each row, 0 where ignored, and whether it has its label on top."""
    x = logits.to(_sum_dtype(logits.dtype))
    labels = labels.long()
    used = labels != ignored
    losses = F.cross_entropy(
        *(x, labels),
        ignore_index=ignored,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    if z_loss > 0.0:
        losses = losses + torch.where(used, z_loss * x.logsumexp(1).square(), 0.0)
    with torch.no_grad():
        # Not argmax, which takes 8 times as long on a CPU.
        at_label = x.gather(1, torch.where(used, labels, 0)[:, None])[:, 0]
        hits = used & (at_label == x.amax(1)) & ~losses.isnan()
    return losses, hits


def _used(labels: Tensor, ignored: int) -> Tensor:
    """How many rows are used, at least 1."""
    return (labels != ignored).sum().clamp(min=1)


def linear_cross_entropy_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = IGNORED,
    budget_bytes: int = 2**30,
) -> tuple[Tensor, Tensor]:
    """`linear_cross_entropy` in plain PyTorch."""
    _check_linear(x, weight, bias, labels, label_smoothing, z_loss, budget_bytes)
    rows = _rows_within(budget_bytes, x, weight)
    if rows < x.shape[0]:
        options = (label_smoothing, z_loss, ignored)
        return _in_chunks(x, weight, bias, labels, rows, False, options)
    return cross_entropy_reference(
        *(_logits(x, weight, bias), labels),
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        ignored=ignored,
    )


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    dtype = autocast_dtype(x)
    return F.linear(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))


# Triton kernels


@jit("rows", "ignored")
def _cross_entropy_count_kernel(
    labels_ptr: Pointer, count_ptr: Pointer, rows: Scalar, ignored: Scalar, BLOCK_R: tl.constexpr
) -> None:
    """The number of used rows, at least 1, by one program."""
    count = tl.zeros((BLOCK_R,), tl.int32)
    for first in range(0, rows, BLOCK_R):
        row = (first + tl.arange(0, BLOCK_R)).to(tl.int64)
        label = tl.load(labels_ptr + row, mask=row < rows, other=ignored)
        count += (label != ignored).to(tl.int32)
    tl.store(count_ptr, tl.maximum(tl.sum(count, 0), 1).to(count_ptr.dtype.element_ty))


@jit()
def _load_logits(start: Tile, column: Tile, used: Tile, V: Scalar, ACC: tl.constexpr) -> Tile:
    """A tile of rows, -inf beyond their end. Ignored rows are not read."""
    inside = used[:, None] & (column < V)[None, :]
    x = tl.load(start[:, None] + column[None, :], mask=inside, other=float("-inf"))
    return x.to(ACC)


@jit()
def _powers(x: Tile, top: Tile) -> Tile:
    """exp(x - top). Where both are -inf, as in a tile of nothing but -inf, it is 0 and not NaN."""
    log2_e: tl.constexpr = 1.4426950408889634
    return tl.exp2((x - tl.where(top == float("-inf"), 0.0, top)) * log2_e)


@jit()
def _store_gradient(
    start: Tile,
    column: Tile,
    row_inside: Tile,
    used: Tile,
    label: Tile,
    power: Tile,
    share: Tile,
    at_label: Scalar,
    everywhere: Scalar,
    V: Scalar,
) -> None:
    """Write power * share - everywhere, less at_label in the label's column; 0 where ignored."""
    gradient = power * share[:, None] - everywhere
    gradient = tl.where(column[None, :] == label[:, None], gradient - at_label, gradient)
    gradient = tl.where(used[:, None], gradient, 0.0)
    inside = row_inside[:, None] & (column < V)[None, :]
    gradient = gradient.to(start.dtype.element_ty)
    tl.store(start[:, None] + column[None, :], gradient, mask=inside)


@jit("rows", "ignored")
def _cross_entropy_fwd_kernel(
    logits_ptr: Pointer,
    labels_ptr: Pointer,
    count_ptr: Pointer,
    losses_ptr: Pointer,
    hits_ptr: Pointer,
    rows: Scalar,
    V: Scalar,
    stride: Scalar,
    ignored: Scalar,
    label_smoothing: Scalar,
    z_loss: Scalar,
    GRADIENT: tl.constexpr,
    SMOOTHING: tl.constexpr,
    Z_LOSS: tl.constexpr,
    ONE_TILE: tl.constexpr,
    STAGES: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
) -> None:
    """Loss and hit of each row, and if GRADIENT the gradient over the logits.

    Without `count_ptr` the gradient is not divided by the number of used rows.
    """
    ACC: tl.constexpr = accumulator(logits_ptr.dtype.element_ty)
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    column = tl.arange(0, BLOCK_V)
    label = tl.load(labels_ptr + row, mask=row < rows, other=ignored)
    used = label != ignored
    known = used & (label >= 0) & (label < V)
    start = logits_ptr + offset(row, stride)
    x_label = tl.load(start + label, mask=known, other=float("nan")).to(ACC)
    label = tl.where(known, label, -1).to(tl.int32)  # as columns are; -1 is none of them
    # Means are taken of x - pivot: a large constant in a whole row costs no digits.
    pivot = tl.where(x_label == float("-inf"), 0.0, x_label)

    if ONE_TILE:
        x = _load_logits(start, column, used, V, ACC)
        top = tl.max(x, 1)
        power = _powers(x, top[:, None])
        total = tl.sum(power, 1)
        if SMOOTHING:
            above = tl.sum(tl.where((column < V)[None, :], x - pivot[:, None], 0.0), 1)
    else:
        # Online (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), with
        # one maximum for the tile but a sum for each column of it: one reduction across threads
        # per step instead of two.
        top = tl.full((BLOCK_R,), float("-inf"), ACC)
        totals = tl.zeros((BLOCK_R, BLOCK_V), ACC)
        above = tl.zeros((BLOCK_R,), ACC)
        for first in tl.range(0, V, BLOCK_V, num_stages=STAGES):
            x = _load_logits(start, first + column, used, V, ACC)
            new_top = tl.maximum(top, tl.max(x, 1))
            totals = totals * _powers(top, new_top)[:, None] + _powers(x, new_top[:, None])
            top = new_top
            if SMOOTHING:
                inside = (first + column < V)[None, :]
                above += tl.sum(tl.where(inside, x - pivot[:, None], 0.0), 1)
        total = tl.sum(totals, 1)

    # Of ignored rows, of which nothing was read, let no infinity come.
    top, total = tl.where(used, top, 0.0), tl.where(used, total, 1.0)
    log_total = tl.log(total)
    lse = top + log_total
    loss = top - x_label + log_total  # not lse - x_label: for logits near 1000, 0.00006 off
    if SMOOTHING:
        smooth = top - pivot + log_total - above / V
        loss = (1.0 - label_smoothing) * loss + label_smoothing * smooth
    if Z_LOSS:
        loss += z_loss * lse * lse
    hit = used & (x_label == top) & (loss == loss)
    tl.store(losses_ptr + row, tl.where(used, loss, 0.0), mask=row < rows)
    tl.store(hits_ptr + row, hit.to(tl.int32), mask=row < rows)

    if GRADIENT:
        unit = 1.0
        if count_ptr is not None:
            unit = 1.0 / tl.load(count_ptr)
        share = unit / total
        if Z_LOSS:
            share *= 1.0 + 2.0 * z_loss * lse
        share = tl.where(known, share, float("nan"))
        everywhere = unit * label_smoothing / V
        at_label = unit * (1.0 - label_smoothing)
        # Every thread has read its copy of x_label before any writes over it.
        tl.debug_barrier()
        if ONE_TILE:
            _store_gradient(
                *(start, column, row < rows, used, label, power, share, at_label, everywhere), V
            )
        else:
            # From the last tile to the first: the most recently read are those that the L2 cache
            # still has where a row on every multiprocessor is more than it holds.
            last = (tl.cdiv(V, BLOCK_V) - 1) * BLOCK_V
            for back in range(0, V, BLOCK_V):
                here = last - back + column
                power = _powers(_load_logits(start, here, used, V, ACC), top[:, None])
                _store_gradient(
                    *(start, here, row < rows, used, label, power, share, at_label, everywhere), V
                )


@jit("rows")
def _cross_entropy_total_kernel(
    losses_ptr: Pointer,
    hits_ptr: Pointer,
    count_ptr: Pointer,
    loss_ptr: Pointer,
    correct_ptr: Pointer,
    rows: Scalar,
    BLOCK_R: tl.constexpr,
) -> None:
    """The mean loss and the number of hits, by one program: always in the same order."""
    total = tl.zeros((BLOCK_R,), losses_ptr.dtype.element_ty)
    correct = tl.zeros((BLOCK_R,), tl.int32)
    for first in range(0, rows, BLOCK_R):
        row = (first + tl.arange(0, BLOCK_R)).to(tl.int64)
        total += tl.load(losses_ptr + row, mask=row < rows, other=0.0)
        correct += tl.load(hits_ptr + row, mask=row < rows, other=0)
    tl.store(loss_ptr, tl.sum(total, 0) / tl.load(count_ptr))
    tl.store(correct_ptr, tl.sum(correct, 0).to(tl.int64))


@jit("rows")
def _cross_entropy_scale_kernel(
    matrix_ptr: Pointer,
    factor_ptr: Pointer,
    count_ptr: Pointer,
    rows: Scalar,
    N: Scalar,
    stride: Scalar,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
) -> None:
    """Multiply a matrix by factor / count; where that is 1, neither read nor write it."""
    ACC: tl.constexpr = accumulator(matrix_ptr.dtype.element_ty)
    factor = tl.load(factor_ptr).to(ACC)
    if count_ptr is not None:
        factor /= tl.load(count_ptr)
    if factor == 1.0:
        return
    for tile in range(tl.program_id(0), tl.cdiv(rows, BLOCK_R), tl.num_programs(0)):
        row = tile * BLOCK_R + tl.arange(0, BLOCK_R)
        start = matrix_ptr + offset(row, stride)
        for first in range(0, N, BLOCK_V):
            column = first + tl.arange(0, BLOCK_V)
            inside = (row < rows)[:, None] & (column < N)[None, :]
            place = start[:, None] + column[None, :]
            scaled = tl.load(place, mask=inside, other=0.0).to(ACC) * factor
            tl.store(place, scaled.to(matrix_ptr.dtype.element_ty), mask=inside)


# Launcher
#
# `options` are label_smoothing, z_loss and ignored.


def _in_place_rows(logits: Tensor) -> Tensor:
    """[M, V] whose elements are each their own memory, columns adjacent; copied only if need be."""
    if logits.stride(1) == 1 and logits.stride(0) >= logits.shape[1]:
        return logits
    return logits.contiguous()


def _waits_for_backward(dtype: torch.dtype) -> bool:
    """Whether the division by the number of used rows does: fp16 ends at 6e-8."""
    return dtype == torch.float16


def _launch_rows(
    logits: Tensor, labels: Tensor, count: Tensor, gradient: bool, options: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """The loss of each row and whether it is a hit."""
    rows, vocabulary = logits.shape
    label_smoothing, z_loss, ignored = options
    dtype, device = _sum_dtype(logits.dtype), logits.device
    losses = torch.empty(rows, dtype=dtype, device=device)
    hits = torch.empty(rows, dtype=torch.int32, device=device)
    size = power_of_two(vocabulary)
    tile = launch("cross_entropy.forward", size=size, dtype=logits.dtype, device=device)
    _cross_entropy_fwd_kernel[(-(-rows // tile.blocks["BLOCK_R"]),)](
        *(logits, labels, None if _waits_for_backward(logits.dtype) else count, losses, hits),
        *(rows, vocabulary, logits.stride(0), ignored, label_smoothing, z_loss),
        GRADIENT=gradient,
        SMOOTHING=label_smoothing > 0.0,
        Z_LOSS=z_loss > 0.0,
        ONE_TILE=vocabulary <= tile.blocks["BLOCK_V"],
        STAGES=tile.num_stages,
        **tile.options,
    )
    return losses, hits


def _run(
    logits: Tensor, labels: Tensor, gradient: bool, options: tuple[float, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, number of hits and number of used rows."""
    loss, correct, count = _overwrite_results(logits, labels)
    rows = logits.shape[0]
    if rows == 0:
        return loss.zero_(), correct.zero_(), count.fill_(1)
    labels = labels.contiguous()
    dtype, device = loss.dtype, loss.device
    with on_device_of(logits):
        tile = launch("cross_entropy.forward_count", size=32, dtype=dtype, device=device)
        _cross_entropy_count_kernel[(1,)](labels, count, rows, options[2], **tile.options)
        losses, hits = _launch_rows(logits, labels, count, gradient, options)
        tile = launch("cross_entropy.forward_total", size=32, dtype=dtype, device=device)
        _cross_entropy_total_kernel[(1,)](losses, hits, count, loss, correct, rows, **tile.options)
    return loss, correct, count


def _forward(logits: Tensor, labels: Tensor, *options: float) -> tuple[Tensor, Tensor]:
    loss, correct, _ = _run(_in_place_rows(logits), labels, False, options)
    return loss, correct


def _forward_results(logits: Tensor, labels: Tensor, *options: float) -> tuple[Tensor, Tensor]:
    loss = torch.empty((), dtype=_sum_dtype(logits.dtype), device=logits.device)
    return loss, torch.empty((), dtype=torch.int64, device=logits.device)


cross_entropy_fwd = register(
    "cross_entropy_fwd(Tensor logits, Tensor labels, float label_smoothing, float z_loss, "
    "int ignored) -> (Tensor, Tensor)",
    _forward,
    _forward_results,
)


def _overwrite(logits: Tensor, labels: Tensor, *options: float) -> tuple[Tensor, Tensor, Tensor]:
    # For autograd: whoever has saved the logits must not find the gradient in their place.
    torch.autograd.graph.increment_version(logits)
    rows = _in_place_rows(logits)
    results = _run(rows, labels, True, options)
    if rows is not logits:
        logits.copy_(rows)
    return results


def _overwrite_results(
    logits: Tensor, labels: Tensor, *options: float
) -> tuple[Tensor, Tensor, Tensor]:
    loss, correct = _forward_results(logits, labels)
    return loss, correct, torch.empty_like(loss)


cross_entropy_overwrite = register(
    "cross_entropy_overwrite(Tensor(a!) logits, Tensor labels, float label_smoothing, "
    "float z_loss, int ignored) -> (Tensor, Tensor, Tensor)",
    _overwrite,
    _overwrite_results,
)


def _scale(matrix: Tensor, factor: Tensor, count: Tensor | None) -> None:
    torch.autograd.graph.increment_version(matrix)
    if matrix.numel() == 0:
        return
    rows = _in_place_rows(matrix)
    size, device = power_of_two(matrix.shape[1]), matrix.device
    tile = launch("cross_entropy.scale", size=size, dtype=matrix.dtype, device=device)
    tiles = -(-matrix.shape[0] // tile.blocks["BLOCK_R"])
    programs = first_stage_programs(device, tiles, SCALE_PROGRAMS_PER_PROCESSOR)
    with on_device_of(matrix):
        _cross_entropy_scale_kernel[(programs,)](
            rows, factor, count, *rows.shape, rows.stride(0), **tile.options
        )
    if rows is not matrix:
        matrix.copy_(rows)


cross_entropy_scale = register(
    "cross_entropy_scale(Tensor(a!) matrix, Tensor factor, Tensor? count) -> ()",
    _scale,
    lambda matrix, factor, count: None,
)


def _factor(grad: Tensor, count: Tensor | None) -> Tensor:
    """What is left to multiply by in backward; `count` is that of a division that waited."""
    return grad if count is None else grad / count


def _times(tensor: Tensor, factor: Tensor) -> Tensor:
    """Rounded once: a factor on a GPU would itself be rounded to 16 bits."""
    return (tensor.to(factor.dtype) * factor).to(tensor.dtype)


def _scaled(tensor: Tensor, grad: Tensor, count: Tensor | None) -> Tensor:
    """By grad / count, in place; or a copy, if autograd keeps the graph for another backward."""
    if torch.compiler.is_compiling():  # it copies what it saved before it lets that be written to
        return _times(tensor, _factor(grad, count))
    tensor = tensor.clone() if _graph_is_kept() else tensor
    cross_entropy_scale(tensor.view(-1, tensor.shape[-1]), grad, count)
    return tensor


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - autograd's context has no public type
        logits: Tensor,
        labels: Tensor,
        *options: float,
    ) -> Any:  # noqa: ANN401
        loss, correct, count = cross_entropy_overwrite(logits, labels, *options)
        ctx.save_for_backward(logits, count if _waits_for_backward(logits.dtype) else None)
        ctx.mark_non_differentiable(correct)
        ctx.set_materialize_grads(False)
        # As a result of this function the logits lead here whoever uses them later. Autograd allows
        # that for no view, torch.compile not at all.
        if torch.compiler.is_compiling() or logits._is_view():
            return loss, correct, None
        ctx.mark_dirty(logits)
        return loss, correct, logits

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: Tensor | None,
        _: None,
        later: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        if later is not None:
            raise RuntimeError(
                "cross_entropy: the logits were used after their gradient had been written over "
                "them: use them before, or pass logits.clone()"
            )
        if grad is None:
            return None, None, None, None, None
        dlogits, count = ctx.saved_tensors
        return _scaled(dlogits.detach(), grad, count), None, None, None, None


def cross_entropy_triton(
    logits: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = IGNORED,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy` by the Triton kernels, for fp32, fp16 and bf16 and up to 2^18 words.

    Equal inputs give equal bits: no atomics.
    """
    _check(logits, labels, label_smoothing, z_loss)
    _check_vocabulary("cross_entropy", logits.shape[1])
    options = (label_smoothing, z_loss, ignored)
    if not (torch.is_grad_enabled() and logits.requires_grad):
        loss, correct = cross_entropy_fwd(logits, labels, *options)
        return loss, correct
    _refuse_leaf(logits)
    loss, correct, _ = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        _in_place_rows(logits), labels, *options
    )
    return loss, correct


# Linear layer and cross-entropy


def _rows_within(budget_bytes: int, x: Tensor, weight: Tensor) -> int:
    """How many rows of logits the budget holds, at least one; 128s of them keep the GEMMs whole."""
    rows = budget_bytes // (weight.shape[0] * autocast_dtype(x).itemsize)
    return max(1, rows if rows < 128 or rows >= x.shape[0] else rows // 128 * 128)


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """The product in the dtype of both or in fp32; accumulated in fp32 and rounded once."""
    if a.dtype == dtype:
        return a @ b
    if a.is_cuda:  # for 16-bit factors and a product in fp32 alone
        return torch.mm(a, b, out_dtype=dtype)
    return a.to(dtype) @ b.to(dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    """All rows at once. No factor touches dlogits: x and dx, 40 times smaller, take it instead."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        *options: float,
    ) -> tuple[Tensor, Tensor]:
        dtype = autocast_dtype(x)
        ctx.dtypes = (x.dtype, weight.dtype, None if bias is None else bias.dtype)
        x, weight = x.to(dtype), weight.to(dtype)
        dlogits = _logits(x, weight, bias)
        loss, correct, count = cross_entropy_overwrite(dlogits, labels, *options)
        ctx.save_for_backward(dlogits, x, weight, count if _waits_for_backward(dtype) else None)
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        dlogits, x, weight, count = ctx.saved_tensors
        x_dtype, weight_dtype, bias_dtype = ctx.dtypes
        needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        factor = _factor(grad, count)
        dx = dweight = dbias = None
        if needs_x:
            dx = _times(dlogits @ weight, factor).to(x_dtype)
        if needs_weight:
            wide = dlogits.dtype if weight_dtype == dlogits.dtype else factor.dtype
            dweight = _product(dlogits.t(), _times(x, factor), wide).to(weight_dtype)
        if needs_bias:
            dbias = (dlogits.sum(0, dtype=factor.dtype) * factor).to(bias_dtype)
        return dx, dweight, dbias, None, None, None, None


def _chunks(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    rows: int,
    needs: list[bool],
    triton: bool,
    *options: float,
) -> tuple[Tensor, ...]:
    """Loss, hits, used rows and the gradients of x, weight and bias, `rows` rows at a time."""
    results = _chunks_results(x, weight, bias, labels, rows, needs, triton)
    loss, correct, count, dx, dweight, dbias = results
    for sum_over_rows in (loss, correct, dweight, dbias):
        sum_over_rows.zero_()
    count.copy_(_used(labels, int(options[2])))
    overwrite = _overwrite_rows if triton else _overwrite_rows_reference
    for first in range(0, x.shape[0], rows):
        part = slice(first, first + rows)
        logits = F.linear(x[part], weight, bias)
        losses, hits, dlogits = overwrite(logits, labels[part], count, any(needs), options)
        loss += losses.sum()
        correct += hits.sum()
        if needs[0]:
            dx[part] = dlogits @ weight
        if needs[1]:
            dweight += _product(dlogits.t(), x[part], dweight.dtype)
        if needs[2]:
            dbias += dlogits.sum(0, dtype=dbias.dtype)
    loss /= count
    return results


def _overwrite_rows(
    logits: Tensor, labels: Tensor, count: Tensor, gradient: bool, options: tuple[float, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    with on_device_of(logits):
        losses, hits = _launch_rows(logits, labels.contiguous(), count, gradient, options)
    return losses, hits, logits


def _overwrite_rows_reference(
    logits: Tensor, labels: Tensor, count: Tensor, gradient: bool, options: tuple[float, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    label_smoothing, z_loss, ignored = options
    losses, hits = _rows_reference(logits, labels, label_smoothing, z_loss, int(ignored))
    if not gradient:
        return losses, hits, logits
    # Written out, as inside an operator there may be no autograd.
    x, used = logits.to(losses.dtype), labels != ignored
    dlogits = x.softmax(1)
    if z_loss > 0.0:
        dlogits *= 1.0 + 2.0 * z_loss * x.logsumexp(1, keepdim=True)
    dlogits -= label_smoothing / x.shape[1]
    at_label = torch.where(used, labels, 0).long()[:, None]
    dlogits.scatter_add_(1, at_label, torch.full_like(losses, label_smoothing - 1.0)[:, None])
    unit = used if _waits_for_backward(logits.dtype) else used / count
    return losses, hits, (dlogits * unit[:, None]).to(logits.dtype)


def _chunks_results(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    rows: int,
    needs: list[bool],
    triton: bool,
    *options: float,
) -> tuple[Tensor, ...]:
    loss, correct, count = _overwrite_results(x, labels)
    dx, dweight, dbias = (
        torch.empty(shape if needed else (0,), dtype=dtype, device=x.device)
        for needed, shape, dtype in (
            (needs[0], x.shape, x.dtype),
            (needs[1], weight.shape, loss.dtype),
            (needs[2], weight.shape[:1], loss.dtype),
        )
    )
    return loss, correct, count, dx, dweight, dbias


linear_cross_entropy_chunks = register(
    "linear_cross_entropy_chunks(Tensor x, Tensor weight, Tensor? bias, Tensor labels, "
    "SymInt rows, bool[] needs, bool triton, float label_smoothing, float z_loss, int ignored) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _chunks,
    _chunks_results,
)


class _ChunkedLinearCrossEntropy(torch.autograd.Function):
    """Some rows at a time: all gradients in forward, where the logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        rows: int,
        needs: list[bool],
        triton: bool,
        *options: float,
    ) -> tuple[Tensor, Tensor]:
        dtype = autocast_dtype(x)
        ctx.dtypes = (x.dtype, weight.dtype, None if bias is None else bias.dtype)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        with torch.autocast(x.device.type, enabled=False):
            loss, correct, count, *gradients = linear_cross_entropy_chunks(
                x, weight, bias, labels, rows, needs, triton, *options
            )
        ctx.save_for_backward(count if _waits_for_backward(dtype) else None, *gradients)
        ctx.mark_non_differentiable(correct)
        ctx.needs, ctx.triton = needs, triton
        return loss, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        count, *gradients = ctx.saved_tensors
        results: list[Tensor | None] = []
        for gradient, dtype, needed in zip(gradients, ctx.dtypes, ctx.needs, strict=True):
            if not needed:
                results.append(None)
            elif ctx.triton:
                results.append(_scaled(gradient, grad, count).to(dtype))
            else:
                results.append(_times(gradient, _factor(grad, count)).to(dtype))
        return (*results, None, None, None, None, None, None, None)


def _in_chunks(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    rows: int,
    triton: bool,
    options: tuple[float, ...],
) -> tuple[Tensor, Tensor]:
    needs = [
        tensor is not None and tensor.requires_grad and torch.is_grad_enabled()
        for tensor in (x, weight, bias)
    ]
    result: tuple[Tensor, Tensor] = _ChunkedLinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, labels, rows, needs, triton, *options
    )
    return result


def linear_cross_entropy_triton(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = IGNORED,
    budget_bytes: int = 2**30,
) -> tuple[Tensor, Tensor]:
    """`linear_cross_entropy` by cuBLAS and the Triton kernels."""
    _check_linear(x, weight, bias, labels, label_smoothing, z_loss, budget_bytes)
    _check_vocabulary("linear_cross_entropy", weight.shape[0])
    options = (label_smoothing, z_loss, ignored)
    rows = _rows_within(budget_bytes, x, weight)
    if rows < x.shape[0]:
        return _in_chunks(x, weight, bias, labels, rows, True, options)
    tensors = (x, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        loss, correct = _LinearCrossEntropy.apply(*tensors, labels, *options)  # type: ignore[no-untyped-call]
    else:
        loss, correct = cross_entropy_fwd(_logits(*tensors), labels, *options)
    return loss, correct


def _triton_rejects(call: Call) -> str | None:
    reason = can_run_on(call.device)
    if reason is not None:
        return reason
    dtypes = TRITON_DTYPES if call.device.type == "cuda" else (*TRITON_DTYPES, torch.float64)
    if call.dtype not in dtypes:
        return f"the kernel takes fp32, fp16 and bf16, not {call.dtype}"
    if call.size > MAX_VOCABULARY:
        return f"the kernel takes up to {MAX_VOCABULARY} words, not {call.size}"
    return None


register_implementation("cross_entropy", "triton", cross_entropy_triton, rejects=_triton_rejects)
register_implementation("cross_entropy", "torch", cross_entropy_reference)
register_implementation(
    "linear_cross_entropy", "triton", linear_cross_entropy_triton, rejects=_triton_rejects
)
register_implementation("linear_cross_entropy", "torch", linear_cross_entropy_reference)
register_inductor("cross_entropy", cross_entropy_reference)
