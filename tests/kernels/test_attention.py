from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kernels import attention, attention_reference
from kobert_kernels.attention import AttentionLaunch, Tiling, attention_triton
from kobert_kernels.philox import keep_scale, keep_scores

OPS = pytest.mark.parametrize("op", [attention_triton, attention_reference])
PROPERTY = settings(max_examples=8, deadline=None, derandomize=True)
SMALL = Tiling(block_m=16, block_n=32, num_warps=4, num_stages=1)
WIDE = Tiling(block_m=32, block_n=64, num_warps=4, num_stages=1)


def packed(device, lengths, heads=2, size=16, dtype=torch.float32):
    """q, k, v as views of one tensor, an incoming gradient, and the bounds."""
    draw = torch.Generator().manual_seed(sum(lengths) * 100 + len(lengths))
    qkv = torch.randn(sum(lengths), 3, heads, size, generator=draw).to(device, dtype)
    grad = torch.randn(sum(lengths), heads, size, generator=draw).to(device, dtype)
    bounds = torch.tensor((0, *lengths)).cumsum(0).to(device, torch.int32)
    return (*qkv.unbind(1), grad, bounds)


def run(op, q, k, v, grad, bounds, longest=None, **options):
    """The result and the gradients of q, k, v."""
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    if longest is None:
        longest = int(bounds.diff().max())
    o = op(*leaves, bounds, longest, **options)
    return (o, *torch.autograd.grad(o, leaves, grad))


def same_bits(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def one_by_one(q, k, v, bounds, scale=None):
    """Each sequence alone, each head alone, nothing but softmax."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    o = torch.zeros_like(q)
    for start, end in pairwise(bounds.tolist()):
        for h in range(q.shape[1]):
            score = q[start:end, h] @ k[start:end, h].T * scale
            o[start:end, h] = score.softmax(-1) @ v[start:end, h]
    return o


@pytest.mark.parametrize(
    "lengths", [(1,), (32,), (64, 64), (5, 0, 33), (31, 32, 33, 1, 97), (0, 0, 7)], ids=str
)
@pytest.mark.parametrize("scale", [None, 0.7])
def test_the_reference_is_attention_within_each_sequence(lengths, scale):
    q, k, v, grad, bounds = packed("cpu", lengths, dtype=torch.float64)
    got = run(attention_reference, q, k, v, grad, bounds, scale=scale)
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    o = one_by_one(*leaves, bounds, scale)
    for a, b in zip(got, (o, *torch.autograd.grad(o, leaves, grad)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_the_reference_with_dropout_agrees_with_gradcheck_and_the_mask():
    q, k, v, _, bounds = packed("cpu", (3, 5), heads=2, size=4, dtype=torch.float64)
    seed = torch.tensor([21])
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    assert torch.autograd.gradcheck(
        lambda q, k, v: attention_reference(q, k, v, bounds, 5, dropout=0.3, seed=seed), leaves
    )
    keep = keep_scores(seed, torch.tensor([1]), 2, 5, 0.3)[0]
    weights = (q[3:].transpose(0, 1) @ k[3:].permute(1, 2, 0) / 2).softmax(-1)
    expected = (weights * keep * keep_scale(0.3)) @ v[3:].transpose(0, 1)
    got = attention_reference(q, k, v, bounds, 5, dropout=0.3, seed=seed)[3:]
    torch.testing.assert_close(got, expected.transpose(0, 1))


def test_the_reference_takes_the_flash_kernel_of_pytorch():
    q, k, v, grad, bounds = packed("cpu", (40, 50, 33), size=64)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run(attention_reference, q, k, v, grad, bounds)
    names = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in names


@OPS
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_no_sequence_sees_another(op, dropout, device):
    """Neither other contents nor another length of one sequence moves the others by a bit."""
    options = {"dropout": dropout, "seed": torch.tensor([3], device=device)}
    lengths = [20, 32, 9, 41]
    q, k, v, grad, bounds = packed(device, lengths)
    before = run(op, q, k, v, grad, bounds, **options)
    for changed in (1, 2):
        start, end = bounds[changed].item(), bounds[changed + 1].item()
        others = torch.ones(len(q), dtype=torch.bool, device=device)
        others[start:end] = False
        inputs = [t.clone() for t in (q, k, v, grad)]
        for t in inputs:
            t[start:end] = t[start:end] * -3 + 1
        after = run(op, *inputs, bounds, **options)
        assert same_bits([t[others] for t in before], [t[others] for t in after])
        assert not torch.equal(before[0][~others], after[0][~others])

        for length in (0, 70):  # none, and longer than all: repeat or cut the sequence's tokens
            index = torch.arange(len(q), device=device)
            new = torch.arange(length, device=device) % (end - start) + start
            index = torch.cat((index[:start], new, index[end:]))
            new_lengths = torch.tensor([*lengths[:changed], length, *lengths[changed + 1 :]])
            moved = torch.cat((torch.zeros(1), new_lengths.cumsum(0))).to(device, torch.int32)
            after = run(op, *(t[index] for t in (q, k, v, grad)), moved, **options)
            kept = torch.cat((others[:start], others.new_zeros(length), others[end:]))
            assert same_bits([t[others] for t in before], [t[kept] for t in after])


@PROPERTY
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4), data=st.data())
def test_packed_equals_one_sequence_at_a_time_in_any_order(device, lengths, data):
    q, k, v, grad, bounds = packed(device, lengths)
    together = run(attention_triton, q, k, v, grad, bounds)
    spans = [slice(a, b) for a, b in pairwise(bounds.tolist())]
    for span in spans:
        parts = [t[span] for t in (q, k, v, grad)]
        end = torch.tensor([0, span.stop - span.start], dtype=torch.int32, device=device)
        assert same_bits([t[span] for t in together], run(attention_triton, *parts, end))

    order = data.draw(st.permutations(range(len(lengths))))
    index = torch.cat([torch.arange(len(q), device=device)[spans[i]] for i in order])
    shuffled = torch.tensor([0, *(lengths[i] for i in order)]).cumsum(0).to(device, torch.int32)
    permuted = run(attention_triton, *(t[index] for t in (q, k, v, grad)), shuffled)
    assert same_bits([t[index] for t in together], permuted)


@PROPERTY
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3), shift=st.floats(-2, 2))
def test_a_shift_of_all_scores_changes_nothing(device, lengths, shift):
    """One vector added to every key adds q * vector to all scores of a query."""
    q, k, v, _, bounds = packed(device, lengths)
    got = attention_triton(q, k + shift, v, bounds, max(lengths))
    expected = attention_triton(q, k, v, bounds, max(lengths))
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


@PROPERTY
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_equal_values_come_back_and_scores_get_no_net_gradient(device, lengths):
    """The weights of a query sum to 1, so dV sums to the incoming gradient and dK to 0."""
    q, k, v, grad, bounds = packed(device, lengths)
    o, _, dk, dv = run(attention_triton, q, k, torch.full_like(v, 1.5), grad, bounds)
    torch.testing.assert_close(o, torch.full_like(o, 1.5))
    for start, end in pairwise(bounds.tolist()):
        torch.testing.assert_close(dv[start:end].sum(0), grad[start:end].sum(0), rtol=0, atol=1e-4)
        assert dk[start:end].sum(0).abs().max() < 1e-4


@OPS
def test_forward_and_backward_drop_the_same_weights(op, device):
    """O is linear in V: <O(V), G> = <V, dV> holds only if both directions use one mask."""
    q, k, v, grad, bounds = packed(device, (37, 50), size=32)
    options = {"dropout": 0.5, "seed": torch.tensor([77], device=device)}
    o, _, _, dv = run(op, q, k, v, grad, bounds, **options)
    forward, backward = (o.double() * grad).sum(), (v.double() * dv).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-5, atol=1e-4)
    other = run(op, q, k, v, grad, bounds, dropout=0.5, seed=torch.tensor([78], device=device))
    assert ((o.double() * grad).sum() - (v.double() * other[3]).sum()).abs() > 0.1


def test_backward_is_the_slope_of_forward(device):
    """Central difference along one direction, kernels only: no reference takes part."""
    q, k, v, grad, bounds = packed(device, (23, 40), size=32)
    options = {"dropout": 0.3, "seed": torch.tensor([4], device=device)}
    _, *slopes = run(attention_triton, q, k, v, grad, bounds, **options)
    step = torch.randn(q.shape, generator=torch.Generator().manual_seed(1)).to(device)
    h = 1e-2  # the error is of order h^2 in truncation and 1e-7 / h in rounding: both near 1e-4

    def value(which, h):
        inputs = [t + h * step if i == which else t for i, t in enumerate((q, k, v))]
        o = attention_triton(*inputs, bounds, 40, **options)
        return (o.double() * grad).sum()

    for which, slope in enumerate(slopes):
        numeric = (value(which, h) - value(which, -h)) / (2 * h)
        torch.testing.assert_close((slope.double() * step).sum(), numeric, rtol=2e-3, atol=1e-2)


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


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("tiling", [SMALL, WIDE], ids=["16x32", "32x64"])
def test_the_tiles_change_the_rounding_alone(tiling, dropout, device):
    options = {"dropout": dropout, "seed": torch.tensor([2], device=device)}
    launch = AttentionLaunch(block_d=16, forward=tiling, backward_q=tiling, backward_kv=tiling)
    q, k, v, grad, bounds = packed(device, (70, 33, 1), heads=1)
    got = run(attention_triton, q, k, v, grad, bounds, launch=launch, **options)
    expected = run(attention_reference, q, k, v, grad, bounds, **options)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-6)


@OPS
def test_layouts_and_what_lies_around_them(op, device):
    """Any strides with adjacent columns are read in place, and nothing beside them is read."""
    q, k, v, grad, bounds = packed(device, (19, 34))
    expected = run(op, *(t.contiguous() for t in (q, k, v, grad)), bounds)
    nan = torch.full((4, 2, 53 + 60, 32), float("nan"), device=device)  # head before token
    for buffer, t in zip(nan, (q, k, v, grad), strict=True):
        buffer[:, 30:83, 8:24] = t.transpose(0, 1)
    views = [buffer[:, 30:83, 8:24].transpose(0, 1) for buffer in nan]
    assert same_bits(run(op, *views, bounds), expected)
    # Each of them with strides of its own.
    mixed = [views[0], k.contiguous(), v, views[3]]
    assert same_bits(run(op, *mixed, bounds), expected)
    mixed = [q.contiguous(), views[1], views[2], grad]
    assert same_bits(run(op, *mixed, bounds), expected)
    mixed = [q, k, views[2], views[3]]
    assert same_bits(run(op, *mixed, bounds), expected)
    scattered = [t.transpose(0, 2).contiguous().transpose(0, 2) for t in (q, k, v, grad)]
    assert scattered[0].stride(2) != 1
    assert same_bits(run(op, *scattered, bounds), expected)


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
def test_no_tokens(op, lengths, device):
    q, k, v, grad, bounds = packed(device, lengths)
    options = {"dropout": 0.1, "seed": torch.tensor([1], device=device)}
    for longest in (0, 128):
        outputs = run(op, q, k, v, grad, bounds, longest, **options)
        assert [t.shape for t in outputs] == [(0, 2, 16)] * 4


@OPS
def test_a_lone_token_sees_itself(op, device):
    q, k, v, grad, bounds = packed(device, (1, 1, 1))
    o, dq, dk, dv = run(op, q, k, v, grad, bounds)
    assert torch.equal(o, v)
    assert torch.equal(dv, grad)
    assert max(dq.abs().max(), dk.abs().max()) < 1e-5


@OPS
def test_huge_scores_stay_finite(op, device):
    """Scores of +-3000 overflow exp in fp32; the maximum is subtracted first."""
    q, k, v, grad, bounds = packed(device, (40, 3))
    outputs = run(op, q * 30, k * 30, v, grad, bounds, scale=1.0)
    assert all(t.isfinite().all() for t in outputs)
    best = (q[:40, 0] @ k[:40, 0].T).argmax(1)
    torch.testing.assert_close(outputs[0][:40, 0], v[best, 0], rtol=0, atol=1e-3)


@OPS
def test_a_longest_length_with_room_to_spare(op, device):
    q, k, v, grad, bounds = packed(device, (17, 5))
    assert same_bits(run(op, q, k, v, grad, bounds, 300), run(op, q, k, v, grad, bounds, 17))


@OPS
def test_two_runs_give_the_same_bits_and_leave_the_inputs_alone(op, device):
    given = packed(device, (33, 45), size=32)
    before = [t.clone() for t in given]
    options = {"dropout": 0.2, "seed": torch.tensor([6], device=device)}
    assert same_bits(run(op, *given, **options), run(op, *given, **options))
    assert same_bits(given, before)


def test_a_second_derivative_raises(device):
    q, k, v, _, bounds = packed(device, (6,))
    q = q.detach().requires_grad_()
    o = attention_triton(q, k, v, bounds, 6)
    (dq,) = torch.autograd.grad(o.square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dq.sum().backward()


@OPS
def test_wrong_arguments_are_named(op):
    q, k, v, _, bounds = packed("cpu", (3, 4))
    for match, call in {
        r"q must be floating point \[T, H, D\]": lambda: op(q[:, 0], k, v, bounds, 4),
        "k is": lambda: op(q, k[:5], v, bounds, 4),
        "v is torch.float16": lambda: op(q, k, v.half(), bounds, 4),
        "cu_seqlens must be int32": lambda: op(q, k, v, bounds.long(), 4),
        "must not be negative": lambda: op(q, k, v, bounds, -1),
        "needs a seed": lambda: op(q, k, v, bounds, 4, dropout=0.1),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bounds", "match"),
    [
        ([1, 7], "runs from 1 to 7, must be 0 to 7"),
        ([0, 6], "runs from 0 to 6, must be 0 to 7"),
        ([0, 4, 3, 7], "sequence 1 has length -1"),
        ([0, 5, 7], "sequence 0 has length 5, must be 0 to 4"),
    ],
)
def test_the_reference_checks_the_bounds(bounds, match):
    q, k, v, _, _ = packed("cpu", (7,))
    with pytest.raises(ValueError, match=match):
        attention_reference(q, k, v, torch.tensor(bounds, dtype=torch.int32), 4)


def test_the_kernel_names_what_it_cannot_do():
    q, k, v, _, bounds = packed("cpu", (7,), size=48)
    with pytest.raises(ValueError, match="head size 48 is not one of"):
        attention_triton(q, k, v, bounds, 7)
    with pytest.raises(ValueError, match="float64"):
        attention_triton(q.double(), k.double(), v.double(), bounds, 7)


def test_on_a_cpu_the_reference_runs():
    q, k, v, _, bounds = packed("cpu", (3, 40))
    assert torch.equal(attention(q, k, v, bounds, 40), attention_reference(q, k, v, bounds, 40))
