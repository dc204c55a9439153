"""The runs to start from say what they are, what they cost, and how they fit on one H100."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from kobert_kit.batches.options import Phase
from kobert_kit.pretraining.config import PretrainConfig
from kobert_kit.pretraining.config_file import flags_from_toml, with_phases
from kobert_kit.pretraining.gpus import GPUS
from kobert_kit.pretraining.plan import fitting_micro_batches

CONFIGS = Path(__file__).parents[2] / "configs"
FOR_A_CPU = "small-cpu.toml"  # of minutes, which docs/first-run.md has measured
FOR_A_GPU = sorted(path.name for path in CONFIGS.glob("*.toml") if path.name != FOR_A_CPU)
BERT = ["bert-base.toml", "bert-large.toml", "multilingual.toml"]
# What a file says of itself, in the words of the table that its command prints.
SAID = {
    r"counts ([\d.]+) million parameters": r"parameters +{} M ",
    r"parameters, ([\d,]+) million operations a token": r"operations +{} M a token",
    r"a token, ([\d.]+) GiB": r"memory +{} GiB of 80",
    r"GiB, and ([\d.]+ \w+) on one H100 if it reaches 40 % of its peak": r"time +{} on 1 x H100\n",
    r"which at \$2.5 an hour cost \$(\d+)": r"cost +\${},",
}
SIZES = {"bert-base.toml": 30_522, "bert-large.toml": 30_522, "multilingual.toml": 120_000}


def comment_of(name):
    lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:first])


def settings_of(name, *flags):
    folders = ["--vocab", "v", "--corpus", "c", "--out", "o"]
    args = [*flags_from_toml(CONFIGS / name), *folders, *flags]
    return with_phases(tyro.cli(PretrainConfig, args=args), CONFIGS / name, flags)


@pytest.mark.parametrize("name", FOR_A_GPU)
def test_a_run_costs_what_its_file_says(name, kobert):
    said = comment_of(name)
    command = shlex.split(re.search(r"`kobert (plan .*?)`", said)[1])
    assert f"configs/{name}" in command
    assert not {"--mfu", "--gpu", "--gpus"} & set(command)  # one H100 at 40 %
    assert command[command.index("--dollars") + 1] == "2.5"
    code, text, err = kobert(*[CONFIGS / name if "configs/" in w else w for w in command])
    assert code == 0, err
    for claim, shown in SAID.items():
        figure = re.search(claim, said)
        assert figure, claim
        assert re.search(shown.format(re.escape(figure[1])), text), (figure[0], text)


@pytest.mark.parametrize("name", FOR_A_GPU)
def test_micro_batches_are_the_fewest_that_fit_on_one_h100(name):
    settings, size = settings_of(name), SIZES.get(name, 64_000)
    assert f"--vocab-size {size} " in comment_of(name)
    needed = max(
        fitting_micro_batches(
            settings.model, phase.data, GPUS["H100"][1] * 2**30, vocabulary=size, bf16=True
        )
        for phase in settings.all_phases
    )
    assert max(phase.micro_batches or 1 for phase in settings.all_phases) == needed
    assert settings.precision == "bf16"


@pytest.mark.parametrize("name", FOR_A_GPU)
def test_a_run_begins_on_eight_gpus_with_one_flag(name):
    for phase in settings_of(name, "--micro-batches", "8").all_phases:
        assert phase.micro_batches == 8
        assert phase.data.windows % 8 == 0


@pytest.mark.parametrize("name", BERT)
def test_the_recipe_of_bert(name):
    settings = settings_of(name)
    optimizer = settings.optimizer
    assert settings.steps * optimizer.warmup == pytest.approx(10_000)
    assert (optimizer.kind, optimizer.schedule) == ("bert", "bert")
    assert (optimizer.learning_rate, optimizer.eps, optimizer.clip) == (1e-4, 1e-6, 1.0)
    assert (optimizer.weight_decay, optimizer.beta1, optimizer.beta2) == (0.01, 0.9, 0.999)
    model = settings.model
    assert (model.family, model.activation, model.init_std) == ("bert", "gelu_tanh", 0.02)
    assert (model.hidden_dropout, model.attention_dropout) == (0.1, 0.1)
    large = (24, 1024, 16, 4096) if name == "bert-large.toml" else (12, 768, 12, 3072)
    assert (model.layers, model.hidden_size, model.heads, model.intermediate_size) == large
    phases = [(phase.share, phase.data.length) for phase in settings.all_phases]
    assert phases == [(0.9, 128), (0.1, 512)]
    for phase in settings.all_phases:
        masking, data = phase.data.masking, phase.data
        assert (data.windows, data.pairing) == (256, "next")
        assert (masking.rate, masking.rule, masking.unit) == (0.15, "exact", "piece")
        assert phase.learning_rate == 1e-4
        assert data.languages == Phase(alpha=0.3)


def test_the_korean_modernbert_reads_as_much_in_a_step_of_any_phase():
    settings = settings_of("korean-modern.toml")
    assert {phase.data.windows * phase.data.length for phase in settings.all_phases} == {512 * 1024}
    assert settings.all_phases[-1].share == settings.optimizer.decay
    short = settings_of("korean-modern.toml", "--data.length", "1024", "--data.windows", "512")
    assert {phase.data.length for phase in short.all_phases} == {1024}


@pytest.mark.parametrize("page", ["pretraining.md", "pretraining.ko.md"])
def test_the_example_of_the_page_is_a_run(page, tmp_path):
    said = (CONFIGS.parent / "docs" / page).read_text(encoding="utf-8")
    path = tmp_path / "run.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", said, re.DOTALL)[1], encoding="utf-8")
    settings = settings_of(path)
    assert settings.budget == "24h"
    long, short = settings.all_phases[1], settings.all_phases[0]
    assert long.data.windows * long.data.length == short.data.windows * short.data.length
    assert long.data.languages.floors == {"ko": 0.5}
