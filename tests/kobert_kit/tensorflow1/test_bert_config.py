import json

import pytest
from transformers import BertConfig

from kobert_kit.tensorflow1.bert_config import read_google, read_huggingface
from kobert_vocab.errors import InputError


@pytest.fixture
def google(tmp_path, written):
    def write(**changes):
        path = tmp_path / "bert_config.json"
        path.write_text(json.dumps(written.BERT | changes))
        return path

    return write


@pytest.mark.parametrize("gelu", ["tanh", "erf"])
def test_settings_come_back(tmp_path, google, written, gelu):
    config = read_google(google(directionality="bidi"), gelu)  # as in multilingual BERT's file
    assert config.to_google() == written.BERT
    raw = config.to_huggingface("BertForPreTraining", pad_id=3)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw))
    assert read_huggingface(path, gelu) == config
    theirs = BertConfig.from_pretrained(tmp_path)
    assert theirs.pad_token_id == 3
    assert {name: getattr(theirs, name) for name in written.BERT} == written.BERT | {
        "hidden_act": raw["hidden_act"]
    }


def test_a_configuration_of_transformers_is_read(tmp_path):
    BertConfig(hidden_act="gelu_pytorch_tanh").save_pretrained(tmp_path)
    assert read_huggingface(tmp_path / "config.json", "tanh").hidden_size == 768


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32.0}, "hidden_size is 32.0"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be a number from 1"),
        ({"type_vocab_size": True}, "type_vocab_size is True"),
        ({"hidden_dropout_prob": 1}, r"hidden_dropout_prob is 1; it must lie in \[0, 1\)"),
        ({"initializer_range": float("nan")}, "initializer_range is nan"),
        ({"hidden_dropout_prob": "0.1"}, "hidden_dropout_prob is '0.1'"),
        ({"hidden_act": ["gelu"]}, "hidden_act is .'gelu'."),
    ],
)
def test_a_value_that_cannot_be_is_named(google, changes, message):
    with pytest.raises(InputError, match=message):
        read_google(google(**changes), "tanh")


def test_a_missing_key_and_other_files_are_named(google, written):
    path = google()
    for key in written.BERT.keys() - {"hidden_act"}:
        path.write_text(json.dumps({k: v for k, v in written.BERT.items() if k != key}))
        with pytest.raises(InputError, match=f"no {key}"):
            read_google(path, "tanh")
    for content in (b"", b"\xff", b"[1]", b"7" * 5_000, b"{" * 100_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"bert_config\.json: not "):
            read_google(path, "tanh")
