"""Graphs of every family, beside `transformers` on texts of the test's own."""

import json
import math

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

onnxruntime = pytest.importorskip("onnxruntime", reason="needs kobert-kit[onnx]")
onnx = pytest.importorskip("onnx", reason="needs kobert-kit[onnx]")
pytest.importorskip("onnxscript", reason="needs kobert-kit[onnx]")

from kobert_kit.encoder import EncoderConfig  # noqa: E402
from kobert_kit.export import onnx_check, onnx_folder  # noqa: E402
from kobert_kit.export.onnx_check import TOLERANCE, Agreement, batch_lengths, compare  # noqa: E402
from kobert_kit.export.onnx_files import GRAPH, WEIGHTS  # noqa: E402
from kobert_kit.export.onnx_folder import export_onnx  # noqa: E402
from kobert_kit.inference.packs import Tokens  # noqa: E402
from kobert_vocab.errors import InputError  # noqa: E402

PAD = 3
# Of each family: the inputs, the output, the class that was traced.
MASKED = ["input_ids", "attention_mask"]
ALL = [*MASKED, "token_type_ids"]
EXPECTED = {
    "BERT": (ALL, "logits", "BertForMaskedLM"),
    "BERT, bare": (ALL, "last_hidden_state", "BertModel"),
    "RoBERTa": (MASKED, "logits", "RobertaForMaskedLM"),
    "RoBERTa, two segments": (ALL, "logits", "RobertaForMaskedLM"),
    "XLM-R, bare": (MASKED, "last_hidden_state", "XLMRobertaModel"),
    "ELECTRA": (ALL, "logits", "ElectraForPreTraining"),
    "ELECTRA's generator": (ALL, "logits", "ElectraForMaskedLM"),
    "ModernBERT": (MASKED, "logits", "ModernBertForMaskedLM"),
    "ModernBERT, bare": (MASKED, "last_hidden_state", "ModernBertModel"),
}
BATCHES = [[1], [48], [1, 48], [30, 2, 11], [7] * 5]


@pytest.fixture(scope="module", params=EXPECTED)
def exported(request, models_of, tmp_path_factory):
    """Family, the folder that was given, the one that was made, and what was said of it."""
    given = models_of(request.param)
    out = tmp_path_factory.mktemp("onnx") / "out"
    return request.param, given, out, export_onnx(given, out)


def texts_of(lengths):
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randint(PAD + 1, 19, (length,), generator=generator) for length in lengths]


def padded(texts):
    longest = max(map(len, texts))
    rows = [(text, longest - len(text)) for text in texts]
    return {
        "input_ids": np.stack(
            [np.pad(t.numpy(), (0, rest), constant_values=PAD) for t, rest in rows]
        ),
        "attention_mask": np.stack([np.pad(np.ones(len(t), int), (0, rest)) for t, rest in rows]),
        "token_type_ids": np.stack(
            [np.pad((np.arange(len(t)) > 4).astype(int), (0, rest)) for t, rest in rows]
        ),
    }


@torch.no_grad()
def theirs(model, text, names):
    """Of one text without padding."""
    alone = {name: torch.from_numpy(v) for name, v in padded([text]).items() if name in names}
    return model(**alone)[0][0].numpy()


def test_it_gives_what_transformers_gives_for_each_text_alone(exported):
    family, given, out, _ = exported
    names, output, architecture = EXPECTED[family]
    model = getattr(transformers, architecture).from_pretrained(given).eval()
    session = onnxruntime.InferenceSession(out / GRAPH)
    assert [one.name for one in session.get_inputs()] == names
    assert [one.name for one in session.get_outputs()] == [output]
    for lengths in BATCHES:
        texts = texts_of(lengths)
        inputs = {name: value for name, value in padded(texts).items() if name in names}
        [found] = session.run(None, inputs)
        for row, text in zip(found, texts, strict=True):
            expected = theirs(model, text, names)
            error = np.abs(row[: len(text)] - expected).max() / np.abs(expected).max()
            assert error < 1e-5, (lengths, len(text), error)


def test_number_and_length_of_texts_are_free(exported):
    _, _, out, _ = exported
    session = onnxruntime.InferenceSession(out / GRAPH)
    for one in (*session.get_inputs(), *session.get_outputs()):
        assert one.shape[:2] == ["batch_size", "sequence_length"]


def test_the_difference_from_our_encoder_is_rounding_and_is_said(exported):
    _, _, _, agreement = exported
    assert 0 < agreement.difference < 1e-5 < TOLERANCE
    assert (agreement.texts, agreement.longest) == (9, 48)


def test_the_folder_is_what_tools_look_for(exported):
    family, given, out, _ = exported
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == [EXPECTED[family][2]]
    assert config["model_type"] == json.loads((given / "config.json").read_text())["model_type"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert tokenizer("가나").input_ids == [1, 5, 6, 2]
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"}


def test_the_graph_is_valid_and_says_nothing_of_this_machine(exported):
    _, _, out, _ = exported
    onnx.checker.check_model(out / GRAPH, full_check=True)
    content = (out / GRAPH).read_bytes()
    for trace in (b".py", b"site-packages", str(out.parent).encode(), b"stack_trace"):
        assert trace not in content


def test_weights_that_are_one_are_written_once(exported):
    _, given, out, _ = exported
    graph = onnx.load(out / GRAPH).graph
    shapes = [tuple(one.dims) for one in graph.initializer]
    words = [shape for shape in shapes if 601 in shape and len(shape) == 2]
    assert len(words) == 1, words
    written = sum(math.prod(shape) for shape in shapes)
    kept = sum(tensor.numel() for tensor in load_file(given / "model.safetensors").values())
    assert written < kept + 1_000  # and tables of positions that were computed once


def test_weights_beyond_a_protobuf_go_beside_the_graph(models_of, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_folder, "LARGEST_WHOLE", 1_000)
    agreement = export_onnx(models_of("BERT, bare"), tmp_path / "out")
    assert agreement.difference < 1e-5
    graph, weights = tmp_path / "out" / GRAPH, tmp_path / "out" / "onnx" / WEIGHTS
    assert weights.stat().st_size > 601 * 24 * 4
    settings = json.loads((tmp_path / "out" / "config.json").read_text())["transformers.js_config"]
    assert settings == {"use_external_data_format": {"model.onnx": True}}
    assert graph.stat().st_size < weights.stat().st_size + 200_000
    assert onnxruntime.InferenceSession(graph).run(None, padded(texts_of([4])))


def test_a_graph_that_is_not_the_encoder_is_not_kept(models_of, tmp_path, monkeypatch):
    load = onnx_folder._load

    def nudged(*arguments):
        model = load(*arguments)
        with torch.no_grad():
            model.get_input_embeddings().weight[::3] *= 1.05
        return model

    monkeypatch.setattr(onnx_folder, "_load", nudged)
    with pytest.raises(InputError, match=r"of the largest value away .* the graph was thrown away"):
        export_onnx(models_of("BERT, bare"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_one_place_that_is_no_number_is_found(models_of, tmp_path):
    out = tmp_path / "out"
    export_onnx(models_of("ELECTRA"), out)
    config = EncoderConfig(vocab_size=601, max_positions=48, pad_id=PAD)
    right = onnx_folder._replaced_logits(models_of("ELECTRA"))

    def ours(pack):
        found = right(pack).clone()
        if len(pack.cu_seqlens) == 3:  # the one batch of two texts
            found[-1] = math.nan
        return found

    assert compare(out / GRAPH, config, right).holds
    assert not compare(out / GRAPH, config, ours).holds
    assert not Agreement(difference=math.nan, texts=1, longest=1).holds


def test_padding_may_be_anything_and_a_text_may_not():
    texts = [Tokens([5, 6, 7], [0] * 3), Tokens([8], [0])]
    found = np.ones((2, 3), np.float32)
    found[1, 1:] = math.nan  # behind the second text
    assert onnx_check._difference(found, lambda pack: torch.ones(4), texts) == 0
    found[1, 0] = math.nan
    assert math.isnan(onnx_check._difference(found, lambda pack: torch.ones(4), texts))


@pytest.mark.parametrize(("longest", "most"), [(4, 4), (48, 48), (512, 512), (2_048, 2_048)])
def test_lengths_run_from_one_to_the_longest(longest, most):
    lengths = [length for batch in batch_lengths(longest) for length in batch]
    assert (min(lengths), max(lengths)) == (1, most)
    assert any(len(set(batch)) > 2 for batch in batch_lengths(48))


def refused(model, out, message):
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(InputError, match=message):
        export_onnx(model, out)
    assert sorted(out.parent.rglob("*")) == before


def test_what_cannot_be_exported(new_model, tmp_path):
    folder, out = new_model(), tmp_path / "out"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("가")
    refused(folder, tmp_path / "full", "already there")
    (folder / "tokenizer.json").rename(folder / "t")
    refused(folder, out, r"no tokenizer\.json")
    (folder / "t").rename(folder / "tokenizer.json")
    raw = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"model_type": "gpt2"}, "model_type is 'gpt2'; what can be loaded is bert"),
        ({"architectures": ["BertForSequenceClassification"]}, "a BertForSequenceClassification"),
        ({"num_hidden_layers": 4}, "the weights lack"),
    ):
        (folder / "config.json").write_text(json.dumps(raw | change))
        refused(folder, out, message)
    refused(tmp_path / "none", out, "no such folder")


def test_a_model_of_no_length(new_model, tmp_path):
    torch.manual_seed(0)
    folder = new_model()
    config = transformers.BertConfig.from_pretrained(folder, max_position_embeddings=3)
    transformers.BertModel(config).save_pretrained(folder)
    refused(folder, tmp_path / "out", "takes 3 tokens; a graph needs one of at least 4")


def test_the_card_comes_along(new_model, card, tmp_path):
    folder = new_model("BERT, bare")
    (folder / "README.md").write_text(card)
    export_onnx(folder, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "license: apache-2.0" in text
    assert "- onnx\n" in text
    assert "gives `last_hidden_state`" in text
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    refused(folder, tmp_path / "other", r"README\.md: its head cannot be read")
