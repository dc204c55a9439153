import dataclasses
import io
import json
import random

import pytest
import sentencepiece
import torch
from transformers import BertConfig, BertModel

from kobert_kit.demo import SAMPLE
from kobert_kit.kobert_check import PUBLISHED, CheckValues, check_kobert, find_kobert
from kobert_vocab.errors import InputError

NAME = "tokenizer_78b3253a26.model"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A small folder like KoBERT's: same special ids, own pieces, random weights."""
    folder = tmp_path_factory.mktemp("kobert")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((SAMPLE / "ko" / "news.txt").read_text("utf-8").splitlines()),
        model_writer=out,
        vocab_size=1000,
        hard_vocab_limit=False,
        minloglevel=2,
        unk_id=0,
        unk_piece="[UNK]",
        pad_id=1,
        pad_piece="[PAD]",
        bos_id=2,
        bos_piece="[CLS]",
        eos_id=3,
        eos_piece="[SEP]",
        control_symbols=["[MASK]"],
        required_chars=PUBLISHED.text.replace(" ", "") + "[UNK]",
    )
    (folder / NAME).write_bytes(out.getvalue())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=1,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def values(stand_in):
    """What `transformers` and SentencePiece make of it."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(stand_in / NAME))
    model = BertModel.from_pretrained(stand_in).eval()
    with torch.no_grad():
        vectors = model(
            torch.tensor([PUBLISHED.tokens]), token_type_ids=torch.tensor([PUBLISHED.segments])
        ).last_hidden_state[0]
    return CheckValues(
        text=PUBLISHED.text,
        pieces=sp.encode(PUBLISHED.text, out_type=str),
        ids=[2, *sp.encode(PUBLISHED.text), 3],
        tokens=PUBLISHED.tokens,
        segments=PUBLISHED.segments,
        first=vectors[:, :3].tolist(),
        last=vectors[:, -3:].tolist(),
    )


def test_a_folder_that_is_as_published_passes(stand_in, values) -> None:
    found = check_kobert(stand_in, values)
    assert found.pieces == values.pieces
    assert found.ids == values.ids
    assert found.largest_difference < 1e-5


def test_other_pieces_are_told(stand_in, values) -> None:
    other = dataclasses.replace(values, pieces=[*values.pieces[:-1], "!"])
    with pytest.raises(InputError, match=r"the pieces .* published are .*not KoBERT's tokenizer"):
        check_kobert(stand_in, other)


def test_other_ids_are_told(stand_in, values) -> None:
    other = dataclasses.replace(values, ids=[2, 7, *values.ids[2:]])
    with pytest.raises(InputError, match=r"the ids of .* published are \[2, 7, "):
        check_kobert(stand_in, other)


@pytest.mark.parametrize("part", ["first", "last"])
def test_a_number_that_is_off_is_told(stand_in, values, part) -> None:
    rows = [list(row) for row in getattr(values, part)]
    rows[2][1] += random.choice((-1, 1)) * 3e-4
    other = dataclasses.replace(values, **{part: rows})
    with pytest.raises(InputError, match=r"the last layer is 0.0003 off .*not KoBERT's weights"):
        check_kobert(stand_in, other)


def test_numbers_that_are_none_are_told(stand_in, values) -> None:
    other = dataclasses.replace(values, first=[[float("nan")] * 3] * 3)
    with pytest.raises(InputError, match="the last layer is nan off"):
        check_kobert(stand_in, other)


def test_a_model_with_fewer_ids_is_told(stand_in, values) -> None:
    other = dataclasses.replace(values, tokens=(31, 51, 99_999))
    with pytest.raises(InputError, match="ids; this is not KoBERT"):
        check_kobert(stand_in, other)


def test_the_command_refuses_the_stand_in_in_one_line(kobert, stand_in) -> None:
    code, out, err = kobert("check-kobert", stand_in)
    assert (code, out) == (2, "")
    assert "published are ['▁한국', '어', '▁모델', '을', '▁공유', '합니다', '.']" in err


def test_the_command_shows_what_was_found(kobert, stand_in, values, monkeypatch) -> None:
    monkeypatch.setattr("kobert_kit.kobert_check.check_kobert.__defaults__", (values,))
    code, out, _ = kobert("check-kobert", stand_in)
    assert code == 0
    assert str(values.ids) in out
    assert "as published; the numbers differ by" in out


def test_a_name_is_looked_for_on_the_hub(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match="skt/none: no such folder, and the hub cannot be reached"
    ) as told:
        find_kobert("skt/none")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="no such folder; give that of KoBERT"):
        find_kobert("no/such/folder")


def test_the_old_form_of_the_weights_is_fetched_only_without_the_new(monkeypatch, tmp_path) -> None:
    asked = []

    def fetch(name, files):
        asked.append([file for file in files if file.endswith((".safetensors", ".bin"))])
        return tmp_path

    monkeypatch.setattr("kobert_kit.kobert_check.fetch", fetch)
    find_kobert("skt/kobert-base-v1")
    (tmp_path / "model.safetensors").write_bytes(b"")
    find_kobert("skt/kobert-base-v1")
    assert asked == [["model.safetensors"], ["pytorch_model.bin"], ["model.safetensors"]]


def test_the_folder_may_hold_what_no_bert_has(stand_in, tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="no SentencePiece model in it"):
        check_kobert(tmp_path)
