import json
import subprocess
import sys

import pytest


@pytest.fixture
def refuses(kobert, tmp_path):
    """Run a command line that must fail in one line, with code 2, leaving nothing behind."""

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = kobert(*arguments)
        assert (code, out) == (2, ""), err
        lines = err.strip().splitlines()
        assert lines[-1].startswith("kobert: ")
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before
        return lines[-1]

    return run


def test_settings_of_one_form_are_refused_by_the_others(refuses, models_of, tmp_path):
    to = ("export", models_of("BERT"), "--out", tmp_path / "out", "--to")
    vectors = "is a setting of --to sentence-transformers; leave it out"
    assert f"--pooling {vectors}" in refuses(*to, "onnx", "--pooling", "first")
    assert f"--normalise {vectors}" in refuses(*to, "onnx", "--normalise")
    assert f"--max-length {vectors}" in refuses(*to, "onnx", "--max-length", 8)
    line = refuses(*to, "sentence-transformers", "--repository", "kim/kernels")
    assert "--repository is a setting of --to kernels-hub" in line


def test_what_needs_a_model_and_what_takes_none(refuses, models_of, tmp_path):
    out = ("--out", tmp_path / "out")
    assert "--to onnx needs a model: kobert export MODEL" in refuses("export", "--to", "onnx", *out)
    line = refuses("export", models_of("BERT"), "--to", "kernels-hub", *out)
    assert "--to kernels-hub takes no model" in line


@pytest.mark.parametrize("form", ["onnx", "sentence-transformers"])
def test_bad_models(refuses, new_model, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="needs kobert-kit[onnx]")
    to = ("--to", form, "--out", tmp_path / "out")
    assert "no such folder" in refuses("export", tmp_path / "none", *to)
    folder = new_model()
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | {"model_type": "gpt2"}))
    assert "model_type is 'gpt2'" in refuses("export", folder, *to)
    (folder / "config.json").write_text(json.dumps(raw))
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refuses("export", folder, *to)


def test_each_form_says_what_it_made(kobert, models_of, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs kobert-kit[onnx]")
    given = models_of("ModernBERT, bare")
    code, out, err = kobert("export", given, "--to", "onnx", "--out", tmp_path / "o")
    assert code == 0, err
    assert out.startswith(f"onnx: {tmp_path / 'o' / 'onnx' / 'model.onnx'}   ")
    assert out.endswith("on 9 texts of 1 to 48 tokens\n")
    to = ("--to", "sentence-transformers", "--pooling", "first", "--max-length", 9)
    code, out, err = kobert("export", given, *to, "--out", tmp_path / "s")
    assert (code, out) == (0, f"sentence-transformers: {tmp_path / 's'}\n"), err
    pooling = json.loads((tmp_path / "s" / "1_Pooling" / "config.json").read_text())
    assert (pooling["pooling_mode_cls_token"], pooling["pooling_mode_mean_tokens"]) == (True, False)
    settings = json.loads((tmp_path / "s" / "sentence_bert_config.json").read_text())
    assert settings["max_seq_length"] == 9
    code, out, err = kobert("export", "--to", "kernels-hub", "--out", tmp_path / "k")
    assert code == 0, err
    assert out.startswith(f"kernels: {tmp_path / 'k'}   publish it with kernel-builder")
    assert "once build.toml and its test say where" in out


@pytest.mark.slow
def test_a_real_process_says_nothing_but_its_result(models_of, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs kobert-kit[onnx]")
    command = ("export", models_of("BERT"), "--to", "onnx", "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "kobert_kit", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("onnx: ")
    assert done.stdout.count("\n") == 1


HELP = """
import sys
sys.argv = ["kobert", sys.argv[1], "--help"]
from kobert_kit.cli import main
try:
    main()
except SystemExit:
    pass
print([name for name in ("torch", "transformers", "huggingface_hub") if name in sys.modules])
"""


@pytest.mark.parametrize("command", ["export", "push"])
def test_help_imports_nothing_large(command):
    done = subprocess.run(
        [sys.executable, "-c", HELP, command], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_package_that_lacks_is_named_with_its_extra(kobert, models_of, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx_ir", None)
    monkeypatch.delitem(sys.modules, "kobert_kit.export.onnx_folder", raising=False)
    code, _, err = kobert("export", models_of("BERT"), "--to", "onnx", "--out", tmp_path / "o")
    assert code == 2
    assert err == "kobert: this needs onnx_ir: pip install 'kobert-kit[onnx]'\n"
