import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.pretraining.config import OptimizerConfig, flags_from_toml
from kobert_kit.pretraining.schedule import learning_rate
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
    config = OptimizerConfig(learning_rate=1.0, warmup=warmup)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert max(rates) == pytest.approx(1.0)
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert learning_rate(steps, steps, config) == 0


def test_the_rate_falls_in_a_line_from_the_end_of_the_warm_up():
    config = OptimizerConfig(learning_rate=2.0, warmup=0.1)
    rates = {step: learning_rate(step, 100, config) for step in (0, 4, 9, 10, 55, 99)}
    assert rates == pytest.approx({0: 0.2, 4: 1.0, 9: 2.0, 10: 2.0, 55: 1.0, 99: 2 / 90})


def rates_of(steps=100, **options):
    config = OptimizerConfig(learning_rate=1.0, warmup=0.1, **options)
    return [learning_rate(step, steps, config) for step in range(steps + 1)]


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
    assert set(rates[10:81]) == {1.0}
    assert (rates[90], rates[100]) == pytest.approx((half_way, 0))
    assert all(a > b for a, b in itertools.pairwise(rates[80:]))


@pytest.mark.parametrize(("value", "flags"), [("true", ["--data.any-vocabulary"]), ("false", [])])
def test_yes_and_no_become_a_flag_or_none(tmp_path, value, flags):
    assert flags_from_toml(write(tmp_path, f"[data]\nany_vocabulary = {value}\n")) == flags
