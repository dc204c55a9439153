import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from kobert_kernels import launches, use
from kobert_kernels.cross_entropy import (
    CPU_PIECE,
    IGNORED,
    cross_entropy,
    cross_entropy_fwd,
    cross_entropy_overwrite,
    cross_entropy_reference,
    cross_entropy_scale,
    cross_entropy_triton,
    linear_cross_entropy,
    linear_cross_entropy_chunks,
    linear_cross_entropy_reference,
    linear_cross_entropy_triton,
)

OPS = pytest.mark.parametrize("op", [cross_entropy_triton, cross_entropy_reference])
LINEAR_OPS = pytest.mark.parametrize(
    "op", [linear_cross_entropy_triton, linear_cross_entropy_reference]
)
BUDGETS = pytest.mark.parametrize("rows_per_chunk", [100, 5], ids=["whole", "chunks"])
PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)
# torch 2.13 (2026): Dynamo itself makes an instance of every autograd.Function that it traces.
COMPILED = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
INFINITE = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def draw(device, rows, words, dtype=torch.float32, ignore=True):
    generator = torch.Generator().manual_seed(rows * 1000 + words)
    logits = (3 * torch.randn(rows, words, generator=generator)).to(device, dtype)
    labels = torch.randint(words, (rows,), generator=generator)
    if ignore:
        labels[1::3] = IGNORED
    return logits, labels.to(device)


def gradients(op, logits, labels, scale=1.0, **options):
    leaf = logits.detach().requires_grad_()
    loss, correct = op(leaf.clone(), labels, **options)
    (dlogits,) = torch.autograd.grad(loss * scale, leaf)
    return loss.detach(), correct, dlogits


def draw_linear(device, rows, words, width, dtype=torch.float32):
    generator = torch.Generator().manual_seed(rows * 1000 + words)
    x, weight = (torch.randn(n, width, generator=generator) for n in (rows, words))
    bias, labels = torch.randn(words, generator=generator), draw("cpu", rows, words)[1]
    leaves = [t.to(device, dtype).requires_grad_() for t in (x, weight, bias)]
    return *leaves, labels.to(device)


def budget(rows, weight, itemsize=4):
    return rows * weight.shape[0] * itemsize


def linear_gradients(op, x, weight, bias, labels, scale=1.0, **options):
    loss, correct = op(x, weight, bias, labels, **options)
    leaves = [t for t in (x, weight, bias) if t is not None and t.requires_grad]
    return loss.detach(), correct, *torch.autograd.grad(loss * scale, leaves)


def close(left, right, **tolerance):
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


def same(left, right):
    close(left, right, rtol=0, atol=0)


# What is computed


@OPS
@pytest.mark.parametrize("smoothing", [0.0, 0.25, 1.0])
def test_the_loss_and_its_gradient_are_those_of_torch(op, smoothing, device):
    logits, labels = draw(device, 14, 97)
    leaf = logits.clone().requires_grad_()
    expected = F.cross_entropy(leaf, labels, label_smoothing=smoothing)
    expected.backward()
    loss, correct, dlogits = gradients(op, logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(dlogits, leaf.grad, rtol=1e-5, atol=1e-7)
    assert correct == (logits.argmax(1) == labels).sum()
    assert (loss.shape, correct.shape, correct.dtype) == ((), (), torch.int64)


@OPS
def test_the_z_loss_is_added_for_used_rows(op, device):
    logits, labels = draw(device, 11, 40)
    plain = op(logits, labels)[0]
    used = labels != IGNORED
    expected = plain + 0.3 * logits[used].logsumexp(1).square().mean()
    torch.testing.assert_close(op(logits, labels, z_loss=0.3)[0], expected)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.25, "z_loss": 0.125}], ids=str)
def test_gradcheck_in_fp64(options, device):
    logits, labels = draw(device, 4, 9, torch.float64)
    for op in (cross_entropy_triton, cross_entropy_reference):
        assert torch.autograd.gradcheck(
            lambda x, op=op: op(x.clone(), labels, **options)[0],
            logits.requires_grad_(),
            fast_mode=True,
        )


def test_backward_is_the_slope_of_forward(device):
    """Central difference along one direction, kernels only: no reference takes part."""
    logits, labels = draw(device, 9, 33)
    options = {"label_smoothing": 0.2, "z_loss": 0.1}
    dlogits = gradients(cross_entropy_triton, logits, labels, **options)[2]
    step = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(device)
    h = 1e-2  # the error is of order h^2 in truncation and 1e-7 / h in rounding
    up, down = (
        cross_entropy_triton(logits + s * h * step, labels, **options)[0].double() for s in (1, -1)
    )
    slope = (dlogits.double() * step).sum()
    torch.testing.assert_close(slope, (up - down) / (2 * h), rtol=2e-3, atol=1e-4)


def multi_sweep(words, dtype=torch.float32, columns=16):
    """Inside, rows of `words` logits are read in tiles of 16 columns."""
    size = launches.power_of_two(words)
    row = launches.launch(
        "cross_entropy.forward", size=size, dtype=dtype, device=torch.device("cpu")
    )
    blocks = {"BLOCK_R": 2, "BLOCK_V": columns}
    return launches.replaced(dataclasses.replace(row, blocks=blocks, num_stages=2))


@pytest.mark.parametrize("words", [17, 32, 100])
def test_two_sweeps_give_what_one_gives(words, device):
    logits, labels = draw(device, 5, words)
    logits[0] += torch.linspace(0, 30, words, device=device)  # the maximum rises in every tile
    options = {"label_smoothing": 0.2, "z_loss": 0.1}
    once = gradients(cross_entropy_triton, logits, labels, **options)
    with multi_sweep(words):
        twice = gradients(cross_entropy_triton, logits, labels, **options)
    close(once, twice, rtol=1e-5, atol=1e-6)


# Properties


@PROPERTY
@given(rows=st.integers(1, 20), words=st.integers(2, 130), shift=st.floats(-50, 50))
def test_a_constant_added_to_a_row_changes_nothing(device, rows, words, shift):
    logits, labels = draw(device, rows, words)
    shifted = logits + torch.linspace(-shift, shift, rows, device=device)[:, None]
    options = {"label_smoothing": 0.3}
    close(
        gradients(cross_entropy_triton, shifted, labels, **options),
        gradients(cross_entropy_triton, logits, labels, **options),
        rtol=1e-4,
        atol=1e-4,
    )


@OPS
@pytest.mark.parametrize("words", [10, 100])
def test_a_large_constant_costs_only_the_digits_of_the_logits(op, words, device):
    logits, labels = draw(device, 8, words)
    logits = (logits * 64).round() / 64 + 10000  # exactly representable, so that the shift is exact
    options = {"label_smoothing": 0.3}
    expected = gradients(cross_entropy_reference, logits.double() - 10000, labels, **options)
    got = gradients(op, logits, labels, **options)
    close([t.double() for t in got], [t.double() for t in expected], rtol=1e-6, atol=1e-6)
    with multi_sweep(words):
        got = gradients(op, logits, labels, **options)
    close([t.double() for t in got], [t.double() for t in expected], rtol=1e-6, atol=1e-6)


@PROPERTY
@given(
    rows=st.integers(1, 20), words=st.integers(2, 130), smoothing=st.sampled_from([0.0, 0.1, 1.0])
)
def test_the_gradient_of_a_row_sums_to_zero(device, rows, words, smoothing):
    logits, labels = draw(device, rows, words)
    dlogits = gradients(cross_entropy_triton, logits, labels, label_smoothing=smoothing)[2]
    assert dlogits.double().sum(1).abs().max() < 1e-6


@OPS
def test_ignored_rows_count_for_nothing_and_get_exact_zeros(op, device):
    logits, labels = draw(device, 12, 50)
    used = labels != IGNORED
    options = {"label_smoothing": 0.1, "z_loss": 0.2}
    loss, correct, dlogits = gradients(op, logits, labels, **options)
    alone = gradients(op, logits[used], labels[used], **options)
    close((loss, correct, dlogits[used]), alone, rtol=1e-6, atol=1e-8)
    assert not dlogits[~used].any()


def test_ignored_rows_are_not_even_read(device):
    logits, labels = draw(device, 12, 50)
    expected = gradients(cross_entropy_triton, logits, labels, z_loss=0.1)
    logits[labels == IGNORED] = float("nan")
    same(gradients(cross_entropy_triton, logits, labels, z_loss=0.1), expected)


@OPS
@pytest.mark.parametrize("rows", [0, 7])
def test_without_a_used_row_all_is_zero(op, rows, device):
    logits, labels = draw(device, rows, 20)
    options = {"label_smoothing": 0.1, "z_loss": 0.2}
    loss, correct, dlogits = gradients(op, logits, torch.full_like(labels, IGNORED), **options)
    assert loss == 0
    assert correct == 0
    assert torch.equal(dlogits, torch.zeros_like(logits))


@OPS
def test_another_label_can_be_the_ignored_one(op, device):
    logits, labels = draw(device, 12, 30, ignore=False)
    labels[::2] = 7
    for ignored in (7, 0, 1, -1):
        expected = F.cross_entropy(logits, labels, ignore_index=ignored)
        torch.testing.assert_close(op(logits, labels, ignored=ignored)[0], expected)


@OPS
def test_permuted_rows_have_permuted_gradients(op, device):
    logits, labels = draw(device, 19, 33)
    order = torch.randperm(19, generator=torch.Generator().manual_seed(0)).to(device)
    _, correct, dlogits = gradients(op, logits, labels)
    _, correct_permuted, permuted = gradients(op, logits[order], labels[order])
    same((correct, dlogits[order]), (correct_permuted, permuted))


@OPS
def test_a_label_that_shares_the_top_is_counted(op, device):
    logits = torch.tensor([[1.0, 2, 2], [2, 2, 1], [0, 1, 2], [3, 3, 3]], device=device)
    labels = torch.tensor([2, 2, 1, 1], device=device)
    assert op(logits, labels)[1] == 2


@OPS
@INFINITE
@pytest.mark.parametrize("columns", [128, 16])
def test_infinite_logits(op, columns, device):
    logits, labels = draw(device, 6, 100, ignore=False)
    logits[0, :64] = -torch.inf  # four whole tiles, the first among them
    logits[1, 40:] = -torch.inf
    labels[0], labels[1] = 70, 3
    leaf = logits.clone().requires_grad_()
    F.cross_entropy(leaf, labels).backward()
    with multi_sweep(100, columns=columns):
        loss, _, dlogits = gradients(op, logits, labels)
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels))
        torch.testing.assert_close(dlogits, leaf.grad, rtol=1e-5, atol=1e-7)
        labels[1] = 50  # of probability 0
        assert op(logits, labels)[0] == torch.inf
        assert op(logits, labels, label_smoothing=0.1)[0] == torch.inf
        for wrong in (torch.inf, torch.nan):
            bad = logits[2:].clone()
            bad[1, 20] = wrong
            labels[3] = 20
            loss, correct, dlogits = gradients(op, bad, labels[2:])
            assert loss.isnan()
            assert dlogits[1].isnan().any()
            assert dlogits[[0, 2, 3]].isfinite().all()
            right = (bad.argmax(1) == labels[2:])[[0, 2, 3]].sum()
            assert correct == right
        nothing = torch.full((1, 100), -torch.inf, device=device)
        loss, correct = op(nothing, labels[:1])
        assert loss.isnan()
        assert correct == 0


@pytest.mark.parametrize("label", [40, -1, 2**40, -(2**40)])
def test_a_label_of_no_word_gives_nan_and_spoils_no_other_row(label, device):
    logits, labels = draw(device, 5, 40, ignore=False)
    expected = gradients(cross_entropy_triton, logits, labels)[2]
    labels[2] = label
    loss, _, dlogits = gradients(cross_entropy_triton, logits, labels)
    assert loss.isnan()
    assert dlogits[2].isnan().all()
    others = torch.tensor([0, 1, 3, 4], device=device)
    assert torch.equal(dlogits[others], expected[others])


def test_a_label_of_no_word_raises_on_a_cpu():
    logits, labels = draw("cpu", 5, 40)
    labels[0] = 40
    with pytest.raises(IndexError):
        cross_entropy_reference(logits, labels)


# Dtypes and layouts


@OPS
@pytest.mark.parametrize("scale", [3.0, 2.0**16, -0.125, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_incoming_gradient_multiplies(op, dtype, scale, device):
    logits, labels = draw(device, 13, 30, dtype)
    exact = gradients(op, logits.double(), labels)[2] * scale
    _, _, dlogits = gradients(op, logits, labels, scale)
    assert dlogits.dtype == dtype
    largest = exact.abs().max().item()
    tolerance = torch.finfo(dtype).eps * 2 * largest
    torch.testing.assert_close(dlogits.double(), exact, rtol=0, atol=tolerance)


@OPS
def test_with_a_loss_scale_fp16_keeps_small_probabilities(op, device):
    """Over 20000 words and 33 rows p / M is 1.5e-6, of which fp16 has four bits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(33, 20000, generator=generator).to(device, torch.float16)
    labels = torch.zeros(33, dtype=torch.int64, device=device)
    exact = gradients(cross_entropy_reference, logits.double(), labels)[2]
    dlogits = gradients(op, logits[:], labels, 2.0**16)[2].double() / 2**16
    relative = ((dlogits - exact) / exact)[:, 1:].square().mean().sqrt()
    assert relative < 3e-3


@OPS
def test_results_are_fp32_for_16_bit_logits(op, device):
    logits, labels = draw(device, 4, 20, torch.float16)
    loss, _, dlogits = gradients(op, logits, labels)
    assert (loss.dtype, dlogits.dtype) == (torch.float32, torch.float16)
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), labels))


@OPS
def test_labels_of_32_bits_and_at_odd_addresses(op, device):
    logits, labels = draw(device, 12, 30)
    expected = gradients(op, logits, labels)
    wide = F.pad(labels, (1, 1), value=29)
    sparse = torch.stack((labels, labels.flip(0)), 1)[:, 0]
    for other in (labels.int(), wide[1:-1], sparse):
        same(gradients(op, logits, other), expected)


@OPS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_strided_logits_and_what_lies_between_them(op, dtype, device):
    logits, labels = draw(device, 10, 21, dtype)
    expected = gradients(op, logits, labels, 3.0)
    leaf = logits.clone().requires_grad_()
    around = torch.full((10, 64), 7.0, dtype=dtype, device=device) * 1
    around[:, 11:32] = leaf
    loss, correct = op(around[:, 11:32], labels)
    same((loss, correct, *torch.autograd.grad(loss * 3.0, leaf)), expected)
    assert (around[:, :11] == 7).all()
    assert (around[:, 32:] == 7).all()
    for odd in (leaf.t().clone().t(), torch.stack((leaf, leaf), 2)[..., 0]):
        loss, correct = op(odd, labels)
        same((loss, correct, *torch.autograd.grad(loss * 3.0, leaf)), expected)


@OPS
def test_rows_that_are_one_row_repeated(op, device):
    logits, labels = draw(device, 6, 21)
    leaf = logits[:1].clone().requires_grad_()
    loss, _ = op((leaf * 1).expand(6, 21), labels)
    (got,) = torch.autograd.grad(loss, leaf)
    expected = gradients(op, logits[:1].expand(6, 21).clone(), labels)[2].sum(0, keepdim=True)
    torch.testing.assert_close(got, expected)


@OPS
def test_two_runs_give_the_same_bits(op, device):
    logits, labels = draw(device, 40, 75)
    options = {"label_smoothing": 0.1, "z_loss": 0.1}
    same(gradients(op, logits, labels, **options), gradients(op, logits, labels, **options))


def test_the_reference_in_pieces_is_the_reference(monkeypatch):
    logits, labels = draw("cpu", 11, 100)
    whole = gradients(cross_entropy_reference, logits, labels, z_loss=0.1)
    assert CPU_PIECE > 1100
    for piece in (1, 300, 1100):
        # By way of its functions: the module's name in the package belongs to the op.
        monkeypatch.setitem(cross_entropy_reference.__globals__, "CPU_PIECE", piece)
        pieces = gradients(cross_entropy_reference, logits, labels, z_loss=0.1)
        close(pieces, whole, rtol=1e-6, atol=1e-9)


# The logits are consumed


def test_the_gradient_stands_where_the_logits_stood(device):
    logits, labels = draw(device, 6, 21)
    leaf = logits.clone().requires_grad_()
    consumed = leaf * 1
    loss, _ = cross_entropy_triton(consumed, labels)
    address = consumed.data_ptr()
    held = consumed.detach().clone()
    (handed,) = torch.autograd.grad(loss, consumed_input(loss))
    assert handed.data_ptr() == address
    same((handed, held), (gradients(cross_entropy_triton, logits, labels)[2],) * 2)


def consumed_input(loss):
    """The edge by which the gradient of the logits leaves our node."""
    node, number = loss.grad_fn.next_functions[0]
    return torch.autograd.graph.GradientEdge(node, number)


@OPS
def test_where_no_gradient_is_asked_for_the_logits_stay(op, device):
    logits, labels = draw(device, 6, 21)
    before = logits.clone()
    expected = op(logits, labels)
    wants = logits.clone().requires_grad_()
    with torch.no_grad():
        same(op(wants * 1, labels), expected)
        same(op(wants, labels), expected)
    with torch.inference_mode():
        same(op(logits, labels), expected)
    assert not expected[0].requires_grad
    same((logits, wants), (before, before))


def test_a_leaf_is_refused(device):
    logits, labels = draw(device, 6, 21)
    logits.requires_grad_()
    for op in (cross_entropy_triton, cross_entropy):
        for leaf in (logits, logits[:, :21], logits.view(6, 21)):
            with pytest.raises(ValueError, match="leaf that requires grad") as error:
                op(leaf, labels)
            assert "\n" not in str(error.value)
    same((logits.detach(),), draw(device, 6, 21)[:1])


IN_PLACE = "modified by an inplace operation"


@pytest.mark.parametrize("reshape", [lambda t: t, lambda t: t.view(6, 21)], ids=["whole", "view"])
def test_what_needs_the_logits_of_before_raises(reshape, device):
    x, weight, _, labels = draw_linear(device, 6, 21, 4)
    logits = x @ weight.t()
    aux = logits.square().sum()
    loss, _ = cross_entropy_triton(reshape(logits), labels)
    with pytest.raises(RuntimeError, match=IN_PLACE):
        (loss + aux).backward()


def test_an_op_that_saved_its_result_raises(device):
    x, weight, _, labels = draw_linear(device, 6, 21, 4)
    loss, _ = cross_entropy_triton((x @ weight.t()).tanh(), labels)
    with pytest.raises(RuntimeError, match=IN_PLACE):
        loss.backward()


def test_what_uses_the_logits_afterwards_raises(device):
    x, weight, _, labels = draw_linear(device, 6, 21, 4)
    for later in (lambda t: t.square().sum(), lambda t: cross_entropy_triton(t, labels)[0]):
        logits = x @ weight.t()
        loss, _ = cross_entropy_triton(logits, labels)
        with pytest.raises(RuntimeError, match="used after their gradient") as error:
            (loss + later(logits)).backward()
        assert "\n" not in str(error.value)


def test_what_needs_no_logits_may_stand_beside(device):
    x, weight, bias, labels = draw_linear(device, 6, 21, 4)
    logits = F.linear(x, weight, bias)
    aux = logits.sum()
    loss, _ = cross_entropy_triton(logits, labels)
    got = torch.autograd.grad(loss + aux, (x, weight, bias))
    logits = F.linear(x, weight, bias)
    expected = torch.autograd.grad(
        F.cross_entropy(logits, labels) + logits.sum(), (x, weight, bias)
    )
    close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_graph_that_is_kept_can_be_differentiated_again(dtype, device):
    logits, labels = draw(device, 6, 21, dtype)
    leaf = logits.clone().requires_grad_()
    loss, _ = cross_entropy_triton(leaf * 1, labels)
    passes = [torch.autograd.grad(loss * s, leaf, retain_graph=True)[0] for s in (3.0, 0.0, 1.0)]
    passes += torch.autograd.grad(loss * 3.0, leaf)
    expected = gradients(cross_entropy_triton, logits, labels, 3.0)[2]
    same((passes[0], passes[3]), (expected, expected))
    assert not passes[1].any()
    same((passes[2],), gradients(cross_entropy_triton, logits, labels)[2:])
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, leaf)


def test_a_second_derivative_raises(device):
    logits, labels = draw(device, 3, 8)
    leaf = logits.requires_grad_()
    loss, _ = cross_entropy_triton(leaf * 1, labels)
    (dlogits,) = torch.autograd.grad(loss * loss, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dlogits.sum().backward()


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts stores of the interpreter")
def test_a_factor_of_one_moves_nothing(monkeypatch):
    from triton.runtime.interpreter import interpreter_builder

    matrix, one = torch.ones(5, 33), torch.tensor(1.0)
    stores = []
    plain = interpreter_builder.create_masked_store
    monkeypatch.setattr(
        interpreter_builder,
        "create_masked_store",
        lambda *args: (stores.append(args), plain(*args))[1],
    )
    cross_entropy_scale(matrix, one, None)
    cross_entropy_scale(matrix, 3 * one, 3 * one)
    assert not stores
    cross_entropy_scale(matrix, one, 2 * one)
    assert stores
    assert torch.equal(matrix, torch.full((5, 33), 0.5))


# Operators, torch.compile, checkpoints


def test_opcheck(device):
    logits, labels = draw(device, 5, 21)
    wide = torch.cat((logits, logits), 1)
    empty = logits[:0]
    for matrix in (logits, wide[:, 3:24], logits.t().contiguous().t()):
        torch.library.opcheck(cross_entropy_fwd, (matrix, labels, 0.1, 0.1, IGNORED))
        torch.library.opcheck(cross_entropy_overwrite, (matrix.clone(), labels, 0.0, 0.1, IGNORED))
        for count in (None, torch.tensor(4.0, device=device)):
            factor = torch.tensor(3.0, device=device)
            torch.library.opcheck(cross_entropy_scale, (matrix.clone(), factor, count))
    torch.library.opcheck(cross_entropy_fwd, (empty, labels[:0], 0.1, 0.1, IGNORED))
    torch.library.opcheck(cross_entropy_overwrite, (empty, labels[:0], 0.1, 0.1, IGNORED))
    torch.library.opcheck(cross_entropy_scale, (empty, torch.tensor(3.0, device=device), None))


@pytest.mark.parametrize("triton", [True, False])
def test_opcheck_of_chunks(triton, device):
    x, weight, bias, labels = (t.detach() for t in draw_linear(device, 5, 21, 4))
    transposed = x.t().contiguous().t()
    for needs in ([True, True, True], [False, True, False], [False, False, False]):
        for given_x, given_bias in ((x, bias), (transposed, None)):
            needs = [*needs[:2], needs[2] and given_bias is not None]
            arguments = (given_x, weight, given_bias, labels, 2, needs, triton, 0.1, 0.1, IGNORED)
            torch.library.opcheck(linear_cross_entropy_chunks, arguments)


def test_operators_see_through_strides(device):
    """An operator that is called on columns that are not adjacent writes where it was told to."""
    logits, labels = draw(device, 5, 21)
    expected = logits.clone()
    cross_entropy_overwrite(expected, labels, 0.0, 0.0, IGNORED)
    transposed = logits.t().contiguous().t()
    cross_entropy_overwrite(transposed, labels, 0.0, 0.0, IGNORED)
    same((transposed,), (expected,))
    cross_entropy_scale(transposed, torch.tensor(2.0, device=device), None)
    same((transposed,), (2 * expected,))


@COMPILED
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_as_one_graph(dynamic, device):
    def loss_of(x, weight, labels):
        return cross_entropy_triton(x @ weight.t(), labels, label_smoothing=0.1, z_loss=0.1)

    torch._dynamo.reset()
    compiled = torch.compile(loss_of, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for rows in (6, 9):
        x, weight, _, labels = draw_linear(device, rows, 21, 4)
        results = []
        for call in (compiled, loss_of):
            loss, correct = call(x, weight, labels)
            results.append((loss, correct, *torch.autograd.grad(3 * loss, (x, weight))))
            with torch.no_grad():
                results[-1] += call(x, weight, labels)
        same(*results)


@COMPILED
@LINEAR_OPS
@BUDGETS
@pytest.mark.parametrize("dynamic", [False, True])
def test_the_linear_op_compiled_as_one_graph(op, rows_per_chunk, dynamic, device):
    torch._dynamo.reset()
    compiled = torch.compile(op, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for rows in (6, 9):
        x, weight, bias, labels = draw_linear(device, rows, 21, 4)
        options = {"budget_bytes": budget(rows_per_chunk, weight), "z_loss": 0.1}
        eager = linear_gradients(op, x, weight, bias, labels, 3.0, **options)
        close(linear_gradients(compiled, x, weight, bias, labels, 3.0, **options), eager)
        with torch.no_grad():
            close(compiled(x, weight, bias, labels, **options), eager[:2])


def test_a_checkpoint_makes_the_logits_again(device):
    x, weight, _, labels = draw_linear(device, 6, 21, 4)

    def loss_of(x, weight):
        return cross_entropy_triton(x @ weight.t(), labels)[0]

    loss = checkpoint(loss_of, x, weight, use_reentrant=False)
    same(
        torch.autograd.grad(loss, (x, weight)),
        torch.autograd.grad(loss_of(x, weight), (x, weight)),
    )


def test_a_checkpoint_that_is_handed_the_logits_raises(device):
    """It would recompute from what stands where they stood."""
    x, weight, _, labels = draw_linear(device, 6, 21, 4)
    for reshape in (lambda t: t, lambda t: t.view(6, 21)):
        logits = reshape(x @ weight.t())
        loss, _ = checkpoint(cross_entropy_triton, logits, labels, use_reentrant=False)
        with pytest.raises(RuntimeError, match=IN_PLACE):
            loss.backward()


@LINEAR_OPS
@BUDGETS
def test_a_checkpoint_of_the_linear_op(op, rows_per_chunk, device):
    x, weight, bias, labels = draw_linear(device, 9, 21, 4)
    options = {"budget_bytes": budget(rows_per_chunk, weight)}

    def again(*args, **options):
        return checkpoint(op, *args, use_reentrant=False, **options)

    same(
        linear_gradients(again, x, weight, bias, labels, **options),
        linear_gradients(op, x, weight, bias, labels, **options),
    )


# The linear layer


@LINEAR_OPS
@BUDGETS
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_linear_op_is_a_linear_layer_and_the_loss(op, with_bias, rows_per_chunk, device):
    x, weight, bias, labels = draw_linear(device, 13, 40, 6)
    bias = bias if with_bias else None
    loss = F.cross_entropy(F.linear(x, weight, bias), labels, label_smoothing=0.1)
    leaves = [t for t in (x, weight, bias) if t is not None]
    expected = (loss.detach(), *torch.autograd.grad(-2 * loss, leaves))
    options = {"label_smoothing": 0.1, "budget_bytes": budget(rows_per_chunk, weight)}
    before = [t.detach().clone() for t in leaves]
    loss, correct, *grads = linear_gradients(op, x, weight, bias, labels, -2.0, **options)
    close((loss, *grads), expected, rtol=1e-5, atol=1e-6)
    assert correct == (F.linear(x, weight, bias).argmax(1) == labels).sum()
    same([t.detach() for t in leaves], before)


@PROPERTY
@given(rows=st.integers(0, 30), chunk=st.integers(0, 31), dtype=st.sampled_from([32, 16]))
def test_chunks_give_what_the_whole_gives(device, rows, chunk, dtype):
    dtype = torch.float32 if dtype == 32 else torch.float16
    x, weight, bias, labels = draw_linear(device, rows, 20, 5, dtype)
    options = {"z_loss": 0.1, "label_smoothing": 0.1}
    whole = linear_gradients(linear_cross_entropy_triton, x, weight, bias, labels, 8.0, **options)
    for op in (linear_cross_entropy_triton, linear_cross_entropy_reference):
        budget_bytes = budget(chunk, weight, dtype.itemsize)
        chunks = linear_gradients(
            op, x, weight, bias, labels, 8.0, **options, budget_bytes=budget_bytes
        )
        tolerance = (
            {"rtol": 1e-5, "atol": 2e-6} if dtype.itemsize == 4 else {"rtol": 0.01, "atol": 0.01}
        )
        close(chunks, whole, **tolerance)


@LINEAR_OPS
def test_no_logits_are_larger_than_the_budget(op, device, monkeypatch):
    x, weight, bias, labels = draw_linear(device, 300, 3, 2)
    made = []
    plain = F.linear

    def spy(*args):
        made.append(plain(*args))
        return made[-1]

    monkeypatch.setattr(F, "linear", spy)
    for rows, sizes in {
        300: [300],
        299: [256, 44],
        150: [128, 128, 44],
        127: [127, 127, 46],
    }.items():
        made.clear()
        op(x, weight, bias, labels, budget_bytes=budget(rows, weight))
        assert [t.shape[0] for t in made] == sizes
    made.clear()
    op(x[:5], weight, bias, labels[:5], budget_bytes=0)
    assert [t.shape[0] for t in made] == [1] * 5


@LINEAR_OPS
@BUDGETS
@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=3)), ids=str)
def test_only_what_needs_a_gradient_gets_one(op, wanted, rows_per_chunk, device):
    x, weight, bias, labels = draw_linear(device, 9, 21, 4)
    options = {"budget_bytes": budget(rows_per_chunk, weight)}
    every = linear_gradients(op, x, weight, bias, labels, **options)
    leaves = [t.detach().requires_grad_(w) for t, w in zip((x, weight, bias), wanted, strict=True)]
    if not any(wanted):
        loss, correct = op(*leaves, labels, **options)
        assert not loss.requires_grad
        same((loss, correct), every[:2])
        return
    some = linear_gradients(op, *leaves, labels, **options)
    expected = [g for g, w in zip(every[2:], wanted, strict=True) if w]
    same(some, (*every[:2], *expected))


@LINEAR_OPS
@BUDGETS
def test_the_linear_op_leaves_its_graph_whole(op, rows_per_chunk, device):
    x, weight, bias, labels = draw_linear(device, 9, 21, 4)
    loss, _ = op(x, weight, bias, labels, budget_bytes=budget(rows_per_chunk, weight))
    leaves = (x, weight, bias)
    first = torch.autograd.grad(3 * loss, leaves, retain_graph=True)
    torch.autograd.grad(loss, leaves, retain_graph=True)
    same(torch.autograd.grad(3 * loss, leaves), first)


@LINEAR_OPS
@BUDGETS
def test_tied_weights_add_up(op, rows_per_chunk, device):
    _, weight, bias, labels = draw_linear(device, 9, 21, 4)
    ids = torch.arange(9, device=device)
    loss, _ = op(weight[ids], weight, bias, labels, budget_bytes=budget(rows_per_chunk, weight))
    got = torch.autograd.grad(loss, (weight, bias))
    plain = F.cross_entropy(F.linear(weight[ids], weight, bias), labels)
    close(got, torch.autograd.grad(plain, (weight, bias)), rtol=1e-5, atol=1e-6)


@LINEAR_OPS
@BUDGETS
@pytest.mark.parametrize("x_dtype", [torch.float32, torch.float16])
def test_autocast_computes_logits_in_16_bits_and_gradients_of_fp32_weights_in_fp32(
    op, rows_per_chunk, x_dtype, device, monkeypatch
):
    x, weight, bias, labels = draw_linear(device, 9, 21, 4)
    exact = linear_gradients(linear_cross_entropy_reference, x, weight, bias, labels, 64.0)
    x = x.detach().to(x_dtype).requires_grad_()
    made = []
    plain = F.linear

    def spy(*args):
        made.append(plain(*args).dtype)
        return plain(*args)

    monkeypatch.setattr(F, "linear", spy)
    options = {"budget_bytes": budget(rows_per_chunk, weight, 2)}
    with torch.autocast(torch.device(device).type, torch.float16):
        got = linear_gradients(op, x, weight, bias, labels, 64.0, **options)
    assert set(made) == {torch.float16}
    assert [t.dtype for t in got[2:]] == [x_dtype, torch.float32, torch.float32]
    close([t.float() for t in got], [t.float() for t in exact], rtol=0.01, atol=0.02)


@LINEAR_OPS
def test_the_gradients_of_chunks_add_up_in_fp32(op, device):
    """To the 2048 of the first row fp16 could not add 0.5 once."""
    x = torch.ones(16, 1, dtype=torch.float16, device=device)
    x[0] = 4096.0
    weight = torch.zeros(2, 1, dtype=torch.float32, device=device, requires_grad=True)
    labels = torch.zeros(16, dtype=torch.int64, device=device)
    loss, _ = op(x, weight, None, labels, budget_bytes=4)
    (dweight,) = torch.autograd.grad(loss * 16, weight)
    assert dweight.tolist() == [[-2055.5], [2055.5]]


@LINEAR_OPS
@BUDGETS
def test_gradients_of_fp32_weights_pass_what_fp16_can_hold(op, rows_per_chunk, device):
    x = torch.full((12, 1), 30000.0, device=device)
    weight = torch.zeros(2, 1, device=device, requires_grad=True)
    labels = torch.zeros(12, dtype=torch.int64, device=device)
    with torch.autocast(torch.device(device).type, torch.float16):
        loss, _ = op(x, weight, None, labels, budget_bytes=budget(rows_per_chunk, weight, 2))
    (dweight,) = torch.autograd.grad(loss * 12, weight)
    expected = [[-180000.0], [180000.0]]
    if op is linear_cross_entropy_reference and rows_per_chunk == 100:
        expected = [[-torch.inf], [torch.inf]]  # as PyTorch does it
    assert dweight.tolist() == expected


# Choice and refusal


def test_on_a_cpu_the_reference_runs():
    logits, labels = draw("cpu", 5, 8)
    same(cross_entropy(logits, labels), cross_entropy_reference(logits, labels))
    x, weight, bias, labels = draw_linear("cpu", 5, 8, 4)
    same(
        linear_gradients(linear_cross_entropy, x, weight, bias, labels),
        linear_gradients(linear_cross_entropy_reference, x, weight, bias, labels),
    )


def test_the_kernels_run_where_asked_for(device):
    logits, labels = draw(device, 5, 8)
    leaf = logits.requires_grad_()
    with use(cross_entropy="triton"):
        consumed = leaf * 1
        cross_entropy(consumed, labels)
        assert not torch.equal(consumed.detach(), leaf)
        with pytest.raises(ValueError, match="262145"):
            cross_entropy(torch.zeros(1, 2**18 + 1, device=device), labels[:1])


def test_the_kernel_names_what_it_cannot_do(device):
    with pytest.raises(ValueError, match="262145 words are above the kernel's 262144"):
        cross_entropy_triton(torch.zeros(0, 2**18 + 1), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="262145 words are above the kernel's 262144"):
        linear_cross_entropy_triton(
            *(torch.zeros(0, 1), torch.zeros(2**18 + 1, 1), None),
            torch.zeros(0, dtype=torch.int64),
        )


@OPS
def test_wrong_arguments_are_named(op):
    logits, labels = draw("cpu", 3, 8)
    for match, call in {
        r"floating point \[M, V\], got torch\.int64 \[3, 8\]": lambda: op(logits.long(), labels),
        r"floating point \[M, V\], got torch\.float32 \[8\]": lambda: op(logits[0], labels),
        r"got torch\.float32 \[3, 0\]": lambda: op(logits[:, :0], labels),
        r"int64 or int32 \[3\], got torch\.float32": lambda: op(logits, labels.float()),
        r"int64 or int32 \[3\], got torch\.int64 \[2\]": lambda: op(logits, labels[:2]),
        "from 0 to 1, got 1.5": lambda: op(logits, labels, label_smoothing=1.5),
        "negative, got -1": lambda: op(logits, labels, z_loss=-1.0),
        "negative, got nan": lambda: op(logits, labels, z_loss=float("nan")),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert "\n" not in str(error.value)


@LINEAR_OPS
def test_wrong_arguments_of_the_linear_op_are_named(op):
    x, weight, bias, labels = draw_linear("cpu", 3, 8, 4)
    for match, call in {
        r"x must be floating point \[M, h\]": lambda: op(x[0], weight, bias, labels),
        r"weight must be \[V, 4\], got \[8, 3\]": lambda: op(x, weight[:, :3], bias, labels),
        r"bias must be \[8\], got \[7\]": lambda: op(x, weight, bias[:7], labels),
        r"int64 or int32 \[3\]": lambda: op(x, weight, bias, labels[:2]),
        "from 0 to 1": lambda: op(x, weight, bias, labels, label_smoothing=-0.1),
        "budget_bytes must not be negative": lambda: op(x, weight, bias, labels, budget_bytes=-1),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert str(error.value).startswith("linear_cross_entropy: ")
        assert "\n" not in str(error.value)


@pytest.mark.gpu
def test_row_offsets_pass_two_to_the_31st():
    rows, words = 17000, 128256
    logits = torch.randn(rows, words, device="cuda", dtype=torch.bfloat16)
    labels = torch.full((rows,), IGNORED, device="cuda")
    labels[-9:] = torch.arange(9, device="cuda")
    expected = gradients(cross_entropy_reference, logits[-9:], labels[-9:])[2]
    leaf = logits.requires_grad_()
    consumed = leaf * 1
    cross_entropy_triton(consumed, labels)
    torch.testing.assert_close(consumed[-9:].detach(), expected, rtol=0.02, atol=1e-6)
    assert not consumed[:-9].any()
