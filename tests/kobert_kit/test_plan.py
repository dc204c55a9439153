import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kobert_kernels import dispatch
from kobert_kit.batches.options import DataConfig, Masking
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import ModelConfig, TrainingPhase
from kobert_kit.pretraining.plan import GPUS, make_plan, peak_of, render
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
MODERN = dataclasses.replace(SMALL, family="modern", layers=4, window=20)
BASE = DataConfig(length=128, windows=256)


def model_of(shape, vocabulary):
    config = EncoderConfig(vocab_size=vocabulary, pad_id=0, **vars(shape))
    model = PretrainingModel(config)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def plan_of(model=SMALL, data=BASE, micro_batches=None, **options):
    phase = TrainingPhase(share=1.0, data=data, micro_batches=micro_batches)
    return make_plan(model, [phase], **{"vocabulary": 500, "steps": 10} | options)


@pytest.mark.parametrize("shape", [SMALL, MODERN])
def test_parameters_are_those_of_the_model(shape):
    model, counted = model_of(shape, 500), plan_of(shape).parameters
    assert sum(counted.values()) == sum(p.numel() for p in model.parameters())
    final_norm = shape.hidden_size if shape.family == "modern" else 0
    layers = sum(p.numel() for p in model.encoder.layers.parameters())
    assert counted["layers"] == layers + final_norm


def test_bert_base_has_110_million():
    # BertForPreTraining of transformers with the English vocabulary.
    plan = plan_of(ModelConfig(), vocabulary=30_522)
    assert sum(plan.parameters.values()) == 110_106_428


def test_modernbert_base_has_149_million():
    # ModernBertForMaskedLM of transformers as released: `sum(p.numel() for p in parameters())`.
    shape = ModelConfig(family="modern", layers=22, intermediate_size=1152)
    assert sum(plan_of(shape, vocabulary=50_368).parameters.values()) == 149_655_232


@pytest.mark.parametrize("shape", [SMALL, MODERN, dataclasses.replace(MODERN, window=200)])
def test_operations_are_those_that_are_counted(shape):
    length, masked = 64, 8
    model = model_of(shape, 500).eval()
    tokens = torch.arange(5, 5 + length, dtype=torch.int32)
    cu_seqlens = torch.tensor([0, length], dtype=torch.int32)
    with FlopCounterMode(display=False) as counter:
        x = model.encoder(tokens, tokens - 5, tokens * 0, cu_seqlens, length, None)
        model.masked_logits(x, torch.arange(masked))
    data = DataConfig(length=length, windows=1, masking=Masking(rate=masked / length))
    forward = plan_of(shape, data).phases[0].operations * length / 3
    # It cannot look into our attention: two products of [S, S] and [S, h] in each layer, of which a
    # window leaves a band.
    places, kinds = torch.arange(length), [model.config.is_global(n) for n in range(shape.layers)]
    band = (places[:, None] - places).abs() <= shape.window // 2
    pairs = sum(length**2 if sees_all else int(band.sum()) for sees_all in kinds)
    attention = 4 * shape.hidden_size * pairs
    assert counter.get_total_flops() + attention == pytest.approx(forward, rel=1e-6)


def kept_by(shape, sequences=4):
    """Bytes that the forward pass keeps for the backward pass, weights aside."""
    model, length = model_of(shape, 500).train(), shape.max_positions
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


@pytest.mark.parametrize("shape", [SMALL, MODERN])
def test_a_layer_keeps_what_the_plan_says(shape):
    data = DataConfig(length=shape.max_positions, windows=4)
    few, many = (dataclasses.replace(shape, layers=layers) for layers in (2, 5))
    planned = [plan_of(s, data, bf16=False).memory["activations"] for s in (few, many)]
    # In PyTorch turned queries and keys are kept too, and what is multiplied with the gate.
    with dispatch.use(attention="triton", geglu="triton"):
        kept = kept_by(many) - kept_by(few)
    assert kept == pytest.approx(planned[1] - planned[0], rel=0.02)


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


def test_a_shape_that_cannot_be():
    with pytest.raises(InputError, match=r"model.global_every is 0"):
        plan_of(dataclasses.replace(MODERN, global_every=0))


def test_the_korean_modernbert_costs_what_its_file_says(kobert):
    path = Path(__file__).parents[2] / "configs" / "korean-modern.toml"
    said = path.read_text(encoding="utf-8")
    command = shlex.split(re.search(r"`kobert (plan .*?)`", said)[1])
    code, text, err = kobert(*[path if "configs/" in word else word for word in command])
    assert code == 0, err
    for given, counted in (
        ("160 million parameters", r"parameters +160\.14 M"),
        ("843 million", "843 M a token"),
        ("54.1 GiB", r"54\.1 GiB of 80"),
        ("23.3 hours on one H100", r"23\.3 hours on 1 x H100"),
        ("206 GiB", r"activations 51\.6"),  # of a quarter of a batch
        ("cost $58", r"\$58,"),
    ):
        assert given in said
        assert re.search(counted, text), text


@pytest.mark.parametrize("options", [{"tokens_per_second": 0.0}, {"dollars": -1.0}, {"mfu": 2.0}])
def test_numbers_that_make_no_sense(options):
    sensible = {"gpus": 1, "mfu": 0.4, "tokens_per_second": None, "dollars": None, "won": 1.0}
    with pytest.raises(InputError, match="--"):
        render(plan_of(), gpu="H100", **sensible | options)


def test_a_gpu_that_nobody_knows():
    options = {"gpus": 1, "mfu": 0.4, "tokens_per_second": None, "dollars": None, "won": 1.0}
    with pytest.raises(InputError, match="--gpu H900: not known; one of H200"):
        render(plan_of(), gpu="H900", **options)


@pytest.mark.parametrize(
    ("device", "gpu"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GB10", None),
    ],
)
def test_a_gpu_is_known_by_the_name_of_its_driver(device, gpu):
    assert peak_of(device) == (GPUS[gpu][0] if gpu else None)
