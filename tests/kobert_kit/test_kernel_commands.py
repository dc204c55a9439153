import json

import pytest
import torch

from kobert_kernels import bench, dispatch, parity
from kobert_kernels.cases.layer_norm import LayerNormCase
from kobert_kit import kernel_commands
from kobert_vocab.errors import InputError

GPU = torch.cuda.is_available()


def test_check_prints_a_line_for_each_case_and_writes_every_number(tmp_path, capsys):
    out = tmp_path / "new" / "parity.json"
    assert kernel_commands.check(["layer_norm"], ["fp32"], small=True, out=out)
    lines = capsys.readouterr().out.splitlines()
    records = json.loads(out.read_text("utf-8"))
    assert len([line for line in lines if line.endswith("  ok")]) == len(records) > 10
    assert f"{len(records)} of {len(records)} cases pass" in lines[-1]
    assert all(record["passed"] and record["op"] == "layer_norm" for record in records)
    tensors = {t["name"] for record in records for t in record["tensors"]}
    assert {"y", "z", "dx", "dweight", "dlinear_bias"} <= tensors
    assert sum(record["teeth"] for record in records) > 100


def test_check_names_what_fails_and_says_no(capsys, monkeypatch):
    right = parity.implementation("layer_norm", "torch")

    def wrong(*args, **options):
        y = right(*args, **options)
        return (y[0], y[1] * 1.01) if isinstance(y, tuple) else y * 1.01

    monkeypatch.setattr(
        parity, "implementation", lambda op, name: wrong if name == "triton" else right
    )
    assert not kernel_commands.check(["layer_norm"], ["fp32"], small=True, out=None)
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "layer_norm-7x3-residual-fp32: y: max" in out


@pytest.mark.skipif(GPU, reason="bf16 can be tested on a GPU")
def test_what_cannot_be_tested_here_is_refused():
    with pytest.raises(InputError, match="--dtypes bf16: here it can be fp32, fp16"):
        kernel_commands.check([], ["bf16"], small=False, out=None)
    with pytest.raises(InputError, match=r"--ops layernorm: here it can be .*layer_norm"):
        kernel_commands.check(["layernorm"], [], small=False, out=None)
    with pytest.raises(InputError, match="no GPU here"):
        kernel_commands.tune([])


def test_report_says_what_runs_and_why_not_the_rest(capsys):
    with dispatch.use(layer_norm="torch"):
        kernel_commands.report()
    out = capsys.readouterr().out
    assert "runs torch: asked for by kobert_kernels.use" in out
    if not GPU:
        assert "not triton: on a CPU it runs in Triton's interpreter" in out
    assert all(op in out for op in dispatch.ops())


def test_bench_checks_times_and_writes(tmp_path, capsys, monkeypatch):
    cases = [LayerNormCase(rows=64, width=32), LayerNormCase(rows=64, width=32, dropout=0.5)]
    monkeypatch.setattr(bench, "timed_cases", lambda device: cases)
    monkeypatch.setattr(bench, "ROUNDS", 3)
    wrong = dispatch.Implementation(
        op="layer_norm", name="wrong", run=without_dropout, rejects=lambda call: None
    )
    monkeypatch.setitem(dispatch._registry["layer_norm"], "wrong", wrong)
    monkeypatch.delitem(dispatch._registry["layer_norm"], "inductor")
    table = tmp_path / "measured.json"
    table.write_text('[{"arch": "sm_90", "op": "attention"}]', "utf-8")
    monkeypatch.setattr(dispatch, "TABLE", table)

    kernel_commands.bench(["layer_norm"], tmp_path / "results", dispatch=True)

    (path,) = (tmp_path / "results").glob("*.json")
    rows = json.loads(path.read_text("utf-8"))["rows"]
    assert rows[0]["timings"].keys() == {"torch", "wrong"}
    assert rows[1]["timings"].keys() == {"torch"}
    assert "max" in rows[1]["rejected"]["wrong"]
    low, median, high = rows[0]["timings"]["torch"]["both"]
    assert 0 < low <= median <= high
    markdown = path.with_suffix(".md").read_text("utf-8")
    assert "| 64x32-dropout0.5-fp32 | torch |" in markdown
    assert markdown in capsys.readouterr().out
    measured = json.loads(table.read_text("utf-8"))
    assert [row["op"] for row in measured] == ["attention", "layer_norm", "layer_norm"]
    assert measured[2]["dropout"] is True
    assert measured[2]["ms"] == {"torch": rows[1]["timings"]["torch"]["both"][1]}


def without_dropout(*args, dropout=0.0, seed=None, **options):
    return parity.implementation("layer_norm", "torch")(*args, **options)
