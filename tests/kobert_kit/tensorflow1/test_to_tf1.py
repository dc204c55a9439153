import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.tensorflow1 import TensorBundle, to_huggingface, to_tf1
from kobert_vocab.errors import InputError

PREFIX = "bert_model.ckpt"
CONFIG = BertConfig(
    vocab_size=30,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=20,
    hidden_act="gelu_new",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bert):
    out = tmp_path_factory.mktemp("huggingface") / "model"
    to_huggingface(bert, out, case="cased")
    return out


@pytest.fixture
def spoilt(tmp_path, folder):
    """A copy whose configuration and tensors a test may change; None takes one away."""
    copy = shutil.copytree(folder, tmp_path / "spoilt")

    def change(config=(), **tensors):
        path = copy / "model.safetensors"
        weights = load_file(path) | tensors
        save_file({k: v for k, v in weights.items() if v is not None}, path)
        raw = json.loads((copy / "config.json").read_text()) | dict(config)
        (copy / "config.json").write_text(json.dumps(raw))
        return copy

    return change


def test_there_and_back_gives_the_same_bytes(tmp_path, folder, bert, written):
    conversion = to_tf1(folder, tmp_path / "tf1")
    bundle = TensorBundle.open(tmp_path / "tf1" / PREFIX)
    weights = {k: v for k, v in written.bert().items() if "adam" not in k and k != "global_step"}
    assert bundle.entries.keys() == weights.keys()
    assert all(np.array_equal(bundle.read(name), weights[name]) for name in weights)
    assert (tmp_path / "tf1" / "vocab.txt").read_bytes() == (bert / "vocab.txt").read_bytes()
    assert json.loads((tmp_path / "tf1" / "bert_config.json").read_text()) == written.BERT
    to_huggingface(tmp_path / "tf1", tmp_path / "again", case="cased")
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
    assert conversion.count("as it is", "transposed") == 46
    assert "vocab.txt: 40 pieces; give Google's code --do_lower_case=False" in conversion.notes


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_bits_come_back(tmp_path_factory, folder, seed):
    source = shutil.copytree(folder, tmp_path_factory.mktemp("any") / "model")
    generator = np.random.default_rng(seed)
    weights = {
        name: generator.integers(0, 2**32, array.shape, np.uint32).view(np.float32)
        for name, array in load_file(source / "model.safetensors").items()
    }  # with every NaN and infinity there is
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    to_tf1(source, source.parent / "tf1")
    to_huggingface(source.parent / "tf1", source.parent / "again", case="cased")
    again, before = (source.parent / n / "model.safetensors" for n in ("again", "model"))
    assert again.read_bytes() == before.read_bytes()


@pytest.mark.parametrize("kind", [BertForPreTraining, BertForMaskedLM, BertModel])
def test_what_transformers_saves_comes_back(tmp_path, kind):
    model = kind(CONFIG).eval()
    model.save_pretrained(tmp_path / "theirs")
    to_tf1(tmp_path / "theirs", tmp_path / "tf1")
    to_huggingface(tmp_path / "tf1", tmp_path / "again")
    again, info = kind.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(info.values()), info
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_what_our_training_saves_is_written(tmp_path):
    shape = EncoderConfig(vocab_size=50, hidden_size=32, layers=1, heads=2)
    model = PretrainingModel(shape)
    model.initialise(torch.Generator().manual_seed(0))
    model.save_pretrained(tmp_path)
    conversion = to_tf1(tmp_path, tmp_path / "tf1", gelu="erf")
    assert "no vocab.txt: the folder has no WordPiece vocabulary" in conversion.render()
    assert not (tmp_path / "tf1" / "vocab.txt").exists()
    to_huggingface(tmp_path / "tf1", tmp_path / "again", gelu="erf")
    again = PretrainingModel.from_pretrained(tmp_path / "again")
    assert again.config == shape
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_names_of_2019_copies_and_float16_are_read(tmp_path, spoilt, folder):
    weights = load_file(folder / "model.safetensors")
    old = {name: None for name in weights if "LayerNorm" in name}
    old |= {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): weights[name]
        for name in old
    }
    decoder = {
        "cls.predictions.decoder.weight": weights["bert.embeddings.word_embeddings.weight"],
        "cls.predictions.decoder.bias": weights["cls.predictions.bias"],
        "bert.embeddings.position_ids": np.arange(24)[None],
    }
    half = weights["bert.pooler.dense.bias"].astype(np.float16)
    source = spoilt(**old, **decoder, **{"bert.pooler.dense.bias": half})
    report = to_tf1(source, tmp_path / "tf1").render()
    assert "46 tensors converted\n3 tensors left out" in report
    bundle = TensorBundle.open(tmp_path / "tf1" / PREFIX)
    assert {entry.dtype for entry in bundle.entries.values()} == {"float32"}
    gamma = "embeddings/LayerNorm/gamma"
    expected = weights["bert.embeddings.LayerNorm.weight"]
    assert np.array_equal(bundle.read(f"bert/{gamma}"), expected)
    assert np.array_equal(bundle.read("bert/pooler/dense/bias"), half.astype(np.float32))


ZEROS = np.zeros((40, 32), np.float32)


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({"model_type": "roberta"}, {}, "model_type is 'roberta'"),
        ({"position_embedding_type": "relative_key"}, {}, "Google's code has only 'absolute'"),
        ({"layer_norm_eps": 1e-5}, {}, "Google's code has only 1e-12"),
        ({"tie_word_embeddings": False}, {}, "tie_word_embeddings is False"),
        ({"hidden_act": "relu"}, {}, "hidden_act is 'relu'"),
        ({"hidden_act": "gelu"}, {}, "the erf form of GELU.*say --gelu erf"),
        ({"hidden_size": None}, {}, "hidden_size is None"),
        ({"vocab_size": 39}, {}, "the tokenizer has 40 pieces, and config.json a vocab_size of 39"),
        ({"num_hidden_layers": 3}, {}, "no 'bert.encoder.layer.2.attention.self.query.weight'"),
        ({}, {"bert.pooler.dense.bias": None}, "no 'bert.pooler.dense.bias'"),
        ({}, {"classifier.weight": ZEROS}, "'classifier.weight' is no tensor of a BERT"),
        ({}, {"bert.pooler.dense.weight": ZEROS}, r"is \[40, 32\].* asks for \[32, 32\]"),
        ({}, {"cls.predictions.decoder.weight": ZEROS}, "is not 'bert.embeddings.word_emb"),
        ({}, {"bert.embeddings.LayerNorm.gamma": ZEROS}, "are the same tensor"),
        ({}, {"bert.pooler.dense.bias": np.zeros(32, np.int32)}, "is of I32; save the model in"),
    ],
)
def test_what_google_s_code_could_not_load_is_refused(tmp_path, spoilt, config, tensors, message):
    with pytest.raises(InputError, match=message) as caught:
        to_tf1(spoilt(config, **tensors), tmp_path / "tf1")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt"]


def test_bfloat16_is_refused(tmp_path, folder):
    BertModel.from_pretrained(folder).bfloat16().save_pretrained(tmp_path / "half")
    with pytest.raises(InputError, match="is of BF16; save the model in float32"):
        to_tf1(tmp_path / "half", tmp_path / "tf1")


def test_broken_and_missing_files_are_named(tmp_path, spoilt):
    source = spoilt()
    (source / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(InputError, match=r"tokenizer.json: not JSON"):
        to_tf1(source, tmp_path / "tf1")
    (source / "tokenizer.json").unlink()
    (source / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"model.safetensors: broken"):
        to_tf1(source, tmp_path / "tf1")
    (source / "model.safetensors").unlink()
    with pytest.raises(InputError, match="call save_pretrained"):
        to_tf1(source, tmp_path / "tf1")
    (source / "config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"config.json: not JSON"):
        to_tf1(source, tmp_path / "tf1")


def test_a_folder_that_is_there_is_not_touched(tmp_path, folder):
    (tmp_path / "thesis.txt").write_text("가나다")
    with pytest.raises(InputError, match="already there"):
        to_tf1(folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
