import importlib
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer

from kobert_vocab import InputError, Vocabulary, verify
from kobert_vocab.conversion import convert
from kobert_vocab.conversion.fast_tokenizer import fast_tokenizer
from kobert_vocab.conversion.model import LARGEST
from kobert_vocab.report.peers import open_peer

TEXT, OTHER = "서울 학교에서 ㅋㅋㅋㅋ 뷁", "the quick brown fox"
PLAIN = {"unk_piece": "<unk>", "bos_piece": "<s>", "eos_piece": "</s>"}
STOCK_KOBERT = {
    "tokenizer_class": "XLNetTokenizer",
    "do_lower_case": False,
    "remove_space": True,
    "keep_accents": False,
    **{f"{key}_token": f"[{key.upper()}]" for key in ("pad", "unk", "cls", "sep", "mask")},
}


@pytest.fixture
def folder(spm, tmp_path):
    """Write a model's folder: its SentencePiece file and settings."""

    def write(options, name="spiece.model", **files):
        made = tmp_path / "model"
        made.mkdir()
        shutil.copy(spm(**options), made / name)
        for stem, content in files.items():
            (made / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
        return made

    return write


@pytest.fixture
def kobert_folder(folder, kobert_pieces):
    def write(name="tokenizer_78b3253a26.model"):
        made = folder(kobert_pieces, name)
        count = len(processor(made / name))
        config = {"model_type": "bert", "vocab_size": count, "pad_token_id": 1}
        (made / "config.json").write_text(json.dumps(config))
        (made / "tokenizer_config.json").write_text(json.dumps(STOCK_KOBERT))
        return made

    return write


def processor(path: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def auto(folder: Path):
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder)


def test_kobert_has_its_ids_in_transformers_where_its_own_folder_gives_unknown(
    kobert_folder, tmp_path
) -> None:
    pytest.importorskip("google.protobuf", reason="transformers reads the stock folder by it")
    source = kobert_folder("spiece.model")
    ids = processor(source / "spiece.model").encode(TEXT)
    assert ids.count(0) == 1  # 뷁
    stock = auto(source)
    tokens = stock.convert_ids_to_tokens(stock(TEXT)["input_ids"])
    assert tokens[:4] == ["▁", "[UNK]", "▁", "[UNK]"]
    assert tokens[-2:] == ["[SEP]", "[CLS]"]  # and XLNet's places for them
    convert(source, tmp_path / "out")
    ours = auto(tmp_path / "out")
    assert ours.is_fast
    assert ours(TEXT)["input_ids"] == [2, *ids, 3]
    named = [ours.unk_token_id, ours.pad_token_id, ours.cls_token_id]
    assert [*named, ours.sep_token_id, ours.mask_token_id] == [0, 1, 2, 3, 4]


def test_pairs_and_padding_of_kobert(kobert_folder, tmp_path) -> None:
    source = kobert_folder()
    convert(source, tmp_path / "out")
    ours, sp = auto(tmp_path / "out"), processor(source / "tokenizer_78b3253a26.model")
    a, b = sp.encode(TEXT), sp.encode(OTHER)
    both = ours(TEXT, OTHER)
    assert both["input_ids"] == [2, *a, 3, *b, 3]
    assert both["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    batch = ours(["친구", TEXT], padding=True)
    assert batch["input_ids"][0][-1] == 1
    assert batch["attention_mask"][0][-1] == 0
    assert ours.model_max_length == 512


def test_a_file_is_copied_as_it_is_and_the_folder_can_be_verified(
    spm, tmp_path, kobert_pieces
) -> None:
    source = spm(**kobert_pieces)
    convert(source, tmp_path / "out")
    assert (tmp_path / "out" / "spm.model").read_bytes() == source.read_bytes()
    assert verify(tmp_path / "out", [TEXT, OTHER]) == verify(tmp_path / "out") + 2
    names = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"spm.model", "tokenizer.json", "tokenizer_config.json", "vocabulary.json"}
    assert names == expected | {"selftest.jsonl"}
    for path in (tmp_path / "out").iterdir():
        assert str(source.parent).encode() not in path.read_bytes()


def test_nothing_is_written_that_gives_other_ids(spm, tmp_path, kobert_pieces, monkeypatch) -> None:
    def without_normalizer(model, layout):
        made = json.loads(fast_tokenizer(model, layout).to_str())
        return Tokenizer.from_str(json.dumps({**made, "normalizer": None}))

    module = importlib.import_module("kobert_vocab.conversion.convert")
    monkeypatch.setattr(module, "fast_tokenizer", without_normalizer)
    with pytest.raises(InputError, match=r"spm.model and tokenizer.json differ on"):
        convert(spm(**kobert_pieces), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_tokenizer_is_caught_by_verify(spm, tmp_path, kobert_pieces) -> None:
    convert(spm(**kobert_pieces), tmp_path / "out")
    path = tmp_path / "out" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["normalizer"]["normalizers"].remove({"type": "NFC"})
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=r"spm.model and tokenizer.json differ on ['\"]"):
        verify(tmp_path / "out")


def test_text_is_not_composed_for_a_converted_model(spm, tmp_path, kobert_pieces) -> None:
    source = spm(**kobert_pieces, normalization_rule_name="identity")
    convert(source, tmp_path / "out")
    vocabulary, decomposed = Vocabulary.load(tmp_path / "out"), "\u1109\u1165\u110b\u116e\u11af"
    assert vocabulary.encode(decomposed) == processor(source).encode(decomposed)
    assert vocabulary.encode(decomposed) != vocabulary.encode("서울")
    assert vocabulary.normalize(decomposed) == decomposed


def test_a_converted_folder_is_a_vocabulary(spm, tmp_path, kobert_pieces) -> None:
    source = spm(**kobert_pieces)
    convert(source, tmp_path / "out")
    vocabulary, sp = Vocabulary.load(tmp_path / "out"), processor(source)
    assert (vocabulary.unk, vocabulary.pad, vocabulary.cls, vocabulary.sep) == (0, 1, 2, 3)
    assert vocabulary.mask == 4
    assert vocabulary.specials == [1, 0, 2, 3, 4]
    decomposed = "\u1109\u1165울 ㄳ"
    assert vocabulary.encode(decomposed) == sp.encode(decomposed)
    assert vocabulary.converted
    assert not Vocabulary.load(tmp_path / "out").characters[vocabulary.specials].any()


@pytest.fixture
def xlm_r(folder, tmp_path):
    """An XLM-R of the tests, converted: its SentencePiece model and the vocabulary."""
    config = {"model_type": "xlm-roberta", "pad_token_id": 1, "max_position_embeddings": 514}
    source = folder(PLAIN, "sentencepiece.bpe.model", config=config)
    convert(source, tmp_path / "out")
    return processor(source / "sentencepiece.bpe.model"), tmp_path / "out"


def test_ids_and_pairs_of_xlm_r(xlm_r) -> None:
    sp, out = xlm_r
    ours, vocabulary = auto(out), Vocabulary.load(out)
    moved = [3 if i == 0 else i + 1 for i in sp.encode(TEXT)]
    other = [i + 1 for i in sp.encode(OTHER)]
    assert 3 in moved
    assert ours(TEXT)["input_ids"] == [0, *moved, 2]
    assert vocabulary.encode(TEXT) == moved
    assert ours(TEXT, OTHER)["input_ids"] == [0, *moved, 2, 2, *other, 2]
    assert "token_type_ids" not in ours(TEXT, OTHER)
    assert ours.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert ours.mask_token_id == vocabulary.mask == len(sp) + 1 == len(ours) - 1
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (0, 2, 1)
    assert ours.model_max_length == 512


def test_moved_ids_come_back_as_text_and_travel(xlm_r) -> None:
    import pickle

    sp, out = xlm_r
    vocabulary = pickle.loads(pickle.dumps(Vocabulary.load(out)))
    ids = vocabulary.encode(OTHER)
    assert vocabulary.decode([0, *ids, 2, vocabulary.mask]) == OTHER == sp.decode(sp.encode(OTHER))
    assert vocabulary.pieces(OTHER) == sp.encode(OTHER, out_type=str)
    assert vocabulary.specials == [1, 3, 0, 2, len(sp) + 1]
    assert open_peer(out).encode([OTHER]) == [ids]


def test_ids_of_camembert(folder, tmp_path) -> None:
    source = folder(PLAIN, tokenizer_config={"tokenizer_class": "CamembertTokenizer"})
    layout = convert(source, tmp_path / "out")
    sp, ours = processor(source / "spiece.model"), auto(tmp_path / "out")
    moved = [3 if i == 0 else i + 4 for i in sp.encode(TEXT)]
    assert ours(TEXT)["input_ids"] == [5, *moved, 6]
    assert layout.pieces[:5] == ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED")
    assert ours.mask_token_id == len(sp) + 4


def test_a_mask_that_the_model_lacks_follows_the_last_piece(
    folder, tmp_path, kobert_pieces
) -> None:
    options = {
        **kobert_pieces,
        "control_symbols": (),
        "pad_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "unk_id": 3,
    }
    source = folder(
        options,
        "spm.model",
        config={"model_type": "deberta-v2", "pad_token_id": 0},
        special_tokens_map={"mask_token": {"content": "[MASK]", "lstrip": True}},
    )
    convert(source, tmp_path / "out")
    ours, sp = auto(tmp_path / "out"), processor(source / "spm.model")
    assert ours.mask_token_id == len(sp)
    assert ours("[MASK]")["input_ids"] == [1, len(sp), 2]


def test_xlnet_has_its_marks_after_the_text(folder, tmp_path) -> None:
    options = {**PLAIN, "control_symbols": ("<cls>", "<sep>", "<pad>", "<mask>")}
    source = folder(options, config={"model_type": "xlnet"})
    convert(source, tmp_path / "out")
    ours, sp = auto(tmp_path / "out"), processor(source / "spiece.model")
    sep, cls = sp.piece_to_id("<sep>"), sp.piece_to_id("<cls>")
    a, b = sp.encode("친구"), sp.encode(OTHER)
    both = ours("친구", OTHER)
    assert both["input_ids"] == [*a, sep, *b, sep, cls]
    assert both["token_type_ids"] == [0] * (len(a) + 1) + [1] * (len(b) + 1) + [2]
    assert ours.padding_side == "left"


def test_roberta_with_all_pieces_inside_keeps_its_numbers(folder, tmp_path) -> None:
    options = {**PLAIN, "pad_id": 3, "pad_piece": "<pad>", "control_symbols": ("<mask>",)}
    convert(folder(options, config={"model_type": "xlm-roberta"}), tmp_path / "out")
    ours = auto(tmp_path / "out")
    assert ours("친구", "친구")["input_ids"].count(ours.sep_token_id) == 3
    assert (ours.pad_token_id, ours.mask_token_id) == (3, 4)


AMBIGUOUS = {
    "nothing inside": (PLAIN, r"no piece for pad, mask, .*give --style bert .*xlm-roberta"),
    "before or after": (
        {**PLAIN, "control_symbols": ("<cls>", "<sep>", "<pad>", "<mask>")},
        "<cls> may stand before a text or after it; give --style bert or --style xlnet",
    ),
}


@pytest.mark.parametrize(("options", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_cannot_be_told_names_the_flag(spm, tmp_path, options, message) -> None:
    with pytest.raises(InputError, match=message):
        convert(spm(**options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("style", "pad"), [("bert", 700), ("xlm-roberta", 1), ("camembert", 1)])
def test_a_style_that_is_given_is_followed(spm, tmp_path, style, pad) -> None:
    source = spm(**PLAIN)
    layout = convert(source, tmp_path / "out", style=style)
    assert layout.id_of(layout.pad) == (len(processor(source)) if style == "bert" else pad)


MISFITS = {
    "another size": (
        {"config": {"model_type": "bert", "vocab_size": 32000}},
        "vocab_size is 32,000, but spiece.model has",
    ),
    "fewer rows": ({"config": {"vocab_size": 100, "model_type": "bert"}}, "vocab_size is 100, but"),
    "another padding": (
        {"config": {"model_type": "bert", "pad_token_id": 0}},
        r"pad_token_id is 0, but \[PAD\] is 1",
    ),
    "another mask": (
        {"added_tokens": {"[MASK]": 900}},
        r"\[MASK\] has the id 4 in spiece.model and 900 in the settings",
    ),
    "another unknown": (
        {"tokenizer_config": {"unk_token": "<unk>"}},
        r"for the unknown is \[UNK\]; the settings beside it say <unk>",
    ),
    "no family": ({"config": {"model_type": "t5"}}, "model_type is 't5'.*give --style"),
    "lower case": ({"tokenizer_config": {"do_lower_case": True}}, "do_lower_case: text is lower"),
    "albert": ({"config": {"model_type": "albert"}}, "do_lower_case: text is lower"),
    "fairseq": ({"config": {"model_type": "camembert"}}, "ids cannot be those of camembert"),
    "list": ({"config": []}, "config.json: not an object of settings"),
}


@pytest.mark.parametrize(("files", "message"), MISFITS.values(), ids=MISFITS)
def test_settings_that_do_not_fit_are_refused(
    folder, tmp_path, files, message, kobert_pieces
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        convert(folder(kobert_pieces, **files), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_rows_without_a_piece_are_let_pass(folder, tmp_path, kobert_pieces) -> None:
    source = folder(kobert_pieces)
    count = len(processor(source / "spiece.model"))
    config = {"model_type": "bert", "vocab_size": count + 99, "pad_token_id": 1}
    (source / "config.json").write_text(json.dumps(config))
    assert len(convert(source, tmp_path / "out").pieces) == count


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": "가나다".encode() * 100,
        "cut": content[: len(content) // 2],
        "cut short": content[:20],
        "zeros": bytes(1000),
    }


@pytest.mark.parametrize("kind", damaged(b""))
def test_what_is_no_model_is_refused_in_one_line(spm, tmp_path, kind, kobert_pieces) -> None:
    path = tmp_path / "spm.model"
    path.write_bytes(damaged(spm(**kobert_pieces).read_bytes())[kind])
    with pytest.raises(InputError, match="not a SentencePiece model, or cut off") as refused:
        convert(path, tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path) -> None:
    path = tmp_path / "pytorch_model.bin"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="256 MB are too many for a SentencePiece model"):
        convert(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "word", "vocab_size": 40}, "its type is word; only unigram and bpe"),
        ({"model_type": "char", "vocab_size": 100}, "its type is char; only unigram and bpe"),
        ({"treat_whitespace_as_suffix": True}, "it puts ▁ after words"),
    ],
)
def test_other_kinds_are_refused(spm, tmp_path, options, message, kobert_pieces) -> None:
    with pytest.raises(InputError, match=message):
        convert(spm(**{**kobert_pieces, **options}), tmp_path / "out")


def test_where_there_is_no_model_or_several_is_told(folder, tmp_path, kobert_pieces) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        convert(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no SentencePiece model in it"):
        convert(tmp_path / "empty", tmp_path / "out")
    source = folder(kobert_pieces, "a.model")
    convert(source, tmp_path / "out")
    shutil.copy(source / "a.model", source / "b.model")
    with pytest.raises(InputError, match=r"several models \(a.model, b.model\)"):
        convert(source, tmp_path / "other")


def test_what_is_there_is_not_written_over(spm, tmp_path, kobert_pieces) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(InputError, match="already there"):
        convert(spm(**kobert_pieces), tmp_path / "out")


@pytest.mark.parametrize("card", ["{", "[1]", '{"converted": {}}', '{"converted": 3}'])
def test_a_damaged_card_is_named(spm, tmp_path, card, kobert_pieces) -> None:
    convert(spm(**kobert_pieces), tmp_path / "out")
    (tmp_path / "out" / "vocabulary.json").write_text(card)
    with pytest.raises(InputError, match=r"vocabulary.json: damaged"):
        Vocabulary.load(tmp_path / "out")
