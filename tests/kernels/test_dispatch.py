import json
import os
import subprocess
import sys
import warnings

import pytest
import torch

from kobert_kernels import configure, dispatch, layer_norm, use
from kobert_kernels.dispatch import Call, explain

CPU = torch.device("cpu")


@pytest.fixture
def toy(monkeypatch):
    """An op with three implementations: one that needs 16 bits, two that take anything."""
    monkeypatch.setattr(dispatch, "_registry", {})
    for empty in ("_choices", "_environment", "_configured", "_used"):
        monkeypatch.setattr(dispatch, empty, {})
    monkeypatch.setattr(dispatch, "_measured", list)
    dispatch.register("toy", "fast", lambda: "fast", rejects=needs_16_bits)
    dispatch.register("toy", "plain", lambda: "plain")
    dispatch.register("toy", "other", lambda: "other")
    return dispatch


def needs_16_bits(call):
    return None if call.dtype.itemsize == 2 else f"not for {call.dtype}"


def call(dtype=torch.float32, **facts):
    return Call(op="toy", device=CPU, dtype=dtype, size=64, **facts)


def measured(**row):
    kind = {"op": "toy", "arch": "cpu", "device": "a CPU", "dtype": "torch.float32", "size": 64}
    plain = {"length": 0, "dropout": False, "ragged": False, "window": False, "case": "toy-64"}
    return kind | plain | row


def test_the_first_that_can_runs_and_the_others_say_why_not(toy):
    assert toy.choose(call(torch.float16))() == "fast"
    assert toy.choose(call())() == "plain"
    assert explain(call()).rejected == {"fast": "not for torch.float32"}


def test_the_fastest_measured_runs(toy, monkeypatch):
    rows = [measured(ms={"plain": 3.0, "other": 2.0})]
    monkeypatch.setattr(toy, "_measured", lambda: rows)
    choice = explain(call())
    assert choice.name == "other"
    assert choice.reason == "fastest of 2 at toy-64 on a CPU"
    assert choice.rejected == {"fast": "not for torch.float32", "plain": "takes 1.50x the time"}
    assert toy.choose(call())() == "other"


def test_the_nearest_row_of_the_same_kind_counts(toy, monkeypatch):
    rows = [
        measured(length=128, case="short", ms={"plain": 1.0, "other": 2.0}),
        measured(length=8192, case="long", ms={"plain": 2.0, "other": 1.0}),
        measured(length=512, dropout=True, case="dropout", ms={"other": 1.0, "plain": 9.0}),
        measured(length=512, arch="sm_90", case="GPU", ms={"other": 1.0, "plain": 9.0}),
    ]
    monkeypatch.setattr(toy, "_measured", lambda: rows)
    assert explain(call(length=512)).name == "plain"
    assert "short" in explain(call(length=512)).reason
    assert explain(call(length=4096)).name == "other"
    assert "dropout" in explain(call(length=4096, dropout=0.1)).reason
    assert "nothing measured" in explain(call(torch.bfloat16)).reason


def test_what_was_measured_but_cannot_run_is_passed_over(toy, monkeypatch):
    rows = [measured(ms={"fast": 0.1, "plain": 2.0})]
    monkeypatch.setattr(toy, "_measured", lambda: rows)
    assert explain(call()).name == "plain"


def test_nothing_that_can_run_is_an_error(toy):
    toy._registry["toy"] = {"fast": toy._registry["toy"]["fast"]}
    with pytest.raises(ValueError, match="toy: nothing can compute this"):
        toy.choose(call())


def test_overrides_win_the_inner_over_the_outer(toy, monkeypatch):
    monkeypatch.setattr(toy, "_environment", {"toy": "other"})
    assert toy.choose(call())() == "other"
    configure(toy="plain")
    assert toy.choose(call())() == "plain"
    with use(toy="other"):
        assert toy.choose(call())() == "other"
        with use(toy="auto"):
            assert toy.choose(call(torch.float16))() == "fast"
        assert toy.choose(call())() == "other"
    assert toy.choose(call())() == "plain"
    configure(toy="auto")
    assert toy.choose(call(torch.float16))() == "fast"


def test_an_override_ends_when_its_block_raises(toy):
    with pytest.raises(KeyError), use(toy="other"):
        raise KeyError
    assert toy.forced("toy") is None


def test_forcing_what_cannot_run_raises_with_the_reason(toy, monkeypatch):
    with use(toy="fast"), pytest.raises(ValueError, match="use asks for fast, but not for"):
        toy.choose(call())
    monkeypatch.setattr(toy, "_environment", {"toy": "fast"})
    with pytest.raises(ValueError, match="environment's KOBERT_KERNELS asks for fast, but not for"):
        toy.choose(call())


def test_a_name_that_does_not_exist_is_refused_with_those_that_do(toy, monkeypatch):
    with pytest.raises(ValueError, match="no op is called tay: there are toy"), use(tay="fast"):
        pass
    with pytest.raises(ValueError, match="toy has no implementation fats: there are fast, plain"):
        configure(toy="fats")
    monkeypatch.setattr(toy, "_environment", {"toy": "fats"})
    with pytest.raises(ValueError, match="toy has no implementation fats"):
        toy.choose(call())


def test_the_environment_is_read(tmp_path):
    program = "import kobert_kernels.dispatch as d; print(d.forced('layer_norm'))"
    environment = os.environ | {"KOBERT_KERNELS": "attention=torch, layer_norm=torch"}
    out = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "('torch', \"the environment's KOBERT_KERNELS\")"


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_compiled_model_follows_overrides(toy, dynamic, monkeypatch):
    """It is compiled anew: the override is read inside the compiled code."""
    monkeypatch.setattr(dispatch, "_registry", {})
    dispatch.register("toy", "adds one", lambda x: x + 1)
    dispatch.register("toy", "adds two", lambda x: x + 2)

    def model(x, length):
        size, dtype = x.shape[-1], x.dtype
        facts = Call(op="toy", device=x.device, dtype=dtype, size=size, length=length)
        return dispatch.choose(facts)(x)

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend="eager")
    zero = torch.zeros(3, 5)
    assert compiled(zero, 100).max() == 1
    with use(toy="adds two"):
        assert compiled(zero, 200).max() == 2
    assert compiled(torch.zeros(7, 6), 300).max() == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("atention=torch", "KOBERT_KERNELS=atention=torch: no op is called atention: there are"),
        ("attention", "KOBERT_KERNELS=attention: attention has no implementation : there are"),
        ("layer_norm=tritn", "layer_norm has no implementation tritn: there are triton, torch"),
    ],
)
def test_a_mistyped_environment_is_refused(value, message, monkeypatch):
    monkeypatch.setenv("KOBERT_KERNELS", value)
    with pytest.raises(ValueError, match=message):
        dispatch.read_environment()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["auto", "torch", "triton"])
def test_an_op_with_dropout_compiles_as_one_graph(name, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(layer_norm, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    weight, seed = torch.ones(16), torch.tensor([3])
    with use(layer_norm=name):
        for rows in (4, 6):
            x = torch.randn(rows, 16)
            expected = layer_norm(x, weight, dropout=0.1, seed=seed)
            torch.testing.assert_close(compiled(x, weight, dropout=0.1, seed=seed), expected)


def test_the_committed_table_names_what_exists():
    for row in json.loads(dispatch.TABLE.read_text("utf-8")):
        names = {i.name for i in dispatch.implementations(row["op"])}
        assert set(row["ms"]) <= names
        assert min(row["ms"].values()) > 0


def test_inductor_computes_the_same():
    x, weight = torch.randn(40, 32, requires_grad=True), torch.ones(32)
    expected = layer_norm(x, weight)
    with warnings.catch_warnings(), use(layer_norm="inductor"):
        warnings.simplefilter("ignore")  # torch's own imports of inductor warn
        torch.testing.assert_close(layer_norm(x, weight), expected)
