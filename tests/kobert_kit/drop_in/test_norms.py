"""Norms of stock models by our op."""

import pytest
import torch
from torch import nn

from kobert_kit.drop_in import FAMILIES, leak, use_kobert_kernels
from kobert_kit.drop_in.norms import KobertNorm, KobertOutput

LENGTHS = [37, 5, 64, 1, 20]


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_are_those_of_transformers(
    family, model_of, ragged, gradients, assert_alike
):
    batch = ragged(LENGTHS)
    expected = gradients(model_of(family, "sdpa", torch.float64), batch)
    ours = model_of(family, "sdpa", torch.float64)
    use_kobert_kernels(ours, norms=True)
    rounding = 1e-5 if family == "modernbert" else 1e-10
    assert_alike(gradients(ours, batch), expected, rounding)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_norm_runs_our_op_and_every_weight_keeps_its_name(family, model_of):
    model = model_of(family)
    before = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    use_kobert_kernels(model, norms=True)
    use_kobert_kernels(model, norms=True)
    ends = [m for m in model.modules() if isinstance(m, KobertOutput)]
    assert len(ends) == (0 if family == "modernbert" else 2 * model.config.num_hidden_layers)
    assert not [m for m in model.modules() if type(m) is nn.LayerNorm]
    assert {name: t.data_ptr() for name, t in model.state_dict().items()} == before
    assert leak(model) == 0.0


def test_norms_stay_as_they_are_unless_asked_for(model_of):
    model = model_of("bert")
    use_kobert_kernels(model)
    assert not [m for m in model.modules() if isinstance(m, KobertNorm | KobertOutput)]


def test_other_norms_are_left_alone(model_of):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = model_of("bert")
            self.of_pictures = nn.LayerNorm((3, 4))
            self.without_weight = nn.LayerNorm(4, elementwise_affine=False)

    model = Model()
    use_kobert_kernels(model, norms=True)
    assert type(model.of_pictures) is type(model.without_weight) is nn.LayerNorm


def end_of_a_sublayer(model_of, **changes):
    model = model_of("bert", **changes)
    stock = model_of("bert", **changes).bert.encoder.layer[0].output
    use_kobert_kernels(model, norms=True)
    return stock, model.bert.encoder.layer[0].output


def test_a_dense_layer_that_was_exchanged_is_the_one_that_runs(model_of):
    x, residual = torch.randn(3, 7, 84), torch.randn(3, 7, 60)
    ends = end_of_a_sublayer(model_of)
    for end in ends:
        end.dense = nn.Sequential(end.dense, nn.Tanh())  # as adapters and quantisation do
    torch.testing.assert_close(ends[1](x, residual), ends[0](x, residual))


def test_dropout_before_the_sum_drops_the_share_it_says(model_of):
    rate, width = 0.25, 60
    _, end = end_of_a_sublayer(model_of, hidden_dropout_prob=rate)
    with torch.no_grad():
        end.dense.weight.zero_()
        end.dense.bias.fill_(1.0)
        end.LayerNorm.weight.fill_(1.0)
        end.LayerNorm.bias.zero_()
    rows, nothing = torch.ones(500, 84), torch.zeros(500, width)
    assert end(rows, nothing).abs().max() < 1e-3  # no dropout: all equal, so nothing is left
    end.train()
    torch.manual_seed(0)
    y = end(rows, nothing)
    # A row of ones and zeros, normed: the ones are what is above 0.
    kept = float((y > 0).float().mean())
    assert abs(kept - (1 - rate)) < 5 * (rate * (1 - rate) / y.numel()) ** 0.5
    torch.manual_seed(0)
    assert torch.equal(end(rows, nothing), y)
    assert not torch.equal(end(rows, nothing), y)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_norm_gives_the_dtype_of_the_stock_one_also_under_autocast(dtype, device, model_of):
    stock, ours = (end.to(device) for end in end_of_a_sublayer(model_of))
    x, residual = torch.randn(3, 84, device=device), torch.randn(3, 60, device=device)
    with torch.autocast(device, torch.bfloat16):
        assert ours(x, residual).dtype == stock(x, residual).dtype == torch.float32
        vector = residual.to(dtype)
        assert ours.LayerNorm(vector).dtype == stock.LayerNorm(vector).dtype
    for end in (stock, ours):
        end.to(dtype)
    x, residual = x.to(dtype), residual.to(dtype)
    assert ours(x, residual).dtype == stock(x, residual).dtype == dtype
    rounding = 1e-5 if dtype == torch.float32 else 2**-6
    torch.testing.assert_close(ours(x, residual), stock(x, residual), rtol=0, atol=4 * rounding)
