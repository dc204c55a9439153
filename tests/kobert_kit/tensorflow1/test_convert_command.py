import json

import pytest


@pytest.fixture
def refuses(kobert):
    def run(*arguments):
        code, out, err = kobert(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("kobert: ")
        assert err.count("\n") == 1
        return err

    return run


def test_there_and_back_on_the_command_line(kobert, tmp_path, bert):
    model, back = tmp_path / "model", tmp_path / "back"
    code, out, err = kobert("convert", bert, "--out", model, "--case", "uncased")
    assert code == 0, err
    assert "bert/pooler/dense/kernel" in out
    assert "93 tensors skipped" in out
    assert out.endswith(f"huggingface: {model}\n")
    code, out, err = kobert("convert", model, "--to", "tf1", "--out", back)
    assert code == 0, err
    assert "give Google's code --do_lower_case=True" in out
    assert out.endswith(f"tf1: {back}\n")
    assert {path.name for path in back.iterdir()} == {
        *("bert_config.json", "vocab.txt", "bert_model.ckpt.index"),
        "bert_model.ckpt.data-00000-of-00001",
    }


def test_the_form_of_gelu_is_a_flag_both_ways(kobert, refuses, tmp_path, bert):
    model, flags = tmp_path / "model", ("--gelu", "erf")
    assert kobert("convert", bert, "--out", model, "--case", "cased", *flags)[0] == 0
    assert json.loads((model / "config.json").read_text())["hidden_act"] == "gelu"
    back = ("convert", model, "--to", "tf1", "--out", tmp_path / "back")
    assert "say --gelu erf" in refuses(*back)
    code, out, err = kobert(*back, *flags)
    assert code == 0, err
    assert "gelu: the erf form" in out


def test_the_converted_model_fills_masks(kobert, tmp_path, bert):
    assert kobert("convert", bert, "--out", tmp_path / "m", "--case", "cased")[0] == 0
    code, out, err = kobert("fill-mask", tmp_path / "m", "나는 [MASK] 간다.")
    assert code == 0, err
    assert out.count("%") == 5


def test_what_cannot_be_done_is_one_line(refuses, tmp_path, bert):
    out = tmp_path / "m"
    assert "say --case cased or" in refuses("convert", bert, "--out", out)
    assert "no such checkpoint" in refuses("convert", tmp_path / "none", "--out", out)
    case = ("--case", "cased")
    assert "no place for --case" in refuses("convert", bert, "--to", "tf1", "--out", out, *case)
    assert "config.json: no such file" in refuses("convert", bert, "--to", "tf1", "--out", out)
    assert "already there" in refuses("convert", bert, "--out", tmp_path.parent, *case)
    assert not out.exists()
