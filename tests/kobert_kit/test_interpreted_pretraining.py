"""A run with the Triton kernels, in the interpreter, against one with plain PyTorch."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from kobert_kit.batches.options import DataConfig
from kobert_kit.pretraining.config import ModelConfig, OptimizerConfig

# A third of a second a step, so most of the 200 are for `make soak` (1 minute for each family).
LONG = "MOMENTS" in os.environ

SCRIPT = """
import pickle, sys, torch
import kobert_kernels
from kobert_kernels import dispatch
from kobert_kit.pretraining.run import pretrain
torch.set_num_threads(1)
with open(sys.argv[1], "rb") as file:
    runs = pickle.load(file)
ran = set()
def noting(op, run):
    def noted(*arguments, **options):
        ran.add(op)
        return run(*arguments, **options)
    return noted
for op, known in dispatch._registry.items():
    triton = known["triton"]
    object.__setattr__(triton, "run", noting(op, triton.run))
for name, config in runs.items():
    with kobert_kernels.use(**dict.fromkeys(dispatch.ops(), name)):
        pretrain(config)
    print(name, *sorted(ran))
"""

OPS = {
    "bert": "attention bias_gelu embedding layer_norm linear_cross_entropy",
    "modern": "attention bias_gelu embedding geglu layer_norm linear_cross_entropy",
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("family", "steps"), [("bert", 20), ("modern", 8)])
def test_the_kernels_learn_what_pytorch_does(run_settings, tmp_path, family, steps):
    steps = 200 if LONG else steps
    sizes = {"hidden_size": 16, "layers": 1, "heads": 1, "intermediate_size": 32}
    modern = {"family": "modern", "window": 8, "mlp_dropout": 0.1} if family == "modern" else {}
    pairing = "none" if family == "modern" else "next"
    config = dataclasses.replace(
        run_settings,
        steps=steps,
        loaders=0,
        evaluate_every=steps,
        evaluate_sequences=1,
        model=ModelConfig(max_positions=16, init_std=0.1, **sizes, **modern),  # dropout is 0.1
        data=DataConfig(length=12, windows=1, pairing=pairing),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=0.1),
    )
    runs = {name: dataclasses.replace(config, out=tmp_path / name) for name in ("torch", "triton")}
    plan, script = tmp_path / "plan.pickle", tmp_path / "script.py"
    plan.write_bytes(pickle.dumps(runs))
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, plan],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [row for row in done.stdout.splitlines() if row.split()[0] in runs]
    assert said == ["torch", f"triton {OPS[family]}"]
    # Both add in fp32, in another order, and each step builds on the rounding of those before it:
    # over 200 steps the loss differs by 2.2e-7 at most and the norm, a sum of squares, by 1.4e-6.
    # Ten times that is room for another processor; another mask or factor is 1e-3 and more. A loss
    # near 0 is a difference of two numbers near 1, and two of their last digits are 2.4e-7.
    for name, most in (("masked_loss", 2e-6), ("next_loss", 2e-6), ("gradient_norm", 1.5e-5)):
        ours, theirs = (np.array([row[name] for row in rows_of(run.out)]) for run in runs.values())
        assert len(ours) == steps
        np.testing.assert_allclose(theirs, ours, rtol=most, atol=2.4e-7)
    losses = [row["masked_loss"] for row in rows_of(tmp_path / "torch")]
    assert np.ptp(losses) > 0.1  # else any weights would do


def rows_of(run):
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "masked_loss" in row]
