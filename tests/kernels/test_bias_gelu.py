import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu

from kobert_kernels import bias_gelu, bias_gelu_reference, use
from kobert_kernels.bias_gelu import bias_gelu_bwd, bias_gelu_fwd, bias_gelu_triton

OPS = pytest.mark.parametrize("op", [bias_gelu_triton, bias_gelu_reference])
FORMS = pytest.mark.parametrize("approximate", ["none", "tanh"])
PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)


def tensors(device, rows, width, dtype=torch.float32):
    draw = torch.Generator().manual_seed(rows * 1000 + width)
    x, grad = (2 * torch.randn(2, rows, width, generator=draw)).to(device, dtype)
    return x, torch.randn(width, generator=draw).to(device, dtype), grad


def gradients(op, x, bias, grad, **options):
    leaves = [t.detach().requires_grad_() for t in (x, bias) if t is not None]
    y = op(leaves[0], leaves[1] if bias is not None else None, **options)
    return (y, *torch.autograd.grad(y, leaves, grad))


def slope(x, approximate):
    """The derivative in fp64, written out."""
    x = x.double()
    if approximate == "none":
        density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return torch.special.ndtr(x) + x * density
    root = math.sqrt(2 / math.pi)
    t = torch.tanh(root * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)


@OPS
@FORMS
def test_dx_is_the_derivative_written_out(op, approximate, device):
    x = torch.linspace(-12, 12, 4001, device=device).reshape(-1, 1)
    grad = torch.linspace(1, 2, 4001, device=device).reshape(-1, 1)
    _, dx = gradients(op, x, None, grad, approximate=approximate)
    expected = slope(x, approximate) * grad
    # Where tanh is near 1 PyTorch's 1 - tanh^2 keeps few digits.
    bound = 3e-7 if op is bias_gelu_triton else 3e-6
    torch.testing.assert_close(dx.double(), expected, rtol=0, atol=bound)


@OPS
@FORMS
def test_the_function_itself(op, approximate, device):
    x = torch.linspace(-12, 12, 4001, device=device)
    exact = gelu(x.double(), approximate=approximate)
    got = op(x, approximate=approximate).double()
    torch.testing.assert_close(
        got, exact, rtol=1.2e-7, atol=3e-7 if op is bias_gelu_triton else 2e-6
    )


def test_far_out_the_kernel_keeps_digits_where_one_plus_erf_has_none(device):
    x = torch.linspace(-5.9, -3, 500, device=device)
    exact = x.double() * torch.special.ndtr(x.double())
    torch.testing.assert_close(bias_gelu_triton(x).double(), exact, rtol=1e-4, atol=0)


@OPS
@FORMS
def test_the_two_sides_of_zero_differ_by_the_identity(op, approximate, device):
    x, _, _ = tensors(device, 40, 50)
    got = op(x, approximate=approximate) - op(-x, approximate=approximate)
    torch.testing.assert_close(got, x, rtol=2e-7, atol=2e-7)


@OPS
def test_the_two_forms_are_near_and_not_the_same(op, device):
    x = torch.linspace(-6, 6, 3001, device=device)
    apart = (op(x) - op(x, approximate="tanh")).abs()
    assert 4e-4 < apart.max() < 5e-4


@FORMS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_far_from_zero_gelu_is_the_identity_or_nothing(approximate, dtype, device):
    """Up to the largest number, where x^2 is infinite; PyTorch's tanh form gives NaN there."""
    x = torch.tensor([30.0, 1000.0, torch.finfo(dtype).max], dtype=dtype, device=device)
    one = torch.ones_like(x)
    right, dright = gradients(bias_gelu_triton, x, None, one, approximate=approximate)
    left, dleft = gradients(bias_gelu_triton, -x, None, one, approximate=approximate)
    assert torch.equal(right, x)
    assert torch.equal(dright, one)
    assert not left.any()
    assert not dleft.any()


@FORMS
def test_the_tail_rises_to_zero_without_a_step(approximate, device):
    x = torch.linspace(-20, -0.8, 5000, device=device)
    y = bias_gelu_triton(x, approximate=approximate)
    assert y.max() <= 0
    assert (y.diff() <= 3e-8).all()


@OPS
@FORMS
def test_not_a_number_stays_one(op, approximate, device):
    x = torch.tensor([[1.0, float("nan"), -1.0]], device=device)
    y, dx = gradients(op, x, None, torch.ones_like(x), approximate=approximate)
    assert y.isnan().tolist() == dx.isnan().tolist() == [[False, True, False]]


@OPS
@FORMS
def test_the_bias_shifts_and_gets_the_column_sums(op, approximate, device):
    x, bias, grad = tensors(device, 70, 133)
    y, dx, dbias = gradients(op, x, bias, grad, approximate=approximate)
    shifted, dshifted = gradients(op, x + bias, None, grad, approximate=approximate)
    torch.testing.assert_close(y, shifted, rtol=0, atol=1e-6)
    torch.testing.assert_close(dx, dshifted, rtol=0, atol=1e-6)
    torch.testing.assert_close(dbias.double(), dx.double().sum(0), rtol=1e-5, atol=1e-5)


@PROPERTY
@given(rows=st.integers(1, 70), width=st.integers(1, 280), cut=st.integers(1, 280))
def test_no_column_depends_on_its_neighbours(device, rows, width, cut):
    x, bias, grad = tensors(device, rows, width)
    cut = min(cut, width)
    whole = gradients(bias_gelu_triton, x, bias, grad)
    part = gradients(bias_gelu_triton, x[:, :cut], bias[:cut], grad[:, :cut])
    assert torch.equal(whole[0][:, :cut], part[0])
    assert torch.equal(whole[1][:, :cut], part[1])
    torch.testing.assert_close(whole[2][:cut], part[2], rtol=1e-5, atol=1e-5)


def test_expanded_and_strided_gradients(device):
    x, bias, _ = tensors(device, 37, 30)
    wide = torch.full((37, 90), float("nan"), device=device)
    wide[:, 30:60] = 2.0
    row = torch.arange(30.0, device=device)
    one = torch.ones((), device=device)
    for grad in (one.expand(37, 30), wide[:, 30:60], row.expand(37, 30)):
        got = gradients(bias_gelu_triton, x, bias, grad)
        expected = gradients(bias_gelu_triton, x, bias, grad.contiguous())
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_strided_rows_and_what_lies_between_them(device):
    x, bias, grad = tensors(device, 20, 21)
    around = torch.full((20, 64), float("nan"), device=device)
    around[:, 11:32] = x
    columns = torch.full((21, 3), float("nan"), device=device)
    columns[:, 1] = bias
    expected = gradients(bias_gelu_triton, x, bias, grad)
    for x_view in (around[:, 11:32], x.t().contiguous().t()):
        got = gradients(bias_gelu_triton, x_view, columns[:, 1], grad)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@OPS
@pytest.mark.parametrize("shape", [(0, 16), (3, 0), (2, 0, 5)], ids=str)
def test_an_empty_input_gives_an_empty_result_and_a_zero_bias_gradient(op, shape, device):
    x = torch.zeros(shape, device=device)
    y, dx, dbias = gradients(op, x, torch.ones(shape[-1], device=device), x)
    assert y.shape == dx.shape == x.shape
    assert not dbias.any()


def test_leading_dimensions_are_rows(device):
    x, bias, grad = tensors(device, 24, 19)
    shaped = gradients(bias_gelu_triton, x.view(2, 3, 4, 19), bias, grad.view(2, 3, 4, 19))
    flat = gradients(bias_gelu_triton, x, bias, grad)
    assert torch.equal(shaped[0].flatten(0, 2), flat[0])
    assert torch.equal(shaped[1].flatten(0, 2), flat[1])
    assert torch.equal(bias_gelu_triton(x[0], bias), flat[0][0])


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
    (dx,) = torch.autograd.grad(bias_gelu_triton(x, bias), x, grad)
    torch.testing.assert_close(dx, gradients(bias_gelu_reference, x, bias, grad)[1])


def test_a_frozen_input_leaves_the_gradient_of_the_bias(device):
    x, bias, grad = tensors(device, 5, 8)
    bias.requires_grad_()
    (dbias,) = torch.autograd.grad(bias_gelu_triton(x, bias), bias, grad)
    torch.testing.assert_close(dbias, gradients(bias_gelu_reference, x, bias, grad)[2])


def test_a_second_derivative_raises(device):
    x, bias, _ = tensors(device, 3, 8)
    x.requires_grad_()
    loss = bias_gelu_triton(x, bias).square().sum()
    (dx,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


def test_the_operators_take_transposed_inputs(device):
    x, bias, grad = tensors(device, 6, 10)
    for arguments in ((x.t().contiguous().t(), bias), (x.view(2, 3, 10).transpose(0, 1), None)):
        torch.library.opcheck(bias_gelu_fwd, (*arguments, True))
        dy = grad.view(arguments[0].shape).expand_as(arguments[0])
        torch.library.opcheck(bias_gelu_bwd, (dy, *arguments, False, arguments[1] is not None))


@OPS
def test_wrong_arguments_are_named(op):
    x, bias, _ = tensors("cpu", 3, 8)
    for match, call in {
        r"bias must be floating point \[8\], got torch.float32 \[7\]": lambda: op(x, bias[:7]),
        "got torch.int32": lambda: op(x, bias.int()),
        "x must be floating point": lambda: op(x.int(), bias),
        r"got torch.float32 \[\]": lambda: op(x[0, 0]),
        "bias is on meta, x is on cpu": lambda: op(x, bias.to("meta")),
        "'none' or 'tanh', got 'erf'": lambda: op(x, approximate="erf"),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert str(error.value).startswith("bias_gelu: ")
        assert "\n" not in str(error.value)


def test_on_a_cpu_the_reference_runs_and_the_kernel_if_asked_for():
    x, bias, _ = tensors("cpu", 3, 8)
    assert torch.equal(bias_gelu(x, bias), bias_gelu_reference(x, bias))
    with use(bias_gelu="triton"):
        assert torch.equal(bias_gelu(x, bias), bias_gelu_triton(x, bias))
        with pytest.raises(ValueError, match="float64"):
            bias_gelu(x.double(), bias)
    with pytest.raises(ValueError, match="floating point"):
        bias_gelu(x[0, 0].int())
