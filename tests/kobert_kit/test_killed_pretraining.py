"""A run that is killed at any moment, the saving of a checkpoint included, goes on."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file

RUN = """
import os, signal, sys
from kobert_kit.cli import main
kind, die_at = sys.argv.pop(1).split("-")
seen = {"any": 0, "save": 0}
def count(event, arguments):
    changes = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if event not in changes or "/run" not in str(arguments):
        return
    saves = "/run/checkpoints/" in str(arguments)
    for one in ("any", "save") if saves else ("any",):
        seen[one] += 1
        if one == kind and seen[one] == int(die_at):
            os.write(1, b"in a save" if saves else b"elsewhere")
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
main()
print(*seen.values())
"""
SHAPE = "--model.hidden-size 32 --model.layers 1 --model.heads 1 --model.intermediate-size 64"
REST = "--model.max-positions 48 --data.length 40 --data.windows 4 --steps 9 --evaluate-every 2"
MORE = "--evaluate-sequences 2 --loaders 0 --optimizer.warmup 0.2"
OPTIONS = f"{SHAPE} {REST} {MORE}".split()


@pytest.fixture
def trained(vocab_folder, corpus_folder, tmp_path):
    """Run the command in a folder called ``run`` in that of ``name``."""

    def trained(name, die_at, *more):
        folders = ["--vocab", vocab_folder, "--corpus", corpus_folder]
        command = [sys.executable, "-c", RUN, die_at, "pretrain", *folders, *OPTIONS]
        out = tmp_path / name / "run"
        done = subprocess.run(
            [*map(str, command), "--out", str(out), *more], capture_output=True, text=True
        )
        return out, done

    return trained


def weights(run):
    return {
        name: weight.numpy().tobytes()
        for name, weight in load_file(run / "model" / "model.safetensors").items()
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_at_any_moment_goes_on(trained):
    whole, done = trained("whole", "any-0")
    assert done.returncode == 0, done.stderr
    events = dict(zip(("any", "save"), map(int, done.stdout.splitlines()[-1].split()), strict=True))
    random, number = np.random.default_rng(0), int(os.environ.get("MOMENTS", "3"))
    # A thread saves, so which event is the n-th of all may differ; among those of saves it is one.
    kinds = (["any", "save"] * number)[: number - 1]
    moments = [f"{kind}-{random.integers(1, events[kind])}" for kind in kinds]
    moments.append("save-3")  # of the first checkpoint: the run then has nothing to go on from
    fell = []
    for place, moment in enumerate(moments):
        name = f"{place} {moment}"  # a moment may be drawn twice
        run, done = trained(name, moment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        fell.append(done.stdout.rpartition("\n")[2])
        assert fell[-1] == "in a save" or moment.startswith("any"), fell
        begun = run.exists()
        run, done = trained(name, "any-0", *(["--resume"] if begun else []))
        assert done.returncode == 0, done.stderr
        assert weights(run) == weights(whole)
        left = {path.name for path in (run / "checkpoints").iterdir()}
        assert left == {"step-00000008", "step-00000009"}
    assert "in a save" in fell
    if number >= 10:  # half of all events are those of a save, or more
        assert "in a save" in [
            where for where, moment in zip(fell, moments, strict=True) if moment[:3] == "any"
        ]
