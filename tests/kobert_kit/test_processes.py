"""Runs shared by processes, started as torchrun starts them; on a CPU, through gloo."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from kobert_kit.batches.options import DataConfig
from kobert_kit.pretraining.config import (
    ModelConfig,
    OptimizerConfig,
    PretrainConfig,
    TrainingPhase,
)
from kobert_kit.pretraining.processes import Processes
from kobert_kit.pretraining.run import pretrain
from kobert_kit.pretraining.run_state import prepare
from kobert_vocab.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def config(vocab_folder, corpus_folder, folder):
    data = DataConfig(length=32, windows=8, first_windows=4, ramp_steps=3)
    return PretrainConfig(
        vocab=vocab_folder,
        corpus=corpus_folder,
        out=folder / "1",
        steps=12,
        micro_batches=8,
        loaders=0,
        evaluate_every=20,
        evaluate_sequences=2,
        model=ModelConfig(
            hidden_size=32, layers=2, heads=2, intermediate_size=64, max_positions=48
        ),
        data=data,
        # Larger than any gradient that is noise: Adam makes steps of one size out of all of them.
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=0.2, eps=1e-3, average=0.8),
        phases=(
            TrainingPhase(share=0.75, micro_batches=8, learning_rate=3e-3, data=data),
            TrainingPhase(
                share=0.25,
                micro_batches=4,
                learning_rate=3e-3,
                data=DataConfig(length=48, windows=4),
            ),
        ),
    )


@pytest.fixture(scope="module")
def runs(config, folder, launch):
    """The same run by one, two and four processes, whole, stopped, and handed on."""

    def to(name, **changes):
        return dataclasses.replace(config, out=folder / name, **changes)

    def whole_and_parted(name, **changes):
        return [
            (to(name, **changes), {}),
            (to(f"{name} parted", **changes), {"stop_after": 5}),
            (to(f"{name} parted", **changes), {"resume": True}),
        ]

    pretrain(config)
    handed_on = to("handed on")
    pretrain(handed_on, stop_after=2)
    resume = {"resume": True}
    launch(
        2,
        [
            *whole_and_parted("2 ddp"),
            *whole_and_parted("2 fsdp", parallel="fsdp"),
            (handed_on, resume | {"stop_after": 5}),
        ],
        folder,
    )
    fsdp = dataclasses.replace(handed_on, parallel="fsdp")
    launch(4, [*whole_and_parted("4 ddp"), (fsdp, resume | {"stop_after": 10})], folder)
    pretrain(handed_on, resume=True)
    return folder


pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


def rows_of(run):
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "masked_loss" in row]


@pytest.mark.parametrize("name", ["2 ddp", "2 fsdp", "4 ddp", "handed on"])
def test_any_number_of_processes_learns_the_same(runs, name):
    ours, theirs = rows_of(runs / "1"), rows_of(runs / name)
    assert [row["step"] for row in theirs] == list(range(1, 13))
    for a, b in zip(ours, theirs, strict=True):
        assert a["tokens"] == b["tokens"]
        assert a["learning_rate"] == b["learning_rate"]
        for key in ("masked_loss", "next_loss", "masked_accuracy"):
            assert b[key] == pytest.approx(a[key], rel=1e-5)
        # PyTorch adds up the norm of a large matrix in fp32, and of its shares apart.
        assert b["gradient_norm"] == pytest.approx(a["gradient_norm"], rel=1e-4)
    a, b = weights_of(runs / "1"), weights_of(runs / name)
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["2 ddp", "2 fsdp", "4 ddp"])
def test_a_stop_changes_no_bit(runs, name):
    whole, parted = weights_of(runs / name), weights_of(runs / f"{name} parted")
    for key in whole:
        assert torch.equal(whole[key], parted[key]), key


def test_the_optimiser_is_saved_whole(runs):
    checkpoints = [runs / name / "checkpoints/step-00000012" for name in ("1", "2 fsdp", "4 ddp")]
    for file in ("optimizer.safetensors", "average.safetensors", "model.safetensors"):
        first, *others = [load_file(folder / file) for folder in checkpoints]
        for other in others:
            assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in other.items()}


def test_a_later_phase_that_cannot_be_shared_is_found_before_the_first_step(config):
    first, last = config.phases
    odd = dataclasses.replace(config, phases=(first, dataclasses.replace(last, micro_batches=2)))
    with pytest.raises(InputError, match="cannot be shared by 4 processes"):
        prepare(odd, Processes(0, 4, torch.device("cpu")))


def test_a_batch_that_cannot_be_shared(config, monkeypatch):
    from kobert_kit.batches.loader import load

    class Seven:
        windows = 7

        def windows_of(self, step):
            return 7

    with pytest.raises(InputError, match="7 windows cannot be shared by 2 processes"):
        next(load(Seven(), range(1), ranks=2))
