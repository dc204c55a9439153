"""A run that stops after any steps, and goes on each time, ends as one that never stopped."""

import dataclasses
import json
import os

import numpy as np
import pytest

from kobert_kit.batches.options import DataConfig, Masking
from kobert_kit.pretraining import progress, train_step
from kobert_kit.pretraining.config import ModelConfig, TrainingPhase
from kobert_kit.pretraining.run import pretrain

STEPS = 30
RUNS = max(3, int(os.environ.get("MOMENTS", "3")))  # `make soak` sets it


@pytest.fixture(scope="module")
def config(run_settings, tmp_path_factory):
    """A run with all that a checkpoint must know: phases, a ramp, an average, losses to leap."""
    masking = Masking(rate=0.3, last_rate=0.15, steps=12)
    growing = DataConfig(length=24, windows=8, first_windows=2, ramp_steps=9, masking=masking)
    optimizer = dataclasses.replace(run_settings.optimizer, average=0.9, schedule="wsd_sqrt")
    return dataclasses.replace(
        run_settings,
        out=tmp_path_factory.mktemp("anywhere") / "whole",
        steps=STEPS,
        evaluate_every=7,
        evaluate_sequences=1,
        loaders=0,
        leap=0.01,  # so small that good steps leap too: what is left out hangs on the mean
        bad_step="skip",
        model=ModelConfig(
            hidden_size=32, layers=1, heads=2, intermediate_size=64, max_positions=32
        ),
        optimizer=optimizer,
        phases=(
            TrainingPhase(share=0.8, micro_batches=4, learning_rate=1e-2, data=growing),
            TrainingPhase(share=0.2, learning_rate=3e-3, data=DataConfig(length=32, windows=4)),
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def soon_a_mean_to_trust():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "ENOUGH", 4)
        yield


@pytest.fixture(scope="module")
def whole(config):
    pretrain(config)
    return left_by(config.out)


def left_by(run):
    """The bytes of the last checkpoint, and the rows without what a clock says."""
    folder = run / "checkpoints" / f"step-{STEPS:08d}"
    tensors = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    numbers = json.loads((folder / "state.json").read_text())["state"]["progress"]
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [
        {
            name: row[name]
            for name in row
            if name not in ("tokens_per_second", "loader_wait", "tflops")
        }
        for row in rows
    ]
    # A stop is a time to evaluate too; what it found is a row more.
    return (
        tensors,
        {**numbers, "seconds": 0},
        [row for row in timeless if "masked_loss" in row or row["step"] % 7 == 0],
    )


def test_the_run_that_is_stopped_leaves_steps_out_and_has_all_files(whole):
    tensors, numbers, rows = whole
    assert set(tensors) == {"model.safetensors", "optimizer.safetensors", "average.safetensors"}
    assert numbers["phase"] == 1
    skipped = [row["step"] for row in rows if "skipped" in row]
    assert 0 < len(skipped) < 10


@pytest.mark.parametrize("number", range(RUNS))
def test_stops_change_no_bit(config, whole, tmp_path, number):
    random = np.random.default_rng([2018, number])
    stops = sorted(random.choice(np.arange(1, STEPS), size=1 + number % 4, replace=False).tolist())
    parted = dataclasses.replace(config, out=tmp_path / "parted")
    for stop in [*stops, None]:
        pretrain(parted, resume=parted.out.exists(), stop_after=stop)
    for ours, theirs in zip(left_by(parted.out), whole, strict=True):
        assert ours == theirs, stops


def test_each_part_of_each_step_has_its_batch_and_its_dropout(config, monkeypatch, tmp_path):
    seeds, tokens = [], []
    losses, backward = train_step.losses, train_step._backward

    def noted(model, batch, seed, counts):
        seeds.append(int(seed))
        return losses(model, batch, seed, counts)

    def compared(run, share, **options):
        step = run.progress.step - 24 * run.progress.phase  # 24 is 0.8 of 30
        expected = run.batches[step].tokens
        parts = np.concatenate([batch.tokens for batch in share.batches])
        tokens.append((np.sort(parts[parts != 0]) == np.sort(expected[expected != 0])).all())
        return backward(run, share, **options)

    monkeypatch.setattr(train_step, "losses", noted)
    monkeypatch.setattr(train_step, "_backward", compared)
    pretrain(dataclasses.replace(config, out=tmp_path / "run"))
    assert len(tokens) == STEPS
    assert all(tokens)
    assert len(set(seeds)) == len(seeds) > STEPS
