import dataclasses
import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.batches.options import DataConfig, Masking, Phase
from kobert_kit.pretraining.batch_of_run import batch_of_run
from kobert_kit.pretraining.config import OptimizerConfig, PretrainConfig, TrainingPhase
from kobert_kit.pretraining.config_file import flags_from_toml, read_phases, to_toml, with_phases
from kobert_kit.pretraining.schedule import share_of_peak
from kobert_vocab.errors import InputError


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_tables_become_flags(tmp_path):
    path = write(
        tmp_path,
        'vocab = "v"\nsteps = 3\n[model]\nhidden_size = 64\n'
        "[data.languages.floors]\nko = 0.3\nen = 0.1\n",
    )
    assert flags_from_toml(path) == [
        "--vocab", "v", "--steps", "3", "--model.hidden-size", "64",
        "--data.languages.floors", "ko", "0.3", "en", "0.1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "no setting 'stepz'; did you mean 'steps'"),
        ("[model]\nlayer = 3", r"no setting 'layer' in \[model\]; did you mean 'layers'"),
        ("[data]\nxyz = 3", "known: length"),
        ("model = 3", "model is a table"),
        ("steps = ", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        flags_from_toml(write(tmp_path, text))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        flags_from_toml(tmp_path / "none.toml")


@given(st.integers(1, 2_000), st.floats(0, 0.9))
def test_the_rate_rises_then_falls_to_nothing(steps, warmup):
    config = OptimizerConfig(warmup=warmup)
    rates = [share_of_peak(step / steps, 1 / steps, config) for step in range(steps)]
    # Of few steps none need fall on the peak.
    assert max(rates) == pytest.approx(1.0, abs=1 / steps / (1 - warmup))
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert share_of_peak(1.0, 1 / steps, config) == 0


def test_the_rate_falls_in_a_line_from_the_end_of_the_warm_up():
    config = OptimizerConfig(warmup=0.1)
    rates = {step: share_of_peak(step / 100, 0.01, config) for step in (0, 4, 9, 10, 55, 99)}
    assert rates == pytest.approx({0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 55: 0.5, 99: 1 / 90})


def rates_of(steps=100, **options):
    config = OptimizerConfig(warmup=0.1, **options)
    return [share_of_peak(step / steps, 1 / steps, config) for step in range(steps + 1)]


def test_the_rate_of_bert_is_counted_from_the_first_step():
    rates = rates_of(schedule="bert")
    assert rates[:3] == pytest.approx([0, 0.1, 0.2])
    assert rates[9:12] == pytest.approx([0.9, 0.9, 0.89])
    assert rates[100] == 0


def test_the_rate_falls_as_a_cosine():
    rates = rates_of(schedule="cosine")
    assert (rates[10], rates[55], rates[100]) == pytest.approx((1, 0.5, 0))
    assert rates[25] == pytest.approx((1 + math.cos(math.pi / 6)) / 2)


@pytest.mark.parametrize(("schedule", "half_way"), [("wsd", 0.5), ("wsd_sqrt", 1 - 0.5**0.5)])
def test_the_rate_stays_and_falls_at_the_end(schedule, half_way):
    rates = rates_of(schedule=schedule, decay=0.2)
    assert rates[10:81] == pytest.approx([1.0] * 71, abs=1e-6)
    assert (rates[90], rates[100]) == pytest.approx((half_way, 0))
    assert all(a > b for a, b in itertools.pairwise(rates[80:]))


@pytest.mark.parametrize(("value", "flags"), [("true", ["--data.any-vocabulary"]), ("false", [])])
def test_yes_and_no_become_a_flag_or_none(tmp_path, value, flags):
    assert flags_from_toml(write(tmp_path, f"[data]\nany_vocabulary = {value}\n")) == flags


PHASES = """
steps = 1000
[optimizer]
learning_rate = 1e-3
[data]
length = 128
windows = 64
[[phase]]
share = 0.9
[[phase]]
share = 0.1
learning_rate = 5e-4
micro_batches = 4
data.length = 512
data.windows = 16
data.masking.rate = 0.3
data.languages.floors = { ko = 0.5 }
"""
WHOLE = TrainingPhase(share=1.0, learning_rate=1e-3, data=DataConfig(length=128, windows=64))


def test_a_phase_says_what_is_other_than_in_the_rest_of_the_file(tmp_path):
    first, second = read_phases(write(tmp_path, PHASES), WHOLE)
    assert first == dataclasses.replace(WHOLE, share=0.9)
    assert second == TrainingPhase(
        share=0.1,
        learning_rate=5e-4,
        micro_batches=4,
        data=DataConfig(
            length=512,
            windows=16,
            masking=Masking(rate=0.3),
            languages=Phase(floors={"ko": 0.5}),
        ),
    )


@pytest.mark.parametrize(
    "given", [["--data.length", "64"], ["--data.length=64"], ["--optimizer.learning_rate", "1"]]
)
def test_flags_win_over_phases_too(tmp_path, given):
    _, plain = read_phases(write(tmp_path, PHASES), WHOLE)
    _, second = read_phases(write(tmp_path, PHASES), WHOLE, given)
    if "learning" in given[0]:
        assert second == dataclasses.replace(plain, learning_rate=WHOLE.learning_rate)
    else:
        data = dataclasses.replace(plain.data, length=WHOLE.data.length)
        assert second == dataclasses.replace(plain, data=data)


def test_the_file_that_a_run_leaves_says_the_same(tmp_path):
    settings = PretrainConfig(
        vocab=Path("v"),
        corpus=Path("c"),
        out=Path("o"),
        steps=10,
        data=WHOLE.data,
    )
    settings = with_phases(settings, write(tmp_path, PHASES), [])
    left = write(tmp_path, to_toml(settings))
    whole = dataclasses.replace(settings, phases=()).all_phases[0]
    assert len(settings.phases) == 2
    assert read_phases(left, whole) == settings.phases
    assert "--steps" in flags_from_toml(left)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[phase]\nshare = 1.0", r"write \[\[phase\]\]"),
        ("[[phase]]\ndata.length = 64", "has a share"),
        ("[[phase]]\nshare = 1.0\nlenght = 3", "no setting 'lenght'"),
        ("[[phase]]\nshare = 1.0\ndata.lenght = 3", "did you mean 'length'"),
        ("[[phase]]\nshare = 1.0\nsteps = 3", "no setting 'steps'"),
    ],
)
def test_mistakes_in_phases_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_phases(write(tmp_path, text), WHOLE)


def test_phases_are_tables_and_no_setting(tmp_path):
    with pytest.raises(InputError, match="no setting 'phases'"):
        flags_from_toml(write(tmp_path, "phases = 3"))


def test_a_step_of_a_run_is_found_in_its_phase(tmp_path):
    path, options = write(tmp_path, PHASES), {"seed": 7, "data": WHOLE.data, "given": []}
    assert batch_of_run(path, None, 899, **options) == (7, 899, WHOLE.data)
    seed, step, data = batch_of_run(path, None, 905, **options)
    assert (step, data.length) == (5, 512)
    assert seed != 7
    assert batch_of_run(path, 2, 5, **options) == (seed, step, data)
    with pytest.raises(InputError, match=r"phase is 3; .* has phases 1 to 2"):
        batch_of_run(path, 3, 5, **options)
    plain = write(tmp_path, "steps = 1000")
    assert batch_of_run(plain, None, 905, **options) == (7, 905, WHOLE.data)
    with pytest.raises(InputError, match=r"phase is 2; .* has no \[\[phase\]\]"):
        batch_of_run(plain, 2, 5, **options)
    timed = write(tmp_path, PHASES.replace("steps = 1000", 'budget = "1h"'))
    with pytest.raises(InputError, match="give --phase"):
        batch_of_run(timed, None, 5, **options)
