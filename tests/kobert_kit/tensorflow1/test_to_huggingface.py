import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoTokenizer,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    BertTokenizer,
)

from kobert_kit.encoder import Encoder, PretrainingModel
from kobert_kit.tensorflow1 import TensorBundle, to_huggingface, write_bundle
from kobert_vocab.errors import InputError


@pytest.fixture(scope="module")
def converted(tmp_path_factory, bert):
    out = tmp_path_factory.mktemp("converted") / "model"
    return out, to_huggingface(bert, out, case="cased")


@pytest.fixture
def checkpoint(tmp_path, written):
    """Write variants of the checkpoint: a function from its values to other ones."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()

    def write(values, **settings):
        (folder / "bert_config.json").write_text(json.dumps(written.BERT | settings))
        write_bundle(folder / "bert_model.ckpt", sorted(values.items()))
        return folder

    return write


def weights_of(written):
    return {name: array for name, array in written.bert().items() if "adam" not in name}


def test_every_weight_is_there_and_only_kernels_are_transposed(converted, written):
    out, _ = converted
    found = load_file(out / "model.safetensors")
    names = {
        "bert/embeddings/word_embeddings": "bert.embeddings.word_embeddings.weight",
        "bert/embeddings/position_embeddings": "bert.embeddings.position_embeddings.weight",
        "bert/embeddings/token_type_embeddings": "bert.embeddings.token_type_embeddings.weight",
        "cls/predictions/output_bias": "cls.predictions.bias",
        "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
        "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    }
    for name in weights_of(written).keys() - {"global_step"} - names.keys():
        ends = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
        stem, _, end = name.replace("layer_", "layer/").replace("/", ".").rpartition(".")
        names[name] = f"{stem}.{ends[end]}"
    assert found.keys() == set(names.values())
    for name, theirs in names.items():
        array = written.bert()[name]
        expected = array.T if name.endswith("kernel") else array
        assert np.array_equal(found[theirs], expected), name


def test_transformers_loads_every_weight(converted):
    out, _ = converted
    model, info = BertForPreTraining.from_pretrained(out, output_loading_info=True)
    assert not any(info.values()), info
    assert type(AutoModelForPreTraining.from_pretrained(out)) is BertForPreTraining
    assert type(AutoModelForMaskedLM.from_pretrained(out)) is BertForMaskedLM
    assert model.config.hidden_act == "gelu_new"
    assert BertModel.from_pretrained(out).pooler is not None


@pytest.mark.parametrize("gelu", ["tanh", "erf"])
def test_logits_of_our_encoder_and_of_transformers_are_equal(tmp_path, bert, gelu):
    to_huggingface(bert, tmp_path / "m", case="cased", gelu=gelu)
    ours = PretrainingModel.from_pretrained(tmp_path / "m")
    theirs = AutoModelForPreTraining.from_pretrained(tmp_path / "m").eval()
    tokens, length = torch.arange(3, 25).remainder(40), 22
    segments = (torch.arange(length) > 9).long()
    ends = torch.tensor([0, length], dtype=torch.int32)
    with torch.no_grad():
        x = ours.encoder(tokens, torch.arange(length), segments, ends, length)
        expected = theirs(tokens[None], token_type_ids=segments[None])
        masked = ours.masked_logits(x, torch.arange(length))
        following = ours.next_sentence_logits(x, ends)
    close = {"atol": 2e-5, "rtol": 2e-5}
    torch.testing.assert_close(masked, expected.prediction_logits[0], **close)
    torch.testing.assert_close(following, expected.seq_relationship_logits, **close)
    assert expected.prediction_logits.std() > 0.1  # they say something


def test_our_encoder_computes_what_google_s_code_computes(tmp_path, bert):
    theirs = np.load(bert / "logits.npz")  # of `write_logits.py`
    kept = theirs["mask"] > 0
    ends = torch.tensor([0, *np.cumsum(kept.sum(1))], dtype=torch.int32)
    tokens, segments = (torch.tensor(theirs[name][kept]) for name in ("tokens", "segments"))
    positions = torch.cat([torch.arange(length) for length in kept.sum(1)])
    errors = {}
    for gelu in ("tanh", "erf"):
        to_huggingface(bert, tmp_path / gelu, case="cased", gelu=gelu)
        model = PretrainingModel.from_pretrained(tmp_path / gelu)
        with torch.no_grad():
            x = model.encoder(tokens, positions, segments, ends, int(kept.sum(1).max()))
            words = model.masked_logits(x, torch.arange(len(tokens))).log_softmax(-1)
            following = model.next_sentence_logits(x, ends).log_softmax(-1)
        pairs = (words.numpy(), theirs["words"]), (following.numpy(), theirs["following"])
        errors[gelu] = max(np.abs(ours - expected).max() for ours, expected in pairs)
    assert errors["tanh"] < 1e-5
    assert errors["erf"] > 1e-4


def test_the_two_forms_of_gelu_differ_by_less_than_is_said():
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    gelu = torch.nn.functional.gelu
    assert 0.0004 < (gelu(x) - gelu(x, approximate="tanh")).abs().max() < 0.0005


def test_the_form_of_gelu_is_the_one_asked_for(tmp_path, bert):
    for gelu, name in (("tanh", "gelu_new"), ("erf", "gelu")):
        conversion = to_huggingface(bert, tmp_path / gelu, case="cased", gelu=gelu)
        assert AutoConfig.from_pretrained(tmp_path / gelu).hidden_act == name
        assert f"gelu: the {gelu} form" in conversion.render()


def test_the_report_has_a_line_for_every_tensor(converted, written):
    _, conversion = converted
    lines = conversion.render().splitlines()
    for name, array in written.bert().items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        of_training = "adam" in name or name == "global_step"
        kept = "transposed" if name.endswith("kernel") else "as it is"
        assert line.endswith("skipped" if of_training else kept)
        assert f"  {' x '.join(map(str, array.shape)) or 'scalar'} " in line
    assert "46 tensors converted" in lines
    assert "93 tensors skipped: the optimiser's state and the step" in lines
    assert "tokenizer: 40 pieces, cased" in lines
    assert not any(line.startswith("absent") for line in lines)


def test_a_checkpoint_without_heads_becomes_a_bare_encoder(tmp_path, shards):
    out = tmp_path / "m"
    report = to_huggingface(shards / "bert_model.ckpt", out).render()
    for part in ("pooler", "masked-word head", "next-sentence head"):
        assert f"absent: {part}\n" in report
    assert "tokenizer: none, since there is no vocab.txt" in report
    assert AutoConfig.from_pretrained(out).architectures == ["BertModel"]
    model, info = BertModel.from_pretrained(out, add_pooling_layer=False, output_loading_info=True)
    assert not any(info.values()), info
    tokens = torch.arange(7)
    with torch.no_grad():
        x = Encoder.from_pretrained(out)(
            tokens, tokens, torch.zeros_like(tokens), torch.tensor([0, 7], dtype=torch.int32), 7
        )
        torch.testing.assert_close(x, model.eval()(tokens[None]).last_hidden_state[0])


@pytest.mark.parametrize(
    ("dropped", "absent", "architecture"),
    [
        ("cls/seq_relationship", ("next-sentence head",), "BertForMaskedLM"),
        ("cls/predictions", ("masked-word head",), "BertForNextSentencePrediction"),
        ("cls/", ("masked-word head", "next-sentence head"), "BertModel"),
    ],
)
def test_heads_may_be_absent(tmp_path, checkpoint, written, dropped, absent, architecture):
    values = {name: array for name, array in written.bert().items() if dropped not in name}
    conversion = to_huggingface(checkpoint(values), tmp_path / "m")
    assert conversion.absent == absent
    assert AutoConfig.from_pretrained(tmp_path / "m").architectures == [architecture]


HEAD = "cls/seq_relationship"
KERNEL = "bert/encoder/layer_1/output/dense/kernel"


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({KERNEL: None}, {}, f"no '{KERNEL}', which the encoder has"),
        ({"cls/predictions/transform/dense/bias": None}, {}, "which the masked-word head has"),
        ({"cls/seq_relationship/output_bias": None}, {}, "which the next-sentence head has"),
        ({"bert/pooler/dense/bias": None}, {}, "which the pooler has"),
        (
            {"bert/pooler/dense/bias": None, "bert/pooler/dense/kernel": None},
            {},
            "no 'bert/pooler/dense/kernel'",
        ),
        ({"output_weights": np.zeros((2, 32), np.float32)}, {}, "'output_weights' is no tensor"),
        ({"bert/adam_x": np.zeros(1, np.float32)}, {}, "'bert/adam_x' is no tensor"),
        ({"_CHECKPOINTABLE_OBJECT_GRAPH": np.zeros(1, np.int32)}, {}, "saved by Keras objects"),
        ({KERNEL: np.zeros((48, 32))}, {}, f"'{KERNEL}' is of float64"),
        ({KERNEL: np.zeros((32, 48), np.float32)}, {}, r"is \[32, 48\].* asks for \[48, 32\]"),
        ({}, {"num_hidden_layers": 1}, "is no tensor of a BERT of 1 layers"),
        ({}, {"num_hidden_layers": 10**12}, "no 'bert/encoder/layer_2/attention/self/query"),
        ({}, {"vocab_size": 41}, r"word_embeddings' is \[40, 32\].* asks for \[41, 32\]"),
        ({}, {"vocab_size": "40"}, "vocab_size is '40'; it must be a number from 1"),
        ({}, {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({}, {"num_attention_heads": 3}, "hidden_size 32 cannot be shared among 3 heads"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_and_nothing_is_written(
    tmp_path, checkpoint, written, change, settings, message
):
    values = {k: v for k, v in (written.bert() | change).items() if v is not None}
    folder = checkpoint(values, **settings)
    with pytest.raises(InputError, match=message) as caught:
        to_huggingface(folder, tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_damaged_data_leaves_nothing_behind(tmp_path, bert):
    folder = shutil.copytree(bert, tmp_path / "spoilt")
    path = folder / "bert_model.ckpt.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    last = TensorBundle.open(folder / "bert_model.ckpt").entries[f"{HEAD}/output_bias"]
    data[last.offset] ^= 1  # when all others have been read
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"the checksum of '{HEAD}/output_bias"):
        to_huggingface(folder, tmp_path / "m", case="cased")
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt"]


def test_the_checkpoint_is_found_by_its_prefix_its_index_or_its_folder(tmp_path, shards):
    prefix = shards / "bert_model.ckpt"
    for number, path in enumerate((shards, prefix, f"{prefix}.index")):
        to_huggingface(type(shards)(path), tmp_path / str(number))
    files = [(tmp_path / str(n) / "model.safetensors").read_bytes() for n in range(3)]
    assert files[0] == files[1] == files[2]


def test_what_is_no_checkpoint_is_said(tmp_path, bert, converted):
    for path in (tmp_path / "none", tmp_path / ".index"):
        with pytest.raises(InputError, match="no such checkpoint"):
            to_huggingface(path, tmp_path / "m")
    with pytest.raises(InputError, match="no checkpoint in it"):
        to_huggingface(tmp_path, tmp_path / "m")
    with pytest.raises(InputError, match="a Hugging Face folder; give --to tf1"):
        to_huggingface(converted[0], tmp_path / "m")
    folder = shutil.copytree(bert, tmp_path / "two")
    (folder / "model.ckpt-20.index").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 checkpoints.*bert_model.ckpt"):
        to_huggingface(folder, tmp_path / "m")
    (folder / "bert_config.json").unlink()
    with pytest.raises(InputError, match=r"bert_config\.json: no such file"):
        to_huggingface(folder / "bert_model.ckpt", tmp_path / "m")


def test_a_folder_that_is_there_is_not_touched(tmp_path, bert):
    (tmp_path / "thesis.txt").write_text("가나다")
    with pytest.raises(InputError, match="already there"):
        to_huggingface(bert, tmp_path, case="cased")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


TEXTS = ("나는 학교에 간다!", "ABc Es ésB", "學校2, [MASK] é", "E\u0301 없다\u00a0\u200b")


@pytest.mark.parametrize("case", ["cased", "uncased"])
def test_the_tokenizer_is_that_of_transformers_and_of_vocab_txt(tmp_path, bert, written, case):
    to_huggingface(bert, tmp_path / "m", case=case)
    ours = AutoTokenizer.from_pretrained(tmp_path / "m")
    ids = {piece: number for number, piece in enumerate(written.PIECES)}
    theirs = BertTokenizer(vocab=ids, do_lower_case=case == "uncased")
    assert type(ours) is BertTokenizer
    assert ours.get_vocab() == ids
    assert ours.model_max_length == 24
    for text in TEXTS:
        assert ours(text, text).data == theirs(text, text).data
    pieces = ours.tokenize("나는 학교에 간다 Bs")
    if case == "cased":
        assert pieces == ["나", "##는", "학", "##교", "##에", "간", "##다", "B", "##s"]
    else:  # Google's code takes Hangul apart with the accents
        assert pieces == ["[UNK]", "[UNK]", "[UNK]", "b", "##s"]
    fast = json.loads((tmp_path / "m" / "tokenizer.json").read_text())
    assert fast["normalizer"]["lowercase"] == (case == "uncased")
    assert (tmp_path / "m" / "vocab.txt").read_bytes() == (bert / "vocab.txt").read_bytes()
    assert AutoConfig.from_pretrained(tmp_path / "m").pad_token_id == 0


def test_case_is_asked_for_where_there_is_a_vocabulary_and_only_there(tmp_path, bert, shards):
    with pytest.raises(InputError, match=r"--case uncased \(3 of its 40 pieces have capitals"):
        to_huggingface(bert, tmp_path / "m")
    with pytest.raises(InputError, match="no such file, so nothing is cased"):
        to_huggingface(shards, tmp_path / "m", case="cased")
    assert not (tmp_path / "m").exists()


def test_pieces_without_embeddings_are_refused(tmp_path, bert):
    folder = shutil.copytree(bert, tmp_path / "more")
    with (folder / "vocab.txt").open("a") as file:
        file.write("one-more\n")
    with pytest.raises(
        InputError, match=r"41 pieces, and bert_config\.json has a vocab_size of 40"
    ):
        to_huggingface(folder, tmp_path / "m", case="cased")


def test_neither_torch_nor_tensorflow_is_needed(tmp_path, bert):
    code = (
        "import sys; from pathlib import Path; from kobert_kit.tensorflow1 import *\n"
        "to_huggingface(Path(sys.argv[1]), Path(sys.argv[2]), case='cased')\n"
        "to_tf1(Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "print({'torch', 'tensorflow', 'transformers'} & sys.modules.keys())"
    )
    arguments = [str(path) for path in (bert, tmp_path / "m", tmp_path / "back")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.stdout == "set()\n", done.stderr
