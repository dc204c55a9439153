import pytest
import torch

from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import OptimizerConfig
from kobert_kit.pretraining.optimizers import BertAdam, make_optimizers


@pytest.fixture
def model():
    shape = EncoderConfig(
        vocab_size=40, hidden_size=16, layers=2, heads=1, intermediate_size=32, max_positions=8
    )
    model = PretrainingModel(shape)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def with_gradients(parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_the_adam_of_bert_has_no_correction_and_eps_beside_the_root():
    lr, beta1, beta2, eps, decay = 0.01, 0.9, 0.999, 1e-3, 0.1
    weight = torch.nn.Parameter(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)))
    expected = weight.detach().double()
    optimizer = BertAdam(
        [{"params": [weight], "weight_decay": decay}], lr=lr, betas=(beta1, beta2), eps=eps
    )
    mean = square = torch.zeros(3, 5, dtype=torch.float64)
    for step in range(5):
        with_gradients([weight], step)
        optimizer.step()
        gradient = weight.grad.double()
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        expected = expected - lr * (mean / (square.sqrt() + eps) + decay * expected)
    torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_its_first_step_is_three_times_that_of_adam():
    # (1 - 0.9) / sqrt(1 - 0.999) = 3.16
    moved = {}
    for kind in ("adamw", "bert"):
        model = torch.nn.Linear(4, 4, bias=False)
        torch.nn.init.zeros_(model.weight)
        config = OptimizerConfig(kind=kind, learning_rate=0.01, weight_decay=0.0, eps=1e-12)
        (optimizer,) = make_optimizers(model, config)
        with_gradients([model.weight], 0)
        optimizer.step()
        moved[kind] = model.weight.detach().abs().mean().item()
    assert moved["bert"] / moved["adamw"] == pytest.approx(0.1 / 0.001**0.5, rel=1e-4)


@pytest.mark.parametrize("kind", ["adamw", "bert", "muon"])
def test_each_parameter_is_in_one_optimiser_and_vectors_do_not_decay(model, kind):
    optimizers = make_optimizers(model, OptimizerConfig(kind=kind, weight_decay=0.5))
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    owned = [id(p) for group in groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.5 if parameter.ndim >= 2 else 0.0)


def test_muon_has_the_matrices_of_the_layers_alone(model):
    muon, adam = make_optimizers(model, OptimizerConfig(kind="muon"))
    assert len(muon.param_groups[0]["params"]) == 4 * 2
    words = model.encoder.embeddings.words.weight
    assert any(p is words for group in adam.param_groups for p in group["params"])


@pytest.mark.parametrize("kind", ["adamw", "bert", "muon"])
def test_a_parameter_without_gradient_stays(model, kind):
    before = model.next_sentence.weight.detach().clone()
    with_gradients(model.encoder.parameters(), 0)
    for optimizer in make_optimizers(model, OptimizerConfig(kind=kind)):
        optimizer.step()
    assert torch.equal(model.next_sentence.weight, before)
