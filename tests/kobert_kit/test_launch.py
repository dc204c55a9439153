"""Errors in one of two processes, or in both: people are told once, and all leave soon."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from kobert_kit.launch import is_first_to_tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# What goes wrong in which of them, before a step that comes after the first checkpoint.
SCRIPT = """
import errno, os, signal, sys
import torch
from kobert_kit.cli import main
from kobert_kit.pretraining import train_step
torch.set_num_threads(1)
rank, what = sys.argv.pop(1).split("=")
backward = train_step._backward
def hurt(run, share, **options):
    if str(run.processes.rank) == rank and run.progress.step == 3:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        if what == "disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some file")
    return backward(run, share, **options)
train_step._backward = hurt
main()
"""
SHAPE = "--model.hidden-size 32 --model.layers 1 --model.heads 1 --model.intermediate-size 64"
REST = "--model.max-positions 48 --data.length 40 --data.windows 4 --steps 9 --evaluate-every 2"
MORE = "--evaluate-sequences 1 --loaders 0 --device cpu"


@pytest.fixture
def two(vocab_folder, corpus_folder, tmp_path):
    """The command in two processes; the code and the words of each."""
    # As torchrun's agent does, but the processes are ours, and nobody ends one for another's end.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def two(fault, *more):
        folders = ["--vocab", vocab_folder, "--corpus", corpus_folder, "--out", tmp_path / "run"]
        command = [sys.executable, "-c", SCRIPT, fault, "pretrain", *folders]
        options = [*f"{SHAPE} {REST} {MORE}".split(), *more]
        environment = os.environ | {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "WORLD_SIZE": "2",
            "OMP_NUM_THREADS": "1",
        }
        running = [
            subprocess.Popen(
                [*map(str, command), *options],
                env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for rank in range(2)
        ]
        said = [process.communicate(timeout=60)[1] for process in running]
        assert not any("Traceback" in words for words in said), said
        told = [
            [line for line in words.splitlines() if line.startswith("kobert: ")] for words in said
        ]
        return [process.returncode for process in running], told

    return two


def test_when_one_is_killed_the_other_says_so_and_leaves(two, tmp_path):
    codes, told = two("1=kill", "--parallel", "fsdp")
    assert codes == [2, -9]
    [[line], nothing] = told
    assert line.startswith("kobert: process 0 has lost the others")
    assert "--resume" in line
    assert nothing == []
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000002"]


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_one_is_told_by_it_alone(two, rank):
    codes, told = two(f"{rank}=disk")
    assert codes == [2, 2]
    assert told[1 - rank] == []
    [line] = told[rank]
    assert line.startswith("kobert: No space left on device: some file")


def test_a_stop_of_one_stops_both_after_the_step_at_hand(two, tmp_path):
    codes, told = two("1=stop")
    assert codes == [0, 0]
    assert told == [[], []]
    names = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert names == {"step-00000002", "step-00000004"}


def test_an_error_of_all_is_told_once(two):
    codes, told = two("9=none", "--steps=0")
    assert codes == [2, 2]
    assert sorted(map(len, told)) == [0, 1]


def test_whoever_asks_first_tells_and_again_after_a_restart(monkeypatch):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [is_first_to_tell() for _ in range(3)] == [True, False, False]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert [is_first_to_tell() for _ in range(2)] == [True, False]


def test_resuming_is_tried_by_one_process(kobert, monkeypatch, vocab_folder, corpus_folder):
    monkeypatch.setenv("WORLD_SIZE", "2")
    folders = ["--vocab", vocab_folder, "--corpus", corpus_folder, "--out", "nowhere"]
    code, _, said = kobert("pretrain", *folders, "--steps", 9, "--verify-resume")
    assert code == 2
    assert "start it without torchrun" in said


def test_without_a_store_all_tell(monkeypatch):
    from kobert_kit import launch

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setattr(launch, "PATIENCE", timedelta(seconds=1))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setenv("WORLD_SIZE", "2")
    del store
    assert is_first_to_tell()
    assert is_first_to_tell()
