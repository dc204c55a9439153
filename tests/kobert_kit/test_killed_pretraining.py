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
die_at, seen = int(sys.argv.pop(1)), 0
def count(event, arguments):
    global seen
    changes = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if event in changes and "/run" in str(arguments):
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
main()
print(seen)
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
    whole, done = trained("whole", 0)
    assert done.returncode == 0, done.stderr
    events = int(done.stdout.splitlines()[-1])
    moments = np.random.default_rng(0).integers(1, events, int(os.environ.get("MOMENTS", "3")))
    for moment in moments.tolist():
        run, done = trained(str(moment), moment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        begun = run.exists()
        run, done = trained(str(moment), 0, *(["--resume"] if begun else []))
        assert done.returncode == 0, done.stderr
        assert weights(run) == weights(whole)
        left = {path.name for path in (run / "checkpoints").iterdir()}
        assert left == {"step-00000008", "step-00000009"}
