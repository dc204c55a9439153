"""A small vocabulary and corpus of the bundled sample, made once for all tests of this folder."""

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kobert_kit.batches.options import DataConfig
from kobert_kit.cli import main
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.shards import Corpus
from kobert_kit.demo import SAMPLE
from kobert_kit.pretraining.config import ModelConfig, OptimizerConfig, PretrainConfig
from kobert_kit.pretraining.run import pretrain
from kobert_vocab import Vocabulary, train

# The models here are so small that a second thread costs more than it brings.
torch.set_num_threads(1)

LANGUAGES = ("en", "de", "ru", "th", "zh-Hans", "ar")

# Each line of the plan is a call of `pretrain`; in one launch, which is what takes the time.
SCRIPT = """
import pickle, sys, torch
from kobert_kit.pretraining.run import pretrain
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")  # once: a launch has one meeting
with open(sys.argv[1], "rb") as file:
    calls = pickle.load(file)
for config, options in calls:
    pretrain(config, **options)
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def kobert(monkeypatch, capsys):
    """Run a command line; gives exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kobert", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def sample_inputs():
    return [
        f"ko={SAMPLE / 'ko' / 'news.txt'}",
        f"ko={SAMPLE / 'ko' / 'reviews.txt'}",
        *(str(SAMPLE / "languages" / f"{code}.txt") for code in LANGUAGES),
    ]


@pytest.fixture(scope="session")
def vocab_folder(tmp_path_factory, sample_inputs):
    # The built-in rules, so that the tests pass without the analyser.
    out = tmp_path_factory.mktemp("vocab") / "v"
    return train(sample_inputs, out, size=4_000, analyser="rules")


@pytest.fixture(scope="session")
def vocabulary(vocab_folder):
    return Vocabulary.load(vocab_folder)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory, vocab_folder, sample_inputs):
    out = tmp_path_factory.mktemp("corpus") / "c"
    build_corpus(sample_inputs, vocab=vocab_folder, out=out, held_out=0.1)
    return out


@pytest.fixture(scope="session")
def corpus(corpus_folder):
    return Corpus.load(corpus_folder)


@pytest.fixture(scope="session")
def run_settings(vocab_folder, corpus_folder):
    """Settings of a run of seconds; ``dataclasses.replace`` gives it a folder of its own."""
    return PretrainConfig(
        vocab=vocab_folder,
        corpus=corpus_folder,
        out=Path("run"),
        steps=12,
        evaluate_every=3,
        evaluate_sequences=3,
        model=ModelConfig(
            hidden_size=32, layers=1, heads=2, intermediate_size=64, max_positions=48
        ),
        data=DataConfig(length=40, windows=4),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=0.2),
    )


@pytest.fixture(scope="session")
def short_run(run_settings, tmp_path_factory):
    """The settings of a run that has ended, and its last evaluation. Not to be changed."""
    config = dataclasses.replace(run_settings, out=tmp_path_factory.mktemp("short") / "run")
    return config, pretrain(config)


@pytest.fixture(scope="session")
def launch():
    """Call `pretrain` in so many processes, once for each of (settings, options)."""
    return _launch


def _launch(processes, calls, folder):
    plan, script = folder / "plan.pickle", folder / "script.py"
    plan.write_bytes(pickle.dumps(calls))
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", processes]
    done = subprocess.run(
        [*map(str, command), "--standalone", str(script), str(plan)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
