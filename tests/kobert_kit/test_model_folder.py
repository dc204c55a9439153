"""What is in a model folder, and what must not be."""

import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, RobertaConfig, RobertaForMaskedLM

from kobert_kit.encoder import Encoder, PretrainingModel
from kobert_vocab.errors import InputError

WEIGHTS = "model.safetensors"
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(**SHAPE))


@pytest.fixture
def folder(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    return tmp_path


def change(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def assert_same(model, folder):
    again = PretrainingModel.from_pretrained(folder)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def refused(folder, match, load=PretrainingModel):
    with pytest.raises(InputError, match=match) as caught:
        load.from_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "t5"}, "model_type is 't5'; what can be loaded is bert, roberta"),
        ({"model_type": None}, "model_type is None; what .* is bert, .*; files of 2019 name none"),
        ({"model_type": ["bert"]}, "model_type is"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"num_attention_heads": 5}, "5 heads cannot share"),
        ({"num_attention_heads": 0}, "heads is 0; it must be a whole number between 1 and"),
        ({"hidden_size": -32}, "hidden_size is -32"),
        ({"hidden_size": 1 << 40}, "hidden_size is 1099511627776"),
        ({"hidden_size": "32"}, "hidden_size is '32'; it must be a whole number between 1 and"),
        ({"hidden_size": 32.5}, "hidden_size is 32.5; it must be a whole number"),
        ({"type_vocab_size": True}, "segments is True; it must be a whole number"),
        ({"layer_norm_eps": "1e-12"}, "wrong type"),
        ({"layer_norm_eps": -1e-12}, "norm_eps is -1e-12; it must lie in"),
        ({"layer_norm_eps": float("nan")}, "norm_eps is nan"),
        ({"max_position_embeddings": 1 << 40}, "max_positions is"),
        ({"pad_token_id": 50}, "pad_id is 50; the vocabulary has the ids 0 to 49"),
        ({"pad_token_id": None}, "pad_id is None; the vocabulary has the ids 0 to 49"),
        ({"pad_token_id": 0.0}, "pad_id is 0.0"),
        ({"num_hidden_layers": 1_000_000}, "1000000 layers, the weights have less"),
        ({"num_hidden_layers": 3}, "the weights lack bert.encoder.layer.2"),
        ({"num_hidden_layers": 1}, "bert.encoder.layer.1.* has no place in a bert of 1 layers"),
        ({"intermediate_size": 41}, r"intermediate.dense.weight is \(40, 32\), .* \(41, 32\)"),
        ({"vocab_size": 51}, r"word_embeddings.weight is \(50, 32\), config.json asks \(51, 32\)"),
        ({"model_type": "electra"}, "the weights lack"),
    ],
)
def test_a_configuration_that_cannot_be(folder, settings, message):
    change(folder, **settings)
    refused(folder, message)


@pytest.mark.parametrize("name", ["pad_token_id", "layer_norm_eps", "hidden_dropout_prob"])
def test_a_setting_that_an_old_file_leaves_out_is_what_transformers_takes(folder, name):
    path = folder / "config.json"
    raw = json.loads(path.read_text())
    raw.pop(name)
    before = PretrainingModel.from_pretrained(folder).config
    path.write_text(json.dumps(raw))
    assert PretrainingModel.from_pretrained(folder).config == before


def test_files_that_are_not_there_or_broken(folder):
    (folder / WEIGHTS).write_bytes(b"not safetensors")
    refused(folder, "model.safetensors: broken")
    (folder / WEIGHTS).unlink()
    for content in (b"", b"not a checkpoint"):
        (folder / "pytorch_model.bin").write_bytes(content)
        refused(folder, "broken or not plain weights")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, "no weights")
    (folder / "config.json").unlink()
    refused(folder, "not a model folder")
    refused(folder / "nothing", "no such folder")


def test_a_size_that_is_left_out_is_named(folder):
    path = folder / "config.json"
    raw = json.loads(path.read_text())
    raw.pop("hidden_size")
    path.write_text(json.dumps(raw))
    refused(folder, "no key 'hidden_size'")


@pytest.mark.parametrize("content", ["", "[]", "3", "{", "\udc80", "[" * 100_000])
def test_a_configuration_that_is_none(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(folder, "config.json: (not JSON|model_type is None)")


def rewrite(folder, weights):
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_tensor_too_few_or_too_many_is_named(folder):
    weights = load_file(folder / WEIGHTS)
    name = "bert.encoder.layer.1.attention.self.key.bias"
    rewrite(folder, {k: v for k, v in weights.items() if k != name})
    refused(folder, f"the weights lack {name}")
    refused(folder, f"the weights lack {name}", Encoder)
    rewrite(folder, weights | {"bert.encoder.layer.1.adapter.weight": torch.zeros(3)})
    refused(folder, "bert.encoder.layer.1.adapter.weight has no place in a bert of 2 layers")
    rewrite(folder, {k: v for k, v in weights.items() if not k.startswith("cls.")})
    refused(folder, "the weights lack cls.predictions")
    Encoder.from_pretrained(folder)  # needs no head


def test_a_decoder_of_its_own_is_not_taken_for_the_tied_one(folder, theirs):
    weights = load_file(folder / WEIGHTS)
    words = weights["bert.embeddings.word_embeddings.weight"]
    rewrite(folder, weights | {"cls.predictions.decoder.weight": words.clone()})
    PretrainingModel.from_pretrained(folder)
    rewrite(folder, weights | {"cls.predictions.decoder.weight": words + 1})
    refused(folder, "cls.predictions.decoder.weight is not bert.embeddings.word_embeddings.weight")


def test_nor_is_it_in_a_file_that_leaves_the_prefix_out(folder):
    weights = {k.removeprefix("bert."): w for k, w in load_file(folder / WEIGHTS).items()}
    words = weights["embeddings.word_embeddings.weight"]
    rewrite(folder, weights | {"cls.predictions.decoder.weight": words + 1})
    refused(folder, "cls.predictions.decoder.weight is not embeddings.word_embeddings.weight")


def test_a_bias_that_only_its_copy_holds_is_found(folder):
    model = PretrainingModel.from_pretrained(folder)
    weights = load_file(folder / WEIGHTS)
    weights["cls.predictions.decoder.bias"] = weights.pop("cls.predictions.bias")
    rewrite(folder, weights)
    assert_same(model, folder)


def test_weights_in_parts(folder, theirs):
    model = PretrainingModel.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    theirs.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert_same(model, folder)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    [name, file] = next(iter(index["weight_map"].items()))
    for wrong in ("../model-00001-of-00003.safetensors", "/etc/passwd", "", 3):
        path.write_text(json.dumps({"weight_map": index["weight_map"] | {name: wrong}}))
        refused(folder, "is not the name of a .safetensors file beside it")
    path.write_text(json.dumps({"weight_map": index["weight_map"] | {"more": file}}))
    refused(folder, "more stands in it or in its files, not in both")
    path.write_text(json.dumps({"weight_map": ["a"]}))
    refused(folder, "not an index of weights")
    path.write_text(json.dumps(index))
    (folder / file).unlink()
    refused(folder, f"{file}: not there")


@pytest.mark.parametrize("archive", [True, False])
def test_pytorch_files_old_and_older(folder, archive):
    model = PretrainingModel.from_pretrained(folder)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    (folder / WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    torch.save(old, path, _use_new_zipfile_serialization=archive)
    assert_same(model, folder)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(folder, "pytorch_model.bin: broken or not plain weights")


def test_matrices_stored_the_other_way_round_are_read(folder):
    model = PretrainingModel.from_pretrained(folder)
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    turned = {name: w.T.contiguous().T if w.dim() == 2 else w for name, w in weights.items()}
    torch.save(turned, folder / "pytorch_model.bin")
    assert_same(model, folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.complex64])
def test_weights_that_are_no_plain_floats(folder, dtype):
    weights = load_file(folder / WEIGHTS)
    name = "bert.encoder.layer.1.output.dense.weight"
    rewrite(folder, weights | {name: weights[name].to(dtype)})
    refused(folder, f"{name} is of {dtype}; only floats of 16, 32 or 64 bits")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_other_floats(folder, dtype):
    weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / WEIGHTS).items()}
    rewrite(folder, weights)
    words = PretrainingModel.from_pretrained(folder).encoder.embeddings.words.weight
    assert torch.equal(words, weights["bert.embeddings.word_embeddings.weight"].float())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_with_a_wrong_byte(folder, archive):
    (folder / WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
        refused(folder, "pytorch_model.bin: |the weights have less")


class Code:
    def __reduce__(self):
        return os.system, ("touch was_run",)


@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_that_wants_to_run_code_does_not(folder, archive, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / WEIGHTS).unlink()
    torch.save({"a": Code()}, "pytorch_model.bin", _use_new_zipfile_serialization=archive)
    refused(folder, "broken or not plain weights")
    assert not (folder / "was_run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(3)], "not a table of tensors"),
        ({"a": 3}, "not a table of tensors"),
        ({"a": torch.zeros(1).expand(1 << 40, 1 << 20)}, "a is no plain tensor"),
    ],
)
def test_a_pickle_of_something_else(folder, content, message):
    (folder / WEIGHTS).unlink()
    torch.save(content, folder / "pytorch_model.bin")
    refused(folder, message)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_file_that_was_cut_off_or_changed_at_its_head(folder, data):
    path = folder / WEIGHTS
    whole = path.read_bytes()
    try:
        if data.draw(st.booleans()):
            path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
            refused(folder, "model.safetensors: broken")
        else:
            head = int.from_bytes(whole[:8], "little") + 8
            bit = data.draw(st.integers(0, 8 * head - 1))
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with suppress(InputError):  # or the change is in a blank, and changes nothing
                PretrainingModel.from_pretrained(folder)
    finally:
        path.write_bytes(whole)


def test_a_position_table_counts_from_after_padding(tmp_path):
    shape = SHAPE | {"pad_token_id": 1, "max_position_embeddings": 22}
    RobertaForMaskedLM(RobertaConfig(**shape)).save_pretrained(tmp_path)
    model = PretrainingModel.from_pretrained(tmp_path)
    assert model.config.max_positions == 20
    assert model.encoder.embeddings.positions.weight.shape == (22, 32)


def test_what_is_wrong_is_one_line_of_the_command(folder, kobert):
    change(folder, num_hidden_layers=3)
    code, _, error = kobert("fill-mask", folder, "[MASK]")
    assert code == 2
    assert error.count("\n") == 1
    assert "the weights lack bert.encoder.layer.2" in error


MEMORY = """
import sys, threading, time
from pathlib import Path
import torch
from kobert_kit.encoder import PretrainingModel

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024

most, done = 0, False
def watch():
    global most
    while not done:
        most = max(most, anonymous())
        time.sleep(0.001)

before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
model = PretrainingModel.from_pretrained(Path(sys.argv[1]))
done = True
watcher.join()
size = sum(p.numel() * p.element_size() for p in model.parameters())
print((most - before) / size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("file", ["safetensors", "archive", "pickle"])
def test_the_weights_are_in_memory_once(tmp_path, file):
    shape = SHAPE | {"vocab_size": 60_000, "hidden_size": 512, "intermediate_size": 2048}
    theirs = BertForMaskedLM(BertConfig(**shape))
    theirs.save_pretrained(tmp_path)
    if file != "safetensors":
        (tmp_path / WEIGHTS).unlink()
        torch.save(
            theirs.state_dict(),
            tmp_path / "pytorch_model.bin",
            _use_new_zipfile_serialization=file == "archive",
        )
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, check=True
    )
    # Files from before torch 1.6 cannot be mapped into memory, so they are in it beside the model.
    assert float(ran.stdout) < (2.2 if file == "pickle" else 1.15)
