"""Tuning in the interpreter: its times mean nothing, its steps are those of a GPU."""

import dataclasses
import json

import pytest
import torch

from kobert_kernels import launches, parity, tune
from kobert_kernels.cases.layer_norm import LayerNormCase

CPU = torch.device("cpu")
CASE = LayerNormCase(rows=5, width=24, residual=True)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A copy of the table that may be written to."""
    copy = tmp_path / "launches.json"
    copy.write_text(launches.TABLE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(launches, "TABLE", copy)
    yield copy
    launches.rows.cache_clear()
    launches._find.cache_clear()


def found():
    return launches.launch("layer_norm.forward", size=32, dtype=torch.float32, device=CPU)


def timed(monkeypatch, milliseconds):
    monkeypatch.setattr(tune._Trial, "milliseconds", lambda self, row: milliseconds(row))


def test_every_kernel_of_a_case_is_tuned_and_the_rows_are_this_devices(monkeypatch):
    monkeypatch.setattr(tune, "ROUNDS", 1)
    tuned = {row.kernel: row for row, _ in tune.tune(CASE, CPU)}
    assert tuned.keys() == {"layer_norm.forward", "layer_norm.backward", "column_sums"}
    assert {row.arch for row in tuned.values()} == {"cpu"}
    assert all(row.source not in ("compiler", "") for row in tuned.values())


def test_the_fastest_row_wins_and_fixed_sides_stay(monkeypatch):
    timed(monkeypatch, lambda row: 1.0 / row.num_warps + 0.1 * row.blocks.get("BLOCK_R", 0))
    best, gain = next(tune.tune(CASE, CPU))
    start = found()
    assert best.num_warps == 32
    assert best.blocks == {"BLOCK_R": start.blocks["BLOCK_R"] // 4, "BLOCK_N": 32}
    assert gain > 1


def test_a_gain_within_the_noise_changes_nothing(monkeypatch):
    timed(monkeypatch, lambda row: 1.0 if row.source == "compiler" else 0.99)
    best, gain = next(tune.tune(CASE, CPU))
    start = found()
    assert (best.blocks, best.num_warps, gain) == (start.blocks, start.num_warps, 1.0)


def test_a_candidate_that_fails_is_passed_over(monkeypatch):
    timed(monkeypatch, lambda row: None if row.num_warps != 4 else 1.0)
    best, _ = next(tune.tune(CASE, CPU))
    assert best.num_warps == 4


def test_a_candidate_with_wrong_results_has_no_time():
    inputs = CASE.inputs(CPU)
    op = parity.implementation("layer_norm", "triton")
    known = parity.answers(CASE, inputs)
    row = found()
    trial = tune._Trial(CASE, op, inputs, known, True)
    assert trial.milliseconds(row) > 0
    # Half a row per tile: the other half is never written.
    half = dataclasses.replace(row, blocks={"BLOCK_R": 16, "BLOCK_N": 16})
    assert trial.milliseconds(half) is None


def test_written_rows_come_before_those_for_any_architecture(table):
    row = found()
    ours = dataclasses.replace(row, arch="sm_90", num_warps=2, source="a GPU")
    tune.write([ours])
    assert found() == row
    with launches.pretend("sm_90"):
        assert found() == ours
    tune.write([dataclasses.replace(ours, num_warps=1)])
    with launches.pretend("sm_90"):
        assert found().num_warps == 1
    entries = json.loads(table.read_text("utf-8"))
    assert len(entries) == len(launches.rows())


def test_a_missing_row_is_named():
    with pytest.raises(KeyError, match=r"no row for layer_norm\.forward, size 7, 16 bits, cpu"):
        launches.launch("layer_norm.forward", size=7, dtype=torch.bfloat16, device=CPU)


def test_replaced_rows_count_inside_alone():
    row = found()
    other = dataclasses.replace(row, num_warps=8)
    with launches.replaced(other):
        assert found() == other
    assert found() == row
