import contextlib
import sys
import types
from importlib import import_module
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from kobert_kernels import attention, attention_reference, dispatch, launches
from kobert_kernels.attention import (
    attention_bwd,
    attention_flash,
    attention_fwd,
    attention_packed,
    attention_sdpa,
    attention_triton,
    attention_varlen,
)
from kobert_kernels.dispatch import Call
from kobert_kernels.philox import keep_scale, keep_scores

# Its name in the package belongs to the function.
module = import_module("kobert_kernels.attention")

OPS = pytest.mark.parametrize("op", [attention_triton, attention_reference])
PROPERTY = settings(max_examples=4, deadline=None, derandomize=True)


def packed(device, lengths, heads=1, size=16, dtype=torch.float32, unused=0):
    """q, k, v as views of one tensor, an incoming gradient, and the bounds."""
    draw = torch.Generator().manual_seed(sum(lengths) * 100 + len(lengths))
    tokens = sum(lengths) + unused
    qkv = torch.randn(tokens, 3, heads, size, generator=draw).to(device, dtype)
    grad = torch.randn(tokens, heads, size, generator=draw).to(device, dtype)
    bounds = torch.tensor((0, *lengths)).cumsum(0).to(device, torch.int32)
    return (*qkv.unbind(1), grad, bounds)


def run(op, q, k, v, grad, bounds, longest=None, **options):
    """The result and the gradients of q, k, v."""
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    if longest is None:
        longest = int(bounds.diff().max()) if len(bounds) > 1 else 0
    o = op(*leaves, bounds, longest, **options)
    return (o, *torch.autograd.grad(o, leaves, grad))


def same_bits(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def angles(device, positions, size, first=0):
    """Tables of positions from `first` on; neighbours differ by up to one radian."""
    position = torch.arange(first, first + positions, device=device, dtype=torch.float64)
    angle = position[:, None] * 0.5 ** torch.arange(size // 2, device=device)
    return angle.cos().float(), angle.sin().float()


def everything(device, size=16, positions=64):
    """All options on."""
    seed = torch.tensor([3], device=device)
    tables = angles(device, positions, size)
    return {"dropout": 0.2, "seed": seed, "window": 7, "rotary": tables, "scale": 0.3}


@contextlib.contextmanager
def tiles(m, n, size=16, bits=32):
    """Every loop goes by tiles of m queries and n keys, and no backward at once."""
    table = {"forward": m, "backward_q": m, "backward_kv": m}
    rows = [
        launches.Launch(
            kernel=f"attention.{name}",
            size=size,
            bits=bits,
            arch="any",
            blocks={"BLOCK_M": m, "BLOCK_N": n, "BLOCK_D": size},
            num_warps=4,
            num_stages=1,
            source="test",
        )
        for name in table
    ]
    with launches.replaced(*rows), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_once", lambda *facts: None)
        yield


def one_by_one(q, k, v, bounds, scale=None, window=None, rotary=None):
    """Each sequence alone, each head alone, nothing but softmax."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    o = torch.zeros_like(q)
    for start, end in pairwise(bounds.tolist()):
        place = torch.arange(end - start)
        for h in range(q.shape[1]):
            q_h, k_h = q[start:end, h], k[start:end, h]
            if rotary is not None:
                # The pair (x1, x2) as the complex number x1 + i x2, times e^(i angle).
                turn = torch.complex(*(t[: end - start].to(q.dtype) for t in rotary))
                q_h, k_h = (torch.complex(*t.chunk(2, 1)) * turn for t in (q_h, k_h))
                q_h, k_h = (torch.cat((t.real, t.imag), 1) for t in (q_h, k_h))
            score = q_h @ k_h.T * scale
            if window is not None:
                far = (place[:, None] - place).abs() > window
                score = score.masked_fill(far, -torch.inf)
            o[start:end, h] = score.softmax(-1) @ v[start:end, h]
    return o


# The reference


@pytest.mark.parametrize(
    ("lengths", "unused"),
    [((1,), 0), ((64, 64), 0), ((5, 0, 33), 3), ((31, 32, 33, 1, 97), 0), ((0, 0, 7), 1)],
    ids=str,
)
@pytest.mark.parametrize(
    "options", [{}, {"scale": 0.7, "window": 6}, {"rotary": True}, {"window": 0, "rotary": True}]
)
def test_the_reference_is_attention_within_each_sequence(lengths, unused, options):
    options = dict(options)
    q, k, v, grad, bounds = packed("cpu", lengths, heads=2, dtype=torch.float64, unused=unused)
    if "rotary" in options:
        options["rotary"] = angles("cpu", 97, 16)
    got = run(attention_reference, q, k, v, grad, bounds, **options)
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    o = one_by_one(*leaves, bounds, **options)
    for a, b in zip(got, (o, *torch.autograd.grad(o, leaves, grad)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_window_of_the_reference_goes_by_blocks(dropout):
    """More than one block of 512 queries; the mask of all scores is the same."""
    q, k, v, _, bounds = packed("cpu", (1100, 600), dtype=torch.float64)
    options = {"dropout": dropout, "seed": torch.tensor([9])}
    got = attention_reference(q, k, v, bounds, 1100, window=40, **options)
    far = (torch.arange(1100)[:, None] - torch.arange(1100)).abs() > 40
    weights = (q[:1100, 0] @ k[:1100, 0].T / 4).masked_fill(far, -torch.inf).softmax(-1)
    if dropout > 0:
        keep = keep_scores(options["seed"], torch.tensor([0]), 1, 1100, dropout)[0, 0]
        weights = weights * keep * keep_scale(dropout)
    torch.testing.assert_close(got[:1100, 0], weights @ v[:1100, 0], rtol=0, atol=1e-13)


def test_the_reference_with_dropout_agrees_with_gradcheck_and_the_mask():
    q, k, v, _, bounds = packed("cpu", (3, 5), heads=2, size=4, dtype=torch.float64, unused=1)
    seed = torch.tensor([21])
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    options = {"dropout": 0.3, "seed": seed}
    assert torch.autograd.gradcheck(
        lambda q, k, v: attention_reference(q, k, v, bounds, 5, window=2, **options), leaves
    )
    keep = keep_scores(seed, torch.tensor([1]), 2, 5, 0.3)[0]
    weights = (q[3:8].transpose(0, 1) @ k[3:8].permute(1, 2, 0) / 2).softmax(-1)
    expected = (weights * keep * keep_scale(0.3)) @ v[3:8].transpose(0, 1)
    got = attention_reference(q, k, v, bounds, 5, **options)[3:8]
    torch.testing.assert_close(got, expected.transpose(0, 1))


@pytest.mark.parametrize("window", [None, 5])
def test_the_reference_takes_the_flash_kernel_of_pytorch(window):
    q, k, v, grad, bounds = packed("cpu", (40, 50, 33), size=64)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run(attention_reference, q, k, v, grad, bounds, window=window)
    names = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in names


# Who sees whom


@OPS
@pytest.mark.parametrize("all_options", [False, True])
def test_no_sequence_sees_another(op, all_options, device):
    """Neither other contents nor another length of one sequence moves the others by a bit."""
    options = everything(device) if all_options else {}
    lengths = [20, 14, 9]
    q, k, v, grad, bounds = packed(device, lengths, unused=2)
    before = run(op, q, k, v, grad, bounds, 40, **options)
    start, end = bounds[1].item(), bounds[2].item()
    others = torch.ones(len(q), dtype=torch.bool, device=device)
    others[start:end] = False
    inputs = [t.clone() for t in (q, k, v, grad)]
    for t in inputs:
        t[start:end] = t[start:end] * -3 + 1
    after = run(op, *inputs, bounds, 40, **options)
    assert same_bits([t[others] for t in before], [t[others] for t in after])
    assert not torch.equal(before[0][~others], after[0][~others])

    for length in (0, 40):  # none, and longer than all: repeat or cut the sequence's tokens
        index = torch.arange(len(q), device=device)
        new = torch.arange(length, device=device) % (end - start) + start
        index = torch.cat((index[:start], new, index[end:]))
        moved = torch.tensor([0, 20, 20 + length, 29 + length], device=device, dtype=torch.int32)
        after = run(op, *(t[index] for t in (q, k, v, grad)), moved, 40, **options)
        kept = torch.cat((others[:start], others.new_zeros(length), others[end:]))
        assert same_bits([t[others] for t in before], [t[kept] for t in after])


@OPS
@pytest.mark.parametrize("longest", [20, 64])  # with and without backward at once
def test_tokens_of_no_sequence_are_zero_and_unseen(op, longest, device):
    options = everything(device)
    q, k, v, grad, bounds = packed(device, (3, 0, 20), unused=20)
    before = run(op, q, k, v, grad, bounds, longest, **options)
    assert not any(t[23:].any() for t in before)
    for t in (q, k, v, grad):
        t[23:] = float("nan")
    assert same_bits(before, run(op, q, k, v, grad, bounds, longest, **options))
    alone = run(op, *(t[:23] for t in (q, k, v, grad)), bounds, longest, **options)
    assert same_bits([t[:23] for t in before], alone)


@OPS
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_keys_outside_the_window_change_nothing(op, dropout, device):
    """A gradient of a key sees the softmax of queries that see it: tokens two windows away."""
    options = {"dropout": dropout, "seed": torch.tensor([8], device=device), "window": 6}
    q, k, v, grad, bounds = packed(device, (50,))
    before = run(op, q, k, v, grad, bounds, **options)
    for changed in (0, 33):
        inputs = [t.clone() for t in (q, k, v, grad)]
        for t in inputs:
            t[changed] = 100
        after = run(op, *inputs, bounds, **options)
        distance = (torch.arange(50, device=device) - changed).abs()
        assert torch.equal(before[0][distance > 6], after[0][distance > 6])
        assert same_bits([t[distance > 12] for t in before], [t[distance > 12] for t in after])
        near = (distance > 0) & (distance <= 6)
        assert (before[0][near] != after[0][near]).any(-1).all() or dropout > 0


@pytest.mark.parametrize("longest", [20, 34])
def test_a_window_as_long_as_the_sequence_is_none(longest, device):
    q, k, v, grad, bounds = packed(device, (longest, 3))
    options = {"dropout": 0.2, "seed": torch.tensor([1], device=device)}
    expected = run(attention_triton, q, k, v, grad, bounds, **options)
    for window in (longest - 1, 2**31 - 1):
        got = run(attention_triton, q, k, v, grad, bounds, window=window, **options)
        assert same_bits(got, expected)
    smaller = run(attention_triton, q, k, v, grad, bounds, window=longest - 2, **options)
    assert not torch.equal(smaller[0], expected[0])


@OPS
@pytest.mark.parametrize("longest", [1, 32, 64])
def test_a_token_that_sees_itself_alone_gets_its_value(op, longest, device):
    """Of one token, and with a window of 0."""
    for lengths, window in (((1, 1, 1), None), ((1, 1), 3), ((5, 1, 12), 0)):
        if max(lengths) > longest:
            continue
        q, k, v, grad, bounds = packed(device, lengths)
        o, dq, dk, dv = run(op, q, k, v, grad, bounds, longest, window=window)
        assert torch.equal(o, v)
        torch.testing.assert_close(dv, grad)
        assert max(dq.abs().max(), dk.abs().max()) < 1e-5


@PROPERTY
@given(
    lengths=st.lists(st.integers(0, 36), min_size=1, max_size=3),
    window=st.sampled_from([None, 3]),
    turned=st.booleans(),
    data=st.data(),
)
def test_packed_equals_one_sequence_at_a_time_in_any_order(device, lengths, window, turned, data):
    q, k, v, grad, bounds = packed(device, lengths)
    options = {"window": window, "rotary": angles(device, 40, 16) if turned else None}
    together = run(attention_triton, q, k, v, grad, bounds, 40, **options)
    spans = [slice(a, b) for a, b in pairwise(bounds.tolist())]
    for span in spans:
        parts = [t[span] for t in (q, k, v, grad)]
        end = torch.tensor([0, span.stop - span.start], dtype=torch.int32, device=device)
        alone = run(attention_triton, *parts, end, 40, **options)
        assert same_bits([t[span] for t in together], alone)

    order = data.draw(st.permutations(range(len(lengths))))
    index = torch.cat([torch.arange(len(q), device=device)[spans[i]] for i in order])
    shuffled = torch.tensor([0, *(lengths[i] for i in order)]).cumsum(0).to(device, torch.int32)
    moved = (t[index] for t in (q, k, v, grad))
    assert same_bits(
        [t[index] for t in together], run(attention_triton, *moved, shuffled, 40, **options)
    )


# The numbers


@PROPERTY
@given(lengths=st.lists(st.integers(1, 36), min_size=1, max_size=3), shift=st.floats(-2, 2))
def test_a_shift_of_all_scores_changes_nothing(device, lengths, shift):
    """One vector added to every key adds q * vector to all scores of a query."""
    q, k, v, _, bounds = packed(device, lengths)
    got = attention_triton(q, k + shift, v, bounds, max(lengths))
    expected = attention_triton(q, k, v, bounds, max(lengths))
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


@OPS
@pytest.mark.parametrize(("length", "size"), [(20, 96), (34, 16)])
def test_only_how_far_apart_two_tokens_are_matters(op, length, size, device):
    """Angles that start anywhere give equal scores, and angles of 0 turn nothing."""
    inputs = packed(device, (length, 3), size=size)
    options = {"dropout": 0.2, "seed": torch.tensor([5], device=device)}
    turned, elsewhere = (
        run(op, *inputs, rotary=angles(device, length, size, first), **options)
        for first in (0, 1000)
    )
    torch.testing.assert_close(turned[0], elsewhere[0], rtol=0, atol=2e-5)
    torch.testing.assert_close(turned[3], elsewhere[3], rtol=0, atol=2e-5)
    assert (turned[1] - elsewhere[1]).abs().max() < 5e-5  # of q before it is turned
    one = torch.ones(length, size // 2, device=device)
    still = run(op, *inputs, rotary=(one, one - 1), **options)
    plain = run(op, *inputs, **options)
    for a, b in zip(still, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert (turned[0] - plain[0]).abs().max() > 0.1


@PROPERTY
@given(lengths=st.lists(st.integers(1, 36), min_size=1, max_size=3))
def test_equal_values_come_back_and_scores_get_no_net_gradient(device, lengths):
    """The weights of a query sum to 1, so dV sums to the incoming gradient and dK to 0."""
    q, k, v, grad, bounds = packed(device, lengths)
    o, _, dk, dv = run(attention_triton, q, k, torch.full_like(v, 1.5), grad, bounds)
    torch.testing.assert_close(o, torch.full_like(o, 1.5))
    for start, end in pairwise(bounds.tolist()):
        torch.testing.assert_close(dv[start:end].sum(0), grad[start:end].sum(0), rtol=0, atol=1e-4)
        assert dk[start:end].sum(0).abs().max() < 1e-4


@OPS
def test_huge_scores_stay_finite(op, device):
    """Scores of +-3000 overflow exp in fp32; the maximum is subtracted first."""
    q, k, v, grad, bounds = packed(device, (40, 3))
    outputs = run(op, q * 30, k * 30, v, grad, bounds, scale=1.0)
    assert all(t.isfinite().all() for t in outputs)
    best = (q[:40, 0] @ k[:40, 0].T).argmax(1)
    torch.testing.assert_close(outputs[0][:40, 0], v[best, 0], rtol=0, atol=1e-3)


# Gradients and dropout


@pytest.mark.parametrize("lengths", [(4, 0, 7), (35, 2)], ids=["at once", "in loops"])
@pytest.mark.parametrize("all_options", [False, True])
def test_gradcheck_in_fp64(lengths, all_options, device):
    if device == "cuda":
        pytest.skip("the kernels take fp64 in the interpreter alone")
    q, k, v, _, bounds = packed(device, lengths, dtype=torch.float64, unused=1)
    options = everything(device) if all_options else {}
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    assert torch.autograd.gradcheck(
        lambda *qkv: attention_triton(*qkv, bounds, max(lengths), **options),
        leaves,
        fast_mode=True,
    )


@pytest.mark.parametrize("longest", [23, 34])
def test_backward_is_the_slope_of_forward(longest, device):
    """Central difference along one direction, kernels only: no reference takes part."""
    q, k, v, grad, bounds = packed(device, (longest, 5), size=32)
    options = everything(device, size=32)
    _, *slopes = run(attention_triton, q, k, v, grad, bounds, **options)
    step = torch.randn(q.shape, generator=torch.Generator().manual_seed(1)).to(device)
    h = 1e-2  # the error is of order h^2 in truncation and 1e-7 / h in rounding: both near 1e-4

    def value(which, h):
        inputs = [t + h * step if i == which else t for i, t in enumerate((q, k, v))]
        o = attention_triton(*inputs, bounds, longest, **options)
        return (o.double() * grad).sum()

    for which, slope in enumerate(slopes):
        numeric = (value(which, h) - value(which, -h)) / (2 * h)
        torch.testing.assert_close((slope.double() * step).sum(), numeric, rtol=2e-3, atol=1e-2)


@OPS
@pytest.mark.parametrize("longest", [30, 40])
def test_forward_and_backward_drop_the_same_weights(op, longest, device):
    """O is linear in V: <O(V), G> = <V, dV> holds only if both directions use one mask."""
    q, k, v, grad, bounds = packed(device, (7, longest), size=32)
    options = {"dropout": 0.5, "window": 20, "rotary": angles(device, longest, 32)}
    seeds = [torch.tensor([n], device=device) for n in (77, 78)]
    o, _, _, dv = run(op, q, k, v, grad, bounds, seed=seeds[0], **options)
    forward, backward = (o.double() * grad).sum(), (v.double() * dv).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-5, atol=1e-4)
    other = run(op, q, k, v, grad, bounds, seed=seeds[1], **options)
    assert ((o.double() * grad).sum() - (v.double() * other[3]).sum()).abs() > 0.1


def test_the_kept_share_of_the_weights(device):
    """With equal scores O of ones is keys kept / keys / (1 - p)."""
    length, heads = 64, 4
    q = torch.zeros(length, heads, 16, device=device)
    bounds = torch.tensor([0, length], dtype=torch.int32, device=device)
    seed = torch.tensor([5], device=device)
    one = torch.ones_like(q)
    o = attention_triton(q, q, one, bounds, length, dropout=0.1, seed=seed)
    keep = keep_scores(seed, torch.zeros(1, dtype=torch.int64, device=device), heads, length, 0.1)
    expected = keep[0].float().mean(-1).T * keep_scale(0.1)
    torch.testing.assert_close(o[:, :, 3], expected)
    assert abs(o.mean().item() - 1) < 6 * (0.1 / 0.9 / keep.numel()) ** 0.5


@pytest.mark.parametrize("all_options", [False, True])
@pytest.mark.parametrize(("m", "n"), [(16, 32), (32, 64), (64, 32)])
def test_the_tiles_change_the_rounding_alone(m, n, all_options, device):
    """No dropped weight, no edge of a window and no angle depends on how the work is cut."""
    options = everything(device, positions=70) if all_options else {}
    q, k, v, grad, bounds = packed(device, (70, 33, 1), unused=3)
    with tiles(m, n):
        got = run(attention_triton, q, k, v, grad, bounds, **options)
    expected = run(attention_reference, q, k, v, grad, bounds, **options)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-6)


@pytest.mark.parametrize("window", [1, 31, 32, 33])
def test_a_window_that_ends_at_the_edge_of_a_tile(window, device):
    """The loops stop at the last tile that a window touches, by however little."""
    inputs = packed(device, (70, 33))
    got = run(attention_triton, *inputs, window=window)
    for a, b in zip(got, run(attention_reference, *inputs, window=window), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-6)


@pytest.mark.parametrize("all_options", [False, True])
def test_backward_at_once_changes_the_rounding_alone(all_options, device, monkeypatch):
    options = everything(device) if all_options else {}
    inputs = packed(device, (30, 0, 17, 1), unused=3)
    with launches.noted() as rows:
        at_once = run(attention_triton, *inputs, **options)
    assert [row.kernel for row in rows] == ["attention.forward", "attention.backward_once_32"]
    monkeypatch.setattr(module, "_once", lambda *facts: None)
    in_loops = run(attention_triton, *inputs, **options)
    assert torch.equal(at_once[0], in_loops[0])
    for a, b in zip(at_once, in_loops, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("longest", "size", "dtype", "kernel"),
    [
        (32, 64, torch.float16, "attention.backward_once_32"),
        (33, 64, torch.float16, "attention.backward_once_64"),
        (65, 64, torch.bfloat16, "attention.backward_once_128"),
        (128, 64, torch.bfloat16, "attention.backward_once_128"),
        (129, 64, torch.bfloat16, None),
        (33, 64, torch.float32, None),
        (32, 128, torch.float32, None),
    ],
)
def test_backward_is_done_at_once_where_the_table_has_a_tile(longest, size, dtype, kernel):
    with launches.pretend("sm_90"):
        assert module._once(size, dtype, torch.device("cpu"), longest) == kernel


# Memory


@OPS
@pytest.mark.parametrize("lengths", [(19, 13), (3, 34)], ids=["at once", "in loops"])
def test_layouts_and_what_lies_around_them(op, lengths, device):
    """Nothing beside a tensor is read, and strides change nothing."""
    q, k, v, grad, bounds = packed(device, lengths, heads=2)
    tokens = sum(lengths)
    expected = run(op, *(t.contiguous() for t in (q, k, v, grad)), bounds)
    nan = torch.full((4, 2, tokens + 60, 32), float("nan"), device=device)  # head before token
    for buffer, t in zip(nan, (q, k, v, grad), strict=True):
        buffer[:, 30 : 30 + tokens, 8:24] = t.transpose(0, 1)
    views = [buffer[:, 30 : 30 + tokens, 8:24].transpose(0, 1) for buffer in nan]
    assert same_bits(run(op, *views, bounds), expected)
    # Each of them with strides of its own.
    assert same_bits(run(op, views[0], k.contiguous(), v, views[3], bounds), expected)
    assert same_bits(run(op, q.contiguous(), views[1], views[2], grad, bounds), expected)
    scattered = [t.transpose(0, 2).contiguous().transpose(0, 2) for t in (q, k, v, grad)]
    assert scattered[0].stride(2) != 1
    assert same_bits(run(op, *scattered, bounds), expected)


@OPS
def test_tables_and_bounds_of_any_strides(op, device):
    q, k, v, grad, bounds = packed(device, (9, 30))
    tables = angles(device, 40, 16)
    expected = run(op, q, k, v, grad, bounds, rotary=tables)
    strided = tuple(t.t().contiguous().t() for t in tables)
    every_other = torch.stack((bounds, bounds - 1), 1).flatten()[::2]
    assert same_bits(run(op, q, k, v, grad, every_other, rotary=strided), expected)
    half = run(op, q, k, v, grad, bounds, rotary=tuple(t.double() for t in tables))
    assert same_bits(half, expected)


@OPS
def test_an_expanded_gradient(op, device):
    q, k, v, _, bounds = packed(device, (11, 21))
    one = torch.ones((), device=device)
    got = run(op, q, k, v, one.expand(q.shape), bounds)
    assert same_bits(got, run(op, q, k, v, torch.ones_like(q), bounds))
    row = torch.arange(16.0, device=device)
    got = run(op, q, k, v, row.expand(q.shape), bounds)
    assert same_bits(got, run(op, q, k, v, row.expand(q.shape).contiguous(), bounds))


@OPS
@pytest.mark.parametrize("lengths", [(), (0,), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("unused", [0, 4])
def test_no_token_in_a_sequence(op, lengths, unused, device):
    q, k, v, grad, bounds = packed(device, lengths, unused=unused)
    for longest in (0, 20, 64):
        options = everything(device)
        outputs = run(op, q, k, v, grad, bounds, longest, **options)
        assert [t.shape for t in outputs] == [(unused, 1, 16)] * 4
        assert not any(t.any() for t in outputs)


@OPS
def test_a_longest_length_with_room_to_spare(op, device):
    q, k, v, grad, bounds = packed(device, (17, 5))
    for spare, exact in ((32, 17), (100, 40)):
        expected = run(op, q, k, v, grad, bounds, exact)
        assert same_bits(run(op, q, k, v, grad, bounds, spare), expected)


@OPS
@pytest.mark.parametrize("longest", [20, 34])
def test_two_runs_give_the_same_bits_and_leave_the_inputs_alone(op, longest, device):
    given = packed(device, (3, longest), size=32)
    before = [t.clone() for t in given]
    options = everything(device, size=32)
    assert same_bits(run(op, *given, **options), run(op, *given, **options))
    assert same_bits(given, before)


@pytest.mark.parametrize("run_by", [attention_triton, attention_reference])
def test_packed_is_the_same_and_its_gradient_is_not_stacked(run_by, device, monkeypatch):
    q, k, v, grad, bounds = packed(device, (9, 30), unused=2)
    options = everything(device)
    expected = run(run_by, q, k, v, grad, bounds, **options)
    monkeypatch.setattr(module, "_chosen", lambda *facts: run_by)
    qkv = torch.stack((q, k, v), 1).requires_grad_()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        o = attention_packed(qkv, bounds, 30, **options)
        (dqkv,) = torch.autograd.grad(o, qkv, grad)
    assert same_bits((o, *dqkv.unbind(1)), expected)
    stacked = "aten::stack" in {event.key for event in profile.key_averages()}
    assert stacked == (run_by is attention_reference)


# Within torch


@pytest.mark.parametrize(
    ("tokens", "sliced", "all_options"),
    [(9, True, True), (34, False, True), (5, False, False), (0, False, True)],
)
def test_opcheck(tokens, sliced, all_options, device):
    q, k, v, grad, bounds = packed(device, (tokens, 0))
    if sliced:
        q, k, v, grad = (torch.cat((t, t), -1)[..., 3:19] for t in (q, k, v, grad))
    if tokens == 0:  # opcheck cannot copy an empty view
        q, k, v = (torch.zeros_like(grad) for _ in "qkv")
    seed, cos, sin, window = None, None, None, None
    if all_options:
        seed, window = torch.tensor([3], device=device), 7
        cos, sin = angles(device, 40, 16)
    tensors, numbers = (q, k, v, bounds, seed, cos, sin), (tokens, window, 0.25, 0.1 * all_options)
    torch.library.opcheck(attention_fwd, (*tensors, *numbers))
    o, lse = attention_fwd(*tensors, *numbers)
    torch.library.opcheck(attention_bwd, (grad, *tensors, o, lse, *numbers))


# Dynamo makes an instance of each autograd.Function, and looks at the gradient of every tensor.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_as_one_graph_gives_the_same_bits(dynamic, device):
    torch._dynamo.reset()
    compiled = torch.compile(attention_triton, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    options = everything(device)
    for lengths in ((9, 12), (5, 14, 2)):
        inputs = packed(device, lengths, unused=1)
        got = run(compiled, *inputs, **options)
        assert same_bits(got, run(attention_triton, *inputs, **options))


def test_checkpointing_recomputes_the_same_bits(device):
    def recomputed(*inputs, **options):
        return checkpoint(attention_triton, *inputs, **options, use_reentrant=False)

    inputs = packed(device, (9, 12))
    options = everything(device)
    assert same_bits(run(recomputed, *inputs, **options), run(attention_triton, *inputs, **options))


@OPS
def test_autocast_casts_as_pytorch_does(op, device):
    q, k, v, grad, bounds = packed(device, (9, 20))
    options = everything(device)

    def cast(*inputs, **options):
        with torch.autocast(device, dtype=torch.float16):
            return op(*inputs, **options)

    o, *gradients = run(cast, q, k, v, grad.half(), bounds, **options)
    assert o.dtype == torch.float16
    assert all(t.dtype == torch.float32 for t in gradients)
    half = run(op, *(t.half() for t in (q, k, v, grad)), bounds, **options)
    assert same_bits((o, *gradients), (half[0], *(t.float() for t in half[1:])))
    assert cast(q, k.half(), v, bounds, 20).dtype == torch.float16
    assert cast(*(t.double() for t in (q, k, v)), bounds, 20).dtype == torch.float64


def test_a_second_derivative_raises(device):
    q, k, v, _, bounds = packed(device, (6,))
    q = q.detach().requires_grad_()
    o = attention_triton(q, k, v, bounds, 6)
    (dq,) = torch.autograd.grad(o.square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dq.sum().backward()


@OPS
def test_the_tables_get_no_gradient(op, device):
    q, k, v, _, bounds = packed(device, (6,))
    cos, sin = (t.requires_grad_() for t in angles(device, 6, 16))
    o = op(q.detach().requires_grad_(), k, v, bounds, 6, rotary=(cos, sin))
    assert torch.autograd.grad(o.sum(), (cos, sin), allow_unused=True) == (None, None)


# Errors


@OPS
def test_wrong_arguments_are_named(op):
    q, k, v, _, bounds = packed("cpu", (3, 4))
    cos, sin = angles("cpu", 4, 16)
    for match, call in {
        r"q must be floating point \[T, H, D\]": lambda: op(q[:, 0], k, v, bounds, 4),
        "k is": lambda: op(q, k[:5], v, bounds, 4),
        "v is torch.float16": lambda: op(q, k, v.half(), bounds, 4),
        "cu_seqlens must be int32": lambda: op(q, k, v, bounds.long(), 4),
        "cu_seqlens is on meta": lambda: op(q, k, v, bounds.to("meta"), 4),
        "max_seqlen must not be negative": lambda: op(q, k, v, bounds, -1),
        "window must not be negative, got -2": lambda: op(q, k, v, bounds, 4, window=-2),
        r"two floating point \[4 or more, 8\], got torch.float32 \[3, 8\]": lambda: op(
            q, k, v, bounds, 4, rotary=(cos, sin[:3])
        ),
        r"got torch.float32 \[4, 7\]": lambda: op(q, k, v, bounds, 4, rotary=(cos[:, 1:], sin)),
        "got torch.int32": lambda: op(q, k, v, bounds, 4, rotary=(cos, sin.int())),
        "needs a seed": lambda: op(q, k, v, bounds, 4, dropout=0.1),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert "\n" not in str(error.value)


@OPS
@pytest.mark.parametrize(
    ("bounds", "match"),
    [
        ([1, 7], "runs from 1 to 7, must be from 0 to 7 at most"),
        ([0, 8], "runs from 0 to 8, must be from 0 to 7 at most"),
        ([0, 4, 3, 7], "sequence 1 has length -1"),
        ([0, 5, 7], "sequence 0 has length 5, must be 0 to 4"),
    ],
)
def test_the_bounds_are_checked_on_a_cpu(op, bounds, match):
    q, k, v, _, _ = packed("cpu", (7,))
    with pytest.raises(ValueError, match=match):
        op(q, k, v, torch.tensor(bounds, dtype=torch.int32), 4)


def test_what_the_kernel_cannot_do_is_named():
    q, k, v, _, bounds = packed("cpu", (7,), size=48)
    with pytest.raises(ValueError, match="head size 48 is not one of"):
        attention_triton(q, k, v, bounds, 7)
    with pytest.raises(ValueError, match=r"qkv must be \[T, 3, H, D\], got \[7, 1, 48\]"):
        attention_packed(q, bounds, 7)


# Dispatch and others' kernels


def call_of(**facts):
    usual = {"op": "attention", "device": torch.device("cuda"), "dtype": torch.bfloat16, "size": 64}
    return Call(**usual | facts)


def test_on_a_cpu_the_reference_runs():
    q, k, v, _, bounds = packed("cpu", (3, 40))
    assert torch.equal(attention(q, k, v, bounds, 40), attention_reference(q, k, v, bounds, 40))


def test_what_others_cannot_do_is_said(monkeypatch):
    monkeypatch.setattr(launches, "architecture", lambda device: "sm_90")
    monkeypatch.setattr(module, "_HAS_FLASH_ATTN", True)
    rejects = {i.name: i.rejects for i in dispatch.implementations("attention")}
    for name in ("triton", "torch", "sdpa", "varlen", "flash_attn"):
        assert rejects[name](call_of()) is None
    for name, facts, match in (
        ("triton", {"size": 48}, "head sizes"),
        ("triton", {"dtype": torch.float64}, "fp32, fp16 and bf16, not torch.float64"),
        ("sdpa", {"ragged": True}, "must all have the greatest length"),
        ("sdpa", {"window": True}, "no window"),
        ("sdpa", {"deterministic": True}, "atomics"),
        *((name, {"dropout": 0.1}, "mask") for name in ("sdpa", "varlen", "flash_attn")),
        ("varlen", {"dtype": torch.float32}, "fp16 and bf16, not torch.float32"),
        ("flash_attn", {"size": 12}, "head sizes"),
    ):
        assert match in rejects[name](call_of(**facts))
    for arch in ("cpu", "gfx942", "sm_75"):
        monkeypatch.setattr(launches, "architecture", lambda device, arch=arch: arch)
        assert f"this is {arch}" in rejects["varlen"](call_of())
    monkeypatch.setattr(module, "_HAS_VARLEN", False)
    monkeypatch.setattr(module, "_HAS_FLASH_ATTN", False)
    assert "no varlen attention" in rejects["varlen"](call_of())
    assert "not installed" in rejects["flash_attn"](call_of())


def test_sdpa_of_full_sequences(device):
    q, k, v, grad, bounds = packed(device, (24, 24, 24))
    options = {"scale": 0.3, "rotary": angles(device, 30, 16)}
    got = run(attention_sdpa, q, k, v, grad, bounds, **options)
    for a, b in zip(got, run(attention_reference, q, k, v, grad, bounds, **options), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-6)


class Leaky(torch.autograd.Function):
    """Attention that leaves NaN where no sequence is, in the result and in the gradients."""

    @staticmethod
    def forward(ctx, q, k, v, bounds, longest, scale, window):
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in (q, k, v)]
            o = attention_reference(*leaves, bounds, longest, scale=scale, window=window)
        ctx.saved, ctx.end = (leaves, o), int(bounds[-1])
        o = o.detach().clone()
        o[ctx.end :] = float("nan")
        return o

    @staticmethod
    def backward(ctx, do):
        leaves, o = ctx.saved
        gradients = torch.autograd.grad(o, leaves, do)
        for g in gradients:
            g[ctx.end :] = float("nan")
        return *gradients, None, None, None, None


def leaky(q, k, v, bounds_q, bounds_k, longest_q, longest_k, *, window_size, **options):
    """The signature that torch's varlen_attn and flash-attn have in common."""
    assert bounds_q is bounds_k
    assert longest_q == longest_k
    assert window_size[0] == window_size[1]
    assert options.pop("deterministic", False) is torch.are_deterministic_algorithms_enabled()
    (scale,) = options.values()
    window = None if window_size[0] < 0 else window_size[0]
    return Leaky.apply(q, k, v, bounds_q, longest_q, scale, window)


@pytest.mark.parametrize("op", [attention_varlen, attention_flash])
@pytest.mark.parametrize(("lengths", "unused"), [((20, 3, 0), 5), ((16, 16), 0)])
@pytest.mark.parametrize("window", [None, 4])
def test_flash_attention_where_it_is_installed(op, lengths, unused, window, monkeypatch):
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", leaky)
    flash_attn = types.SimpleNamespace(flash_attn_varlen_func=leaky)
    monkeypatch.setitem(sys.modules, "flash_attn", flash_attn)
    q, k, v, grad, bounds = packed("cpu", lengths, unused=unused)
    options = {"window": window, "rotary": angles("cpu", 20, 16), "scale": 0.3}
    expected = run(attention_reference, q, k, v, grad, bounds, **options)
    for t in (q, k, v):
        t[sum(lengths) :] = float("nan")
    got = run(op, q, k, v, grad, bounds, **options)
    assert same_bits(got, expected)


# On a GPU alone


@pytest.mark.gpu
def test_a_captured_graph_replays(device):
    """Nothing waits for the GPU, and nothing but the tensors changes from step to step."""
    inputs = packed(device, (100, 300, 7), dtype=torch.bfloat16, size=64, unused=105)
    options = everything(device, size=64, positions=512)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run(attention_triton, *inputs, 512, **options)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run(attention_triton, *inputs, 512, **options)
    inputs[0].mul_(-0.5)
    inputs[4].copy_(torch.tensor([0, 250, 251, 400]))
    options["seed"].fill_(99)
    graph.replay()
    assert same_bits(captured, run(attention_triton, *inputs, 512, **options))


@pytest.mark.gpu
@pytest.mark.parametrize("op", [attention_sdpa, attention_varlen])
def test_others_agree_with_ours(op, device):
    unused = 0 if op is attention_sdpa else 56
    lengths = (256, 256) if op is attention_sdpa else (200, 0, 256)
    inputs = packed(device, lengths, dtype=torch.bfloat16, size=64, unused=unused)
    options = {"rotary": angles(device, 256, 64)}
    if op is attention_varlen:
        options["window"] = 64
    got = run(op, *inputs, **options)
    for a, b in zip(got, run(attention_triton, *inputs, **options), strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)
