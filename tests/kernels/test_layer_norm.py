import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kernels import layer_norm, layer_norm_reference, use
from kobert_kernels.layer_norm import layer_norm_triton
from kobert_kernels.philox import keep_rows, keep_scale

OPS = pytest.mark.parametrize("op", [layer_norm_triton, layer_norm_reference])
PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)


def tensors(device, rows, width, dtype=torch.float32):
    draw = torch.Generator().manual_seed(rows * 1000 + width)
    x, residual, grad = torch.randn(3, rows, width, generator=draw).to(device, dtype)
    weight, bias = torch.randn(2, width, generator=draw).to(device, dtype)
    return x, residual, grad, weight, bias


def gradients(op, x, weight, bias, grad, residual=None, **options):
    leaves = [t.detach().requires_grad_() for t in (x, weight, bias)]
    if residual is not None:
        residual = residual.detach().requires_grad_()
        leaves.append(residual)
    y = op(*leaves[:3], residual=residual, **options)
    return (y, *torch.autograd.grad(y, leaves, grad))


def test_the_reference_agrees_with_torch_and_with_gradcheck():
    x, residual, _, weight, bias = tensors("cpu", 6, 10, torch.float64)
    expected = torch.nn.functional.layer_norm(x + residual, (10,), weight, bias, 1e-12)
    got = layer_norm_reference(x, weight, bias, residual=residual)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)
    seed = torch.tensor([5])
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias, residual)]
    assert torch.autograd.gradcheck(
        lambda x, w, b, r: layer_norm_reference(x, w, b, residual=r, dropout=0.3, seed=seed), leaves
    )


@OPS
def test_dropout_is_the_mask_of_philox_times_the_scale(op, device):
    x, residual, _, weight, bias = tensors(device, 9, 40)
    seed = torch.tensor([8], device=device)
    dropped = torch.where(keep_rows(seed, 9, 40, 0.25), x * keep_scale(0.25), 0.0)
    got = op(x, weight, bias, residual=residual, dropout=0.25, seed=seed)
    expected = torch.nn.functional.layer_norm(dropped + residual, (40,), weight, bias, 1e-12)
    torch.testing.assert_close(got, expected)


@OPS
def test_the_gradient_is_zero_exactly_where_forward_dropped(op, device):
    """Same mask in both directions: what forward dropped cannot have moved the result."""
    x, residual, grad, weight, bias = tensors(device, 21, 70)
    seed = torch.tensor([99], device=device)
    _, dx, _, _, dresidual = gradients(op, x, weight, bias, grad, residual, dropout=0.4, seed=seed)
    keep = keep_rows(seed, 21, 70, 0.4)
    assert torch.equal(dx != 0, keep)
    torch.testing.assert_close(dx, torch.where(keep, dresidual * keep_scale(0.4), 0.0))


def test_backward_is_the_slope_of_forward(device):
    """Central difference along one direction, kernels only: no reference takes part."""
    x, residual, grad, weight, bias = tensors(device, 12, 33)
    options = {"dropout": 0.3, "seed": torch.tensor([4], device=device)}
    _, dx, _, _, dresidual = gradients(
        layer_norm_triton, x, weight, bias, grad, residual, **options
    )
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(device)
    h = 1e-2  # the error is of order h^2 in truncation and 1e-7 / h in rounding: both near 1e-4

    def value(move_x, move_residual):
        y = layer_norm_triton(
            x + move_x * step, weight, bias, residual=residual + move_residual * step, **options
        )
        return (y.double() * grad.double()).sum()

    for slope, moved in ((dx, (h, 0)), (dresidual, (0, h))):
        numeric = (value(*moved) - value(*(-m for m in moved))) / (2 * h)
        torch.testing.assert_close((slope.double() * step).sum(), numeric, rtol=2e-3, atol=2e-2)


@PROPERTY
@given(
    rows=st.integers(1, 40),
    width=st.integers(2, 130),
    shift=st.floats(-8, 8),
    factor=st.floats(0.5, 4),
)
def test_shift_and_scale_of_a_row_change_nothing(device, rows, width, shift, factor):
    x, _, _, weight, bias = tensors(device, rows, width)
    # Two nearly equal columns leave a tiny variance, whose rounding the division then magnifies.
    x[:, 0] += 4
    got = layer_norm_triton(x * factor + shift, weight, bias)
    torch.testing.assert_close(got, layer_norm_triton(x, weight, bias), rtol=1e-4, atol=1e-4)


@PROPERTY
@given(rows=st.integers(1, 40), width=st.integers(2, 130))
def test_dx_of_a_row_sums_to_zero_and_is_orthogonal_to_the_row(device, rows, width):
    x, _, grad, weight, bias = tensors(device, rows, width)
    x[:, 0] += 4
    dx = gradients(layer_norm_triton, x, weight, bias, grad)[1].double()
    size = dx.abs().sum(1).max() + 1
    assert dx.sum(1).abs().max() < 1e-6 * size
    centred = x.double() - x.double().mean(1, keepdim=True)
    assert (dx * centred).sum(1).abs().max() < 1e-5 * size


@OPS
def test_each_row_is_normalised(op, device):
    x, residual, _, _, _ = tensors(device, 11, 97)
    one, zero = torch.ones(97, device=device), torch.zeros(97, device=device)
    y = op(x * 3 + 50, one, zero, residual=residual)
    torch.testing.assert_close(y.mean(1), torch.zeros(11, device=device), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(11, device=device))


@OPS
def test_a_constant_row_gives_the_bias_and_finite_gradients(op, device):
    x, _, grad, weight, bias = tensors(device, 5, 24)
    x = torch.full_like(x, 7.0)
    y, dx, dweight, dbias = gradients(op, x, weight, bias, grad)
    assert torch.equal(y, bias.expand(5, 24))
    assert dx.isfinite().all()
    assert torch.equal(dweight, torch.zeros_like(weight))
    torch.testing.assert_close(dbias, grad.sum(0))


def test_a_huge_mean_does_not_drown_a_small_variance(device):
    """E[z^2] - E[z]^2 would lose all digits here: 1e8 with a variance of 1, in 24 bits."""
    x, _, _, weight, bias = tensors(device, 8, 100)
    x = (x * 64).round() / 64 + 10000  # exactly representable, so that the shift is exact
    expected = layer_norm_reference(x.double() - 10000, weight.double(), bias.double())
    got = layer_norm_triton(x, weight, bias)
    # The mean itself is known to half an ulp of 10000, 5e-4, times the largest weight.
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=2e-3)


@OPS
def test_expanded_and_strided_gradients(op, device):
    x, _, _, weight, bias = tensors(device, 13, 30)
    ones = torch.ones(13, 30, device=device)
    wide = torch.full((13, 90), float("nan"), device=device)
    wide[:, 30:60] = 2.0
    row = torch.arange(30.0, device=device)
    for grad in (ones[:1, :1].expand(13, 30), wide[:, 30:60], row.expand(13, 30), ones.t().t()):
        got = gradients(op, x, weight, bias, grad)
        expected = gradients(op, x, weight, bias, grad.contiguous())
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@OPS
def test_strided_rows_and_what_lies_between_them(op, device):
    x, residual, grad, weight, bias = tensors(device, 10, 21)
    around = torch.full((10, 2, 64), float("nan"), device=device)
    around[:, 0, 11:32], around[:, 1, 11:32] = x, residual
    got = gradients(op, around[:, 0, 11:32], weight, bias, grad, around[:, 1, 11:32])
    expected = gradients(op, x, weight, bias, grad, residual)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    mixed = gradients(op, around[:, 0, 11:32], weight, bias, grad, residual)
    assert all(torch.equal(a, b) for a, b in zip(mixed, expected, strict=True))
    transposed = gradients(op, x.t().contiguous().t(), weight, bias, grad, residual)
    assert all(torch.equal(a, b) for a, b in zip(transposed, expected, strict=True))


@OPS
@pytest.mark.parametrize("shape", [(0, 16), (3, 0), (2, 0, 5)], ids=str)
def test_an_empty_input_gives_an_empty_result_and_zero_weight_gradients(op, shape, device):
    x = torch.zeros(shape, device=device)
    weight, bias = torch.ones(2, shape[-1], device=device)
    options = {"dropout": 0.1, "seed": torch.tensor([1], device=device)}
    y, dx, dweight, dbias = gradients(op, x, weight, bias, x, **options)
    assert y.shape == dx.shape == x.shape
    assert not dweight.any()
    assert not dbias.any()


@OPS
def test_leading_dimensions_are_rows(op, device):
    x, _, grad, weight, bias = tensors(device, 24, 19)
    shaped = gradients(op, x.view(2, 3, 4, 19), weight, bias, grad.view(2, 3, 4, 19))
    flat = gradients(op, x, weight, bias, grad)
    assert torch.equal(shaped[0].flatten(0, 2), flat[0])
    assert torch.equal(shaped[1].flatten(0, 2), flat[1])
    assert op(x[0], weight, bias).shape == (19,)


@OPS
def test_two_runs_give_the_same_bits_and_leave_the_inputs_alone(op, device):
    x, residual, grad, weight, bias = given = tensors(device, 50, 75)
    before = [t.clone() for t in given]
    options = {"dropout": 0.2, "seed": torch.tensor([6], device=device)}
    first = gradients(op, x, weight, bias, grad, residual, **options)
    second = gradients(op, x, weight, bias, grad, residual, **options)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@OPS
def test_accumulated_gradients_share_no_memory(op, device):
    """Without dropout d(x) = d(residual), but `+=` on one must not reach the other."""
    x, residual, grad, weight, bias = tensors(device, 6, 12)
    x.requires_grad_()
    residual.requires_grad_()
    for _ in range(2):
        op(x, weight, bias, residual=residual).backward(grad)
    once = gradients(op, x, weight, bias, grad, residual)
    torch.testing.assert_close(x.grad, 2 * once[1])
    torch.testing.assert_close(residual.grad, 2 * once[4])


@OPS
def test_results_keep_the_dtypes_of_their_inputs(op, device):
    x, residual, grad, weight, bias = tensors(device, 4, 20)
    x, grad = x.half(), grad.half()
    y, dx, dweight, dbias, dresidual = gradients(op, x, weight, bias, grad, residual)
    assert (y.dtype, dx.dtype) == (torch.float16, torch.float16)
    assert (dweight.dtype, dbias.dtype, dresidual.dtype) == (torch.float32,) * 3


@OPS
def test_the_linear_bias_is_added_before_dropout(op, device):
    x, residual, grad, weight, bias = tensors(device, 14, 33)
    shift = torch.linspace(-2, 2, 33, device=device).requires_grad_()
    options = {"residual": residual, "dropout": 0.3, "seed": torch.tensor([3], device=device)}
    fused = op(x, weight, bias, linear_bias=shift, **options)
    apart = op(x + shift, weight, bias, **options)
    torch.testing.assert_close(fused, apart)
    slopes = [torch.autograd.grad(y, shift, grad)[0] for y in (fused, apart)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-5)


@OPS
def test_the_sum_is_returned_and_its_gradient_comes_back(op, device):
    x, residual, grad, weight, _ = tensors(device, 14, 33)
    x.requires_grad_()
    residual.requires_grad_()
    y, z = op(x, weight, residual=residual, return_sum=True)
    torch.testing.assert_close(z, x + residual)
    torch.testing.assert_close(y, op(z.detach(), weight))
    both = torch.autograd.grad((y, z), (x, residual), (grad, 3 * grad), retain_graph=True)
    alone = torch.autograd.grad(y, (x, residual), grad, retain_graph=True)
    through_z = torch.autograd.grad(z, (x, residual), 3 * grad)
    for total, one, other in zip(both, alone, through_z, strict=True):
        torch.testing.assert_close(total, one + other, rtol=1e-5, atol=1e-5)
        assert torch.equal(other, 3 * grad)


@OPS
def test_the_residual_stream_keeps_its_own_dtype(op, device):
    x, residual, _, weight, _ = tensors(device, 4, 20)
    y, z = op(x.half(), weight, residual=residual, return_sum=True)
    assert (y.dtype, z.dtype) == (torch.float16, torch.float32)


def test_autocast_leaves_the_dtypes_to_the_inputs(device):
    """PyTorch's own layer_norm would be cast to fp32 there: 20 bytes more for each element."""
    x, residual, grad, weight, bias = tensors(device, 6, 24)
    with torch.autocast(torch.device(device).type, torch.float16):
        got = gradients(layer_norm_triton, x.half(), weight, bias, grad.half(), residual.half())
    expected = gradients(layer_norm_triton, x.half(), weight, bias, grad.half(), residual.half())
    assert got[0].dtype == torch.float16
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_a_second_derivative_raises(device):
    x, _, _, weight, bias = tensors(device, 3, 8)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(
        layer_norm_triton(x, weight, bias).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


@OPS
def test_wrong_arguments_are_named(op):
    x, _, _, weight, bias = tensors("cpu", 3, 8)
    seed = torch.tensor([1])
    for match, call in {
        r"weight must be \[8\], got \[7\]": lambda: op(x, weight[:7], bias),
        r"linear_bias must be \[8\]": lambda: op(x, weight, bias, linear_bias=bias[:3]),
        "return_sum needs a residual": lambda: op(x, weight, bias, return_sum=True),
        "of one dtype": lambda: op(x, weight, bias.half()),
        "residual": lambda: op(x, weight, bias, residual=x[:2]),
        "floating point": lambda: op(x.int(), weight, bias),
        "at least 0 and below 1": lambda: op(x, weight, bias, dropout=1.0, seed=seed),
        "needs a seed": lambda: op(x, weight, bias, dropout=0.1),
        "int64": lambda: op(x, weight, bias, dropout=0.1, seed=seed.int()),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert "\n" not in str(error.value)


def test_the_kernel_names_what_it_cannot_do():
    x = torch.zeros(1, 8193)
    with pytest.raises(ValueError, match="width 8193 is above the kernel's 8192"):
        layer_norm_triton(x, x[0], x[0])
    with use(layer_norm="triton"), pytest.raises(ValueError, match="8193 does not fit"):
        layer_norm(x, x[0], x[0])


def test_on_a_cpu_the_reference_runs():
    x, residual, _, weight, bias = tensors("cpu", 3, 8)
    got = layer_norm(x, weight, bias, residual=residual)
    assert torch.equal(got, layer_norm_reference(x, weight, bias, residual=residual))
