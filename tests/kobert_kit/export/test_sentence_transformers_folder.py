"""Folders for sentence-transformers, beside our own vectors."""

import json
import logging

import numpy as np
import pytest

from kobert_kit.export.sentence_transformers_folder import export_sentence_transformers
from kobert_kit.inference import TextEncoder
from kobert_vocab.errors import InputError

TEXTS = ["가나 다라", "마", "바사아 자차카타파하 가나다라마바사", "", "하 " * 30]
FAMILIES = ["BERT", "BERT, bare", "RoBERTa", "XLM-R, bare", "ELECTRA", "ModernBERT"]


def their_vectors(folder, texts):
    theirs = pytest.importorskip("sentence_transformers", reason="a test's own peer; see dev")
    model = theirs.SentenceTransformer(str(folder), device="cpu")
    return model.encode(texts, show_progress_bar=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_gives_our_vectors(models_of, family, tmp_path):
    given = models_of(family)
    export_sentence_transformers(given, tmp_path / "out")
    found = their_vectors(tmp_path / "out", TEXTS)
    expected = TextEncoder(given, device="cpu").encode(TEXTS)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("normalise", [False, True])
def test_pooling_and_length_1_are_those_asked_for(models_of, tmp_path, pooling, normalise):
    given = models_of("BERT")
    how = {"pooling": pooling, "normalise": normalise}
    export_sentence_transformers(given, tmp_path / "out", **how)
    found = their_vectors(tmp_path / "out", TEXTS)
    expected = TextEncoder(given, device="cpu").encode(TEXTS, **how)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


def test_the_two_poolings_and_lengths_differ(models_of):
    encoder = TextEncoder(models_of("BERT"), device="cpu")
    mean, first = (encoder.encode(TEXTS, pooling=one) for one in ("mean", "first"))
    unit = encoder.encode(TEXTS, normalise=True)
    assert np.abs(mean - first).max() > 0.1
    assert np.abs(mean - unit).max() > 0.1


def test_a_text_is_cut_off_where_it_was_asked(models_of, tmp_path):
    given = models_of("ModernBERT")
    export_sentence_transformers(given, tmp_path / "out", longest=7)
    [found, short] = their_vectors(tmp_path / "out", ["가나다라마바사아자차", "가나다라마"])
    np.testing.assert_allclose(found, short, atol=1e-6)


def test_pieces_come_from_the_tokenizer_of_the_folder(models_of, tmp_path):
    export_sentence_transformers(models_of("RoBERTa"), tmp_path / "out")
    theirs = pytest.importorskip("sentence_transformers", reason="a test's own peer; see dev")
    model = theirs.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert model.tokenize(["가나"])["input_ids"].tolist() == [[1, 5, 6, 2]]
    assert model.max_seq_length == 48  # not the 52 rows of the table of positions


def test_nothing_is_said_of_weights_that_lack(models_of, tmp_path, caplog):
    # A masked-language model has no pooler, and none is needed.
    export_sentence_transformers(models_of("RoBERTa"), tmp_path / "out")
    transformers_logger = logging.getLogger("transformers")
    transformers_logger.propagate = True
    with caplog.at_level(logging.WARNING):
        their_vectors(tmp_path / "out", ["가"])
    transformers_logger.propagate = False
    assert "pooler" not in caplog.text


def test_the_files(models_of, tmp_path):
    out = tmp_path / "out"
    export_sentence_transformers(models_of("BERT"), out, normalise=True)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
        *("1_Pooling/config.json", "2_Normalize/config.json"),
    }
    modules = json.loads((out / "modules.json").read_text())
    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Normalize"]
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertModel"]


def test_the_card_comes_along_for_its_new_task(new_model, card, tmp_path):
    folder = new_model()
    (folder / "README.md").write_text(card)
    export_sentence_transformers(folder, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    for line in ("license: apache-2.0", "pipeline_tag: sentence-similarity", "- bert\n"):
        assert line in text
    assert "library_name: sentence-transformers" in text
    for of_the_masks in ("fill-mask", "mask_token", "widget"):
        assert of_the_masks not in text
    assert "# 작은 모델" in text


@pytest.mark.parametrize("longest", [2, 49])
def test_a_length_that_the_model_does_not_take(models_of, tmp_path, longest):
    with pytest.raises(InputError, match=f"max-length is {longest}; it must lie between 3 and 48"):
        export_sentence_transformers(models_of("BERT"), tmp_path / "out", longest=longest)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_tokenizer_and_one_that_is_there(new_model, tmp_path):
    folder = new_model()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("가")
    with pytest.raises(InputError, match="already there"):
        export_sentence_transformers(folder, tmp_path / "full")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        export_sentence_transformers(folder, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"full", "model"}
