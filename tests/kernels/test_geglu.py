import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu

from kobert_kernels import geglu, geglu_reference, use
from kobert_kernels.bias_gelu import bias_gelu_triton
from kobert_kernels.geglu import geglu_bwd, geglu_fwd, geglu_triton

OPS = pytest.mark.parametrize("op", [geglu_triton, geglu_reference])
FORMS = pytest.mark.parametrize("approximate", ["none", "tanh"])
PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)


def tensors(device, rows, width, dtype=torch.float32):
    """x and bias of 2 * width columns, a gradient of width."""
    draw = torch.Generator().manual_seed(rows * 1000 + width)
    x = 2 * torch.randn(rows, 2 * width, generator=draw)
    bias = torch.randn(2 * width, generator=draw)
    grad = torch.randn(rows, width, generator=draw)
    return tuple(t.to(device, dtype) for t in (x, bias, grad))


def gradients(op, x, bias, grad, **options):
    leaves = [t.detach().requires_grad_() for t in (x, bias) if t is not None]
    y = op(leaves[0], leaves[1] if bias is not None else None, **options)
    return (y, *torch.autograd.grad(y, leaves, grad))


@OPS
@FORMS
def test_it_is_what_modernbert_computes(op, approximate, device):
    """The first half is activated: `input, gate = Wi(x).chunk(2, -1); act(input) * gate`."""
    x, bias, grad = tensors(device, 30, 77, torch.float64)
    x.requires_grad_()
    bias.requires_grad_()
    input, gate = (x + bias).chunk(2, -1)
    expected = gelu(input, approximate=approximate) * gate
    dx, dbias = torch.autograd.grad(expected, (x, bias), grad)
    got = gradients(op, *(t.detach().float() for t in (x, bias, grad)), approximate=approximate)
    for ours, theirs in zip(got, (expected, dx, dbias), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


@PROPERTY
@given(rows=st.integers(1, 40), width=st.integers(1, 150), factor=st.floats(-4, 4))
def test_it_is_linear_in_the_second_half(device, rows, width, factor):
    x, other, _ = tensors(device, rows, width)
    other = torch.cat((x[:, :width], other[width:].expand(rows, width)), 1)
    combined = torch.cat((x[:, :width], x[:, width:] + factor * other[:, width:]), 1)
    expected = geglu_triton(x) + factor * geglu_triton(other)
    torch.testing.assert_close(geglu_triton(combined), expected, rtol=1e-5, atol=2e-5)


@OPS
def test_a_gate_of_one_is_gelu_and_of_zero_nothing(op, device):
    x, _, grad = tensors(device, 20, 33)
    x[:, 33:] = 1.0
    torch.testing.assert_close(op(x), bias_gelu_triton(x[:, :33]), rtol=0, atol=1e-6)
    x[:, 33:] = 0.0
    y, dx = gradients(op, x, None, grad)
    assert not y.any()
    assert not dx[:, :33].any()
    torch.testing.assert_close(dx[:, 33:], grad * bias_gelu_triton(x[:, :33]), rtol=1e-5, atol=1e-5)


def test_the_product_is_rounded_once(device):
    """With GELU rounded to fp16 before the product, the error would reach a whole ulp."""
    x, _, _ = tensors(device, 60, 90, torch.float16)
    activated, gate = x.double().chunk(2, -1)
    exact = gelu(activated) * gate
    normal = exact.abs() > 1e-3
    error = ((geglu_triton(x).double() - exact).abs() / exact.abs())[normal]
    assert error.max() < 2**-11 * 1.01


@OPS
def test_the_bias_gets_the_column_sums(op, device):
    x, bias, grad = tensors(device, 70, 131)
    _, dx, dbias = gradients(op, x, bias, grad)
    torch.testing.assert_close(dbias.double(), dx.double().sum(0), rtol=1e-5, atol=1e-5)


@FORMS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_largest_numbers_give_no_nan(approximate, dtype, device):
    largest = torch.finfo(dtype).max
    x = torch.tensor([[largest, -largest, 30.0, -30.0] + [0.5] * 4], dtype=dtype, device=device)
    grad = torch.ones(1, 4, dtype=dtype, device=device)
    y, dx = gradients(geglu_triton, x, None, grad, approximate=approximate)
    assert y.tolist() == [[largest / 2, 0, 15, 0]]
    assert dx.tolist() == [[0.5, 0, 0.5, 0, largest, 0, 30, 0]]


@OPS
def test_not_a_number_stays_in_its_column(op, device):
    x = torch.ones(1, 6, device=device)
    x[0, 1] = float("nan")
    y, dx = gradients(op, x, None, torch.ones(1, 3, device=device))
    assert y.isnan().tolist() == [[False, True, False]]
    assert dx.isnan().tolist() == [[False, True, False, False, True, False]]


@PROPERTY
@given(rows=st.integers(1, 40), width=st.integers(1, 150), cut=st.integers(1, 150))
def test_no_column_depends_on_its_neighbours(device, rows, width, cut):
    x, bias, grad = tensors(device, rows, width)
    cut = min(cut, width)
    kept = torch.cat((torch.arange(cut), width + torch.arange(cut)))
    whole = gradients(geglu_triton, x, bias, grad)
    part = gradients(geglu_triton, x[:, kept], bias[kept], grad[:, :cut])
    assert torch.equal(whole[0][:, :cut], part[0])
    assert torch.equal(whole[1][:, kept], part[1])
    torch.testing.assert_close(whole[2][kept], part[2], rtol=1e-5, atol=1e-5)


@OPS
def test_backward_leaves_what_was_saved_as_it_was(op, device):
    x, bias, grad = (t.clone() for t in tensors(device, 9, 14))
    given = [t.clone() for t in (x, bias, grad)]
    x.requires_grad_()
    y = op(x, bias)
    (first,) = torch.autograd.grad(y, x, grad, retain_graph=True)
    (second,) = torch.autograd.grad(y, x, grad)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip((x, bias, grad), given, strict=True))


def test_expanded_and_strided_gradients(device):
    x, bias, _ = tensors(device, 19, 15)
    wide = torch.full((19, 45), float("nan"), device=device)
    wide[:, 15:30] = 2.0
    row = torch.arange(15.0, device=device)
    one = torch.ones((), device=device)
    for grad in (one.expand(19, 15), wide[:, 15:30], row.expand(19, 15)):
        got = gradients(geglu_triton, x, bias, grad)
        expected = gradients(geglu_triton, x, bias, grad.contiguous())
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_strided_rows_and_what_lies_between_them(device):
    x, bias, grad = tensors(device, 20, 21)
    around = torch.full((20, 64), float("nan"), device=device)
    around[:, 11:53] = x
    expected = gradients(geglu_triton, x, bias, grad)
    for x_view in (around[:, 11:53], x.t().contiguous().t()):
        got = gradients(geglu_triton, x_view, bias, grad)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@OPS
@pytest.mark.parametrize("shape", [(0, 16), (3, 0), (2, 0, 6)], ids=str)
def test_an_empty_input_gives_an_empty_result_and_a_zero_bias_gradient(op, shape, device):
    x = torch.zeros(shape, device=device)
    grad = torch.zeros(*shape[:-1], shape[-1] // 2, device=device)
    y, dx, dbias = gradients(op, x, torch.ones(shape[-1], device=device), grad)
    assert (y.shape, dx.shape) == (grad.shape, x.shape)
    assert not dbias.any()


def test_leading_dimensions_are_rows(device):
    x, bias, grad = tensors(device, 24, 9)
    shaped = gradients(geglu_triton, x.view(2, 3, 4, 18), bias, grad.view(2, 3, 4, 9))
    flat = gradients(geglu_triton, x, bias, grad)
    assert torch.equal(shaped[0].flatten(0, 2), flat[0])
    assert torch.equal(shaped[1].flatten(0, 2), flat[1])
    assert torch.equal(geglu_triton(x[0], bias), flat[0][0])


@OPS
def test_results_keep_the_dtypes_of_their_inputs(op, device):
    x, bias, grad = tensors(device, 4, 20)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        y, dx, dbias = gradients(op, x.half(), bias, grad.half())
    assert (y.dtype, dx.dtype, dbias.dtype) == (torch.float16, torch.float16, torch.float32)


def test_a_frozen_bias_is_not_summed(device, monkeypatch):
    x, bias, grad = tensors(device, 5, 8)
    x.requires_grad_()
    monkeypatch.setattr("kobert_kernels.column_sums._column_sums_kernel", None)
    (dx,) = torch.autograd.grad(geglu_triton(x, bias), x, grad)
    torch.testing.assert_close(dx, gradients(geglu_reference, x, bias, grad)[1])


def test_a_second_derivative_raises(device):
    x, bias, _ = tensors(device, 3, 8)
    x.requires_grad_()
    loss = geglu_triton(x, bias).square().sum()
    (dx,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


def test_the_operators_take_transposed_inputs(device):
    x, bias, grad = tensors(device, 6, 10)
    for arguments in ((x.t().contiguous().t(), bias), (x.view(2, 3, 20).transpose(0, 1), None)):
        torch.library.opcheck(geglu_fwd, (*arguments, True))
        dy = grad.view(*arguments[0].shape[:-1], 10)
        torch.library.opcheck(geglu_bwd, (dy, *arguments, False, arguments[1] is not None))


@OPS
def test_wrong_arguments_are_named(op):
    x, bias, _ = tensors("cpu", 3, 8)
    for match, call in {
        r"two halves \[..., 2F\], got \[3, 15\]": lambda: op(x[:, :15]),
        r"bias must be floating point \[16\]": lambda: op(x, bias[:8]),
        "x must be floating point": lambda: op(x.int(), bias),
        "bias is on meta": lambda: op(x, bias.to("meta")),
        "'none' or 'tanh', got 'relu'": lambda: op(x, approximate="relu"),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert str(error.value).startswith("geglu: ")
        assert "\n" not in str(error.value)


def test_on_a_cpu_the_reference_runs_and_the_kernel_if_asked_for():
    x, bias, _ = tensors("cpu", 3, 8)
    assert torch.equal(geglu(x, bias), geglu_reference(x, bias))
    with use(geglu="triton"):
        assert torch.equal(geglu(x, bias), geglu_triton(x, bias))
        with pytest.raises(ValueError, match="float64"):
            geglu(x.double(), bias)
