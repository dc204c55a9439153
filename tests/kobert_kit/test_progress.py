import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.pretraining.config import PretrainConfig, seconds_of
from kobert_kit.pretraining.progress import ENOUGH, Progress, beginnings

ANY = PretrainConfig(vocab=Path("v"), corpus=Path("c"), out=Path("o"), steps=1)


def run_of(steps, shares):
    progress, phases = Progress.of(dataclasses.replace(ANY, steps=steps)), []
    while not progress.finished:
        phases.append(progress.phase)
        progress.advance(steps)
        progress.enter_phase(shares)
    return phases


@given(st.integers(1, 500))
def test_a_run_has_as_many_steps_as_it_was_given(steps):
    assert len(run_of(steps, [1.0])) == steps


@given(st.integers(40, 700), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_phases_begin_at_the_nearest_step(steps, weights):
    shares = [weight / sum(weights) for weight in weights]
    phases = run_of(steps, shares)
    for number, first in enumerate(beginnings(shares, steps)):
        assert abs(first - sum(shares[:number]) * steps) <= 0.5 + 1e-6
        assert all(phase >= number for phase in phases[first:])
        assert all(phase < number for phase in phases[:first])


def test_nine_tenths_and_one_tenth():
    phases = run_of(1_000, [0.9, 0.1])
    assert phases == [0] * 900 + [1] * 100
    assert beginnings([0.9, 0.1], 1_000_000) == [0, 900_000]


def by_the_clock(seconds_of_step, budget, saved_at=None):
    """Steps, seconds and shares done of a run with a budget, on a clock of our own."""
    progress = Progress.of(dataclasses.replace(ANY, steps=None, budget=budget))
    clock, done = 0.0, []
    while not progress.finished:
        if progress.step == saved_at:
            progress = Progress.from_dict(json.loads(json.dumps(progress.as_dict())))
        clock += seconds_of_step(progress.step, progress.done)
        progress.advance(None)
        another = progress.enter_phase([0.9, 0.1])
        if another or progress.step >= progress.measure_at:
            progress.measure(clock, budget)
        done.append(progress.done)
    return progress, clock, done


@pytest.mark.parametrize(
    "seconds_of_step",
    [
        lambda step, done: 0.05,
        lambda step, done: 5.0 if step == 0 else 0.05,  # the first step compiles
        lambda step, done: 0.05 if done < 0.9 else 0.3,  # longer sequences at the end
        lambda step, done: 0.05 + 0.02 * (step % 7) + (1.0 if step % 100 == 99 else 0),
    ],
)
def test_the_schedule_ends_when_the_time_does(seconds_of_step):
    progress, clock, done = by_the_clock(seconds_of_step, "2m")
    assert clock == pytest.approx(120, rel=0.02)
    assert progress.done == pytest.approx(1, abs=1e-2)
    assert done == sorted(done)


def test_a_stop_does_not_change_the_pace():
    at = [by_the_clock(lambda step, done: 0.05, "30s", saved_at=saved) for saved in (None, 37, 200)]
    assert at[0][2] == at[1][2] == at[2][2]


def test_a_budget_shorter_than_a_step_ends_after_it():
    progress, _, _ = by_the_clock(lambda step, done: 60.0, "30s")
    assert progress.step <= 2


@pytest.mark.parametrize(
    ("budget", "seconds"), [("24h", 86_400), ("90m", 5_400), ("1.5s", 1.5), ("2d", 172_800)]
)
def test_times(budget, seconds):
    assert seconds_of(budget) == seconds


def test_a_leap_is_measured_from_the_mean_of_the_last_steps():
    progress = Progress()
    for _ in range(ENOUGH - 1):
        progress.remember(5.0)
    assert not progress.has_leapt(50.0, 1.0)  # too few to know
    progress.remember(5.0)
    assert progress.has_leapt(6.1, 1.0)
    assert not progress.has_leapt(5.9, 1.0)
    assert not progress.has_leapt(50.0, None)
    for _ in range(100):
        progress.remember(8.0)
    assert not progress.has_leapt(8.9, 1.0)
    assert len(progress.recent) == 100


def test_another_phase_has_other_losses_to_leap_from():
    progress = Progress.of(dataclasses.replace(ANY, steps=2))
    progress.remember(5.0)
    progress.advance(2)
    assert progress.enter_phase([0.5, 0.5])
    assert progress.recent == []
