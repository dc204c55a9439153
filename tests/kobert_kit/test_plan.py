import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kobert_kernels import dispatch
from kobert_kit.batches.options import DataConfig, Masking
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import ModelConfig, TrainingPhase
from kobert_kit.pretraining.gpus import FILLED, GPUS, Gpus, peak_of
from kobert_kit.pretraining.plan import fitting_micro_batches, make_plan, memory_of
from kobert_kit.pretraining.plan_text import render
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
    options = {"vocabulary": 500, "phases": [phase]} | options
    if "budget" not in options:
        options = {"steps": 10} | options
    return make_plan(model, **options)


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
    gpus = Gpus(kind="H100", count=8, mfu=0.5)
    plan = plan_of(ModelConfig(), vocabulary=30_522, steps=1_000_000, gpus=gpus)
    assert plan.tokens == 1_000_000 * 256 * 128
    assert plan.operations / plan.tokens / 1e6 == pytest.approx(
        524 + 22, abs=1
    )  # body and head, at 128
    text = render(plan, dollars=2, won=1000)
    days = plan.operations / (0.5 * 989e12) / 8 / 86_400
    assert f"{24 * days:.1f} hours on 8 x H100" in text
    assert f"${2 * 8 * 24 * days:,.0f}, {2000 * 8 * 24 * days:,.0f} won" in text


def test_parts_of_a_batch_take_less_memory():
    whole, parts = plan_of(), plan_of(micro_batches=4)
    assert parts.memory["activations"] == whole.memory["activations"] / 4
    assert parts.memory["weights"] == whole.memory["weights"]
    assert parts.tokens == whole.tokens


@pytest.mark.parametrize("gpus", [1, 4])
def test_what_does_not_fit_is_said_with_what_would(gpus):
    data, l4 = DataConfig(length=512, windows=4096), Gpus(kind="L4", count=gpus)
    text = render(plan_of(ModelConfig(), data, vocabulary=32_000, gpus=l4))
    parts = int(text.split("it fits with --micro-batches ")[1].split(",")[0])
    fewer = parts // 2
    for micro_batches, too_large in ((parts, False), (fewer, True)):
        plan = plan_of(ModelConfig(), data, micro_batches, vocabulary=32_000, gpus=l4)
        assert ("too large" in render(plan)) == too_large


def test_what_fits_in_no_micro_batches_is_said_so():
    shape = ModelConfig(hidden_size=8192, layers=40, heads=64, intermediate_size=32_768)
    text = render(plan_of(shape, gpus=Gpus(kind="L4")))
    assert "too large in any micro-batches" in text
    assert "--parallel fsdp" in text


def parts_of(model=SMALL, data=BASE, **options):
    return memory_of(model, data, vocabulary=500, **options)


def test_ddp_gives_each_gpu_the_whole_model_and_a_share_of_the_batch():
    one, four = parts_of(), parts_of(gpus=4)
    assert four["activations"] == one["activations"] / 4
    assert four["head"] == one["head"] / 4
    count = sum(plan_of().parameters.values())
    # gradient_as_bucket_view is off, and "the saved memory size will be equal to the total
    # gradients size" if it is on (PyTorch's page on DistributedDataParallel).
    assert four["buckets"] == 4 * count
    assert "buckets" not in one
    for part, bytes_ in (("weights", 4), ("gradients", 4), ("optimiser", 8)):
        assert four[part] == one[part] == bytes_ * count


@pytest.mark.parametrize("bf16", [True, False])
def test_fsdp_shares_the_model_out(bf16):
    one = parts_of(bf16=bf16)
    four = parts_of(gpus=4, parallel="fsdp", bf16=bf16)
    for part in ("weights", "gradients", "optimiser", "activations", "head"):
        assert four[part] == one[part] / 4
    parameters = plan_of().parameters
    others = sum(parameters.values()) - parameters["layers"]
    whole = others + parameters["layers"] * 2 / 3  # two of its three layers
    assert four["gathered"] == pytest.approx((2 if bf16 else 4) * whole)
    assert parts_of(gpus=1, parallel="fsdp", bf16=bf16) == one


def test_fsdp_keeps_gradients_whole_between_micro_batches():
    several = parts_of(gpus=4, parallel="fsdp", micro_batches=8)
    assert several["gradients"] == parts_of()["gradients"]
    assert several["activations"] == parts_of()["activations"] / 8
    assert several["weights"] == parts_of()["weights"] / 4


def test_gpus_that_cannot_share_a_batch():
    with pytest.raises(InputError, match="micro_batches is 2; 4 GPUs need a multiple"):
        plan_of(micro_batches=2, gpus=Gpus(count=4))


def test_what_fits_is_a_multiple_of_the_gpus():
    room = 1.2 * sum(parts_of(gpus=8).values()) / FILLED
    for gpus in (1, 2, 8):
        found = fitting_micro_batches(SMALL, BASE, room, vocabulary=500, gpus=gpus)
        assert found % gpus == 0
        assert sum(parts_of(gpus=gpus, micro_batches=found).values()) <= FILLED * room
        assert fitting_micro_batches(SMALL, BASE, 1e12, vocabulary=500, gpus=gpus) == gpus
    assert fitting_micro_batches(SMALL, BASE, 1e6, vocabulary=500) is None


TWO = [
    TrainingPhase(share=0.7, data=DataConfig(length=32, windows=8)),
    TrainingPhase(share=0.3, data=DataConfig(length=64, windows=12)),
]


def test_phases_get_the_steps_that_the_run_gives_them():
    plan = plan_of(phases=TWO, steps=15)
    # As `Progress` ends a phase: at the step nearest to its share, 10.5.
    assert [phase.steps for phase in plan.phases] == [10, 5]
    assert [phase.tokens for phase in plan.phases] == [10 * 8 * 32, 5 * 12 * 64]
    assert plan.steps == 15


def test_a_budget_is_shared_out_by_time():
    gpus = Gpus(count=2, tokens_per_second=1000.0)
    plan = plan_of(phases=TWO, budget="10m", gpus=gpus)
    # 420 s and 180 s at 2,000 tokens a second, in steps of 256 and of 768 tokens.
    assert [phase.steps for phase in plan.phases] == [3281, 468]
    assert [phase.tokens for phase in plan.phases] == [3281 * 256, 468 * 768]
    text = render(plan, dollars=30, won=1000)
    assert "steps        3,749\n" in text
    assert "phase 1      3,281 steps of length 32: 839,936 tokens, 70% of the time" in text
    assert "10 minutes on 2 x H100" in text
    assert "cost         $10, 9,995 won" in text


def test_a_budget_by_the_share_of_the_peak():
    plan = plan_of(budget="2h", gpus=Gpus(kind="A100", mfu=0.3))
    [phase] = plan.phases
    tokens = 7200 * 0.3 * GPUS["A100"][0] / phase.operations
    assert phase.steps == int(tokens / (256 * 128))
    assert plan.seconds == pytest.approx(7200, rel=1e-3)


@pytest.mark.parametrize("minutes", range(1, 8))
def test_a_budget_with_batches_that_grow(minutes):
    data = DataConfig(length=32, windows=8, first_windows=2, ramp_steps=30)
    gpus = Gpus(tokens_per_second=100.0)
    plan = plan_of(data=data, budget=f"{minutes}m", gpus=gpus)
    one_more = plan_of(data=data, steps=plan.steps + 1, gpus=gpus)
    assert plan.seconds <= 60 * minutes < one_more.seconds
    assert plan.tokens == plan_of(data=data, steps=plan.steps).tokens


def test_a_budget_too_short_for_a_step():
    with pytest.raises(InputError, match="not one step fits"):
        plan_of(budget="1s", gpus=Gpus(tokens_per_second=10.0))


@pytest.mark.parametrize("given", [{"steps": 5, "budget": "1h"}, {"steps": None}])
def test_steps_or_a_budget(given):
    with pytest.raises(InputError, match="not both"):
        plan_of(**given)


def test_a_file_with_a_budget_is_planned(kobert, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('budget = "3h"\nparallel = "fsdp"\n[data]\nlength = 64\n')
    code, text, err = kobert("plan", "--config", path, "--gpus", 4)
    assert code == 0, err
    assert "3.0 hours on 4 x H100" in text
    assert "gathered" in text


@pytest.mark.parametrize("options", [{"steps": 0}, {"micro_batches": 0}, {"micro_batches": 7}])
def test_a_run_that_cannot_be(options):
    with pytest.raises(InputError, match=next(iter(options))):
        plan_of(**options)


def test_a_vocabulary_of_nothing(kobert):
    code, _, said = kobert("plan", "--steps", 5, "--vocab-size", 0)
    assert code == 2
    assert "vocab_size is 0" in said


def test_a_shape_that_cannot_be():
    with pytest.raises(InputError, match=r"model.global_every is 0"):
        plan_of(dataclasses.replace(MODERN, global_every=0))


@pytest.mark.parametrize(
    "options", [{"tokens_per_second": 0.0}, {"mfu": 2.0}, {"mfu": 0.0}, {"count": 0}]
)
def test_gpus_that_make_no_sense(options):
    with pytest.raises(InputError, match="--"):
        Gpus(**options)


def test_a_price_below_nothing():
    with pytest.raises(InputError, match="--dollars is -1"):
        render(plan_of(), dollars=-1.0)


def test_a_gpu_that_nobody_knows():
    with pytest.raises(InputError, match="--gpu H900: not known; one of H200"):
        Gpus(kind="H900")


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
