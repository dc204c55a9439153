import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kobert_kit.batches.options import DataConfig, Masking
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import ModelConfig, TrainingPhase
from kobert_kit.pretraining.plan import make_plan, render
from kobert_vocab.errors import InputError

SMALL = ModelConfig(
    hidden_size=64,
    layers=3,
    heads=2,
    intermediate_size=160,
    max_positions=64,
    hidden_dropout=0.0,
    attention_dropout=0.0,
)
BASE = DataConfig(length=128, windows=256)


def model_of(shape, vocabulary):
    config = EncoderConfig(vocab_size=vocabulary, pad_id=0, **vars(shape))
    model = PretrainingModel(config)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def plan_of(model=SMALL, data=BASE, micro_batches=None, **options):
    phase = TrainingPhase(share=1.0, data=data, micro_batches=micro_batches)
    return make_plan(model, [phase], **{"vocabulary": 500, "steps": 10} | options)


def test_parameters_are_those_of_the_model():
    assert sum(plan_of().parameters.values()) == sum(
        p.numel() for p in model_of(SMALL, 500).parameters()
    )


def test_bert_base_has_110_million():
    # BertForPreTraining of transformers with the English vocabulary.
    plan = plan_of(ModelConfig(), vocabulary=30_522)
    assert sum(plan.parameters.values()) == 110_106_428


def test_operations_are_those_that_are_counted():
    length, masked = 64, 8
    model = model_of(SMALL, 500).eval()
    tokens = torch.arange(5, 5 + length, dtype=torch.int32)
    cu_seqlens = torch.tensor([0, length], dtype=torch.int32)
    with FlopCounterMode(display=False) as counter:
        x = model.encoder(tokens, tokens - 5, tokens * 0, cu_seqlens, length, None)
        model.masked_logits(x, torch.arange(masked))
    data = DataConfig(length=length, windows=1, masking=Masking(rate=masked / length))
    forward = plan_of(data=data).phases[0].operations * length / 3
    # It cannot look into our attention: two products of [S, S] and [S, h] in each layer.
    attention = 4 * SMALL.layers * SMALL.hidden_size * length**2
    assert counter.get_total_flops() + attention == pytest.approx(forward, rel=1e-6)


def kept_by(layers, sequences=4):
    """Bytes that the forward pass keeps for the backward pass, weights aside."""
    shape = dataclasses.replace(SMALL, layers=layers)
    model, length = model_of(shape, 500).train(), SMALL.max_positions
    positions = torch.arange(length, dtype=torch.int32).repeat(sequences)
    cu_seqlens = torch.arange(0, sequences * length + 1, length, dtype=torch.int32)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x = model.encoder(
            positions, positions, positions * 0, cu_seqlens, length, torch.tensor([1])
        )
    assert x.requires_grad
    return sum(kept.values())


def test_a_layer_keeps_what_the_plan_says():
    data = DataConfig(length=SMALL.max_positions, windows=4)
    more = [
        plan_of(dataclasses.replace(SMALL, layers=layers), data, bf16=False).memory["activations"]
        for layers in (2, 5)
    ]
    assert kept_by(5) - kept_by(2) == pytest.approx(more[1] - more[0], rel=0.02)


def test_the_million_steps_of_bert_base():
    plan = plan_of(ModelConfig(), vocabulary=30_522, steps=1_000_000)
    assert plan.tokens == 1_000_000 * 256 * 128
    assert plan.operations / plan.tokens / 1e6 == pytest.approx(
        524 + 22, abs=1
    )  # body and head, at 128
    text = render(plan, gpu="H100", gpus=8, mfu=0.5, tokens_per_second=None, dollars=2, won=1000)
    days = plan.operations / (0.5 * 989e12) / 8 / 86_400
    assert f"{24 * days:.1f} hours on 8 x H100" in text
    assert f"${2 * 8 * 24 * days:,.0f}, {2000 * 8 * 24 * days:,.0f} won" in text


def test_parts_of_a_batch_take_less_memory():
    whole, parts = plan_of(), plan_of(micro_batches=4)
    assert parts.memory["activations"] == whole.memory["activations"] / 4
    assert parts.memory["weights"] == whole.memory["weights"]
    assert parts.tokens == whole.tokens


def test_what_does_not_fit_is_said_with_what_would():
    data = DataConfig(length=512, windows=1024)
    options = {"gpus": 1, "mfu": 0.4, "tokens_per_second": None, "dollars": None, "won": 1.0}
    text = render(plan_of(ModelConfig(), data, vocabulary=32_000), gpu="L4", **options)
    parts = 1 << int(text.split("; make ")[1].split()[0]).bit_length()  # divides a batch
    fits = plan_of(ModelConfig(), data, vocabulary=32_000, micro_batches=parts)
    assert "too large" in text
    assert "too large" not in render(fits, gpu="L4", **options)


@pytest.mark.parametrize("options", [{"steps": 0}, {"micro_batches": 0}, {"micro_batches": 7}])
def test_a_run_that_cannot_be(options):
    with pytest.raises(InputError, match=next(iter(options))):
        plan_of(**options)


@pytest.mark.parametrize("options", [{"tokens_per_second": 0.0}, {"dollars": -1.0}, {"mfu": 2.0}])
def test_numbers_that_make_no_sense(options):
    sensible = {"gpus": 1, "mfu": 0.4, "tokens_per_second": None, "dollars": None, "won": 1.0}
    with pytest.raises(InputError, match="--"):
        render(plan_of(), gpu="H100", **sensible | options)


def test_a_gpu_that_nobody_knows():
    options = {"gpus": 1, "mfu": 0.4, "tokens_per_second": None, "dollars": None, "won": 1.0}
    with pytest.raises(InputError, match="--gpu H900: not known; one of H200"):
        render(plan_of(), gpu="H900", **options)
