import json

import pytest
from tokenizers import Tokenizer, models

from kobert_kit.tensorflow1.word_pieces import read_tokenizer, read_vocab_txt, write_tokenizer
from kobert_vocab.errors import InputError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocab_txt(tmp_path, content):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\n".join([*SPECIAL, *content]).encode())
    return path


def test_lines_are_those_of_google_s_code(tmp_path):
    # U+2028 and U+0085 end lines for Python and not for TensorFlow; blanks around a piece go.
    path = vocab_txt(tmp_path, ["a\r", "##b", "c\u2028d", " e\t", ""])
    assert read_vocab_txt(path) == (*SPECIAL, "a", "##b", "c\u2028d", "e")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a", "", "b"], "vocab.txt:7: no piece"),
        (["a", "\u3000", "b"], "vocab.txt:7: no piece"),
        (["a", "b", "a "], "vocab.txt:8: 'a' stands in line 6 too"),
    ],
)
def test_a_line_without_a_piece_of_its_own_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_vocab_txt(vocab_txt(tmp_path, content))


def test_other_bytes_and_missing_special_pieces_are_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\n가\n".encode("cp949"))
    with pytest.raises(InputError, match="not UTF-8 at byte 6"):
        read_vocab_txt(path)
    for piece in SPECIAL:
        path.write_text("\n".join({*SPECIAL, "a"} - {piece}))
        with pytest.raises(InputError, match=r"no \[[A-Z]+\]"):
            read_vocab_txt(path)


@pytest.mark.parametrize("case", ["cased", "uncased"])
def test_a_vocabulary_comes_back_from_either_file(tmp_path, case):
    pieces = ("[PAD]", "가", *SPECIAL[1:], "##나", "B")
    write_tokenizer(tmp_path, pieces, case, 512)
    found = read_tokenizer(tmp_path)
    assert (found.pieces, found.case) == (pieces, case)
    (tmp_path / "tokenizer.json").unlink()
    found = read_tokenizer(tmp_path)
    assert (found.pieces, found.case) == (pieces, None)


def test_a_folder_without_word_pieces_has_none(tmp_path):
    assert read_tokenizer(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    assert read_tokenizer(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab": {"a": 0, "b": 2}}, "an id is missing or there twice"),
        ({"vocab": {"a": 0, "b": 0}}, "an id is missing or there twice"),
        ({"vocab": {"a": 0, "b": "c"}}, "an id is missing or there twice"),
        ({"vocab": {"a": 0}}, r"no \[PAD\], which Google's code asks for"),
        ({"vocab": {" a": 0}}, "' a' cannot stand in a line"),
        ({"vocab": {"": 0}}, "'' cannot stand in a line"),
        ({"vocab": {"a\nb": 0}}, "cannot stand in a line"),
        ({"vocab": {"\ud800": 0}}, "cannot stand in a line"),
        ({"vocab": [["a", 0]]}, "not a tokenizer's file"),
        ({}, "not a tokenizer's file"),
        ({"continuing_subword_prefix": "@@"}, "do not begin with ##"),
    ],
)
def test_a_vocabulary_that_has_no_place_in_vocab_txt_is_refused(tmp_path, change, message):
    model = {"type": "WordPiece", "continuing_subword_prefix": "##"} | change
    content = json.dumps({"model": model, "added_tokens": []})
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_tokenizer(tmp_path)


def test_added_tokens_have_lines_too(tmp_path):
    model = {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": {"a": 0}}
    added = [{"content": piece, "id": number} for number, piece in enumerate(SPECIAL, start=1)]
    content = json.dumps({"model": model, "added_tokens": added})
    (tmp_path / "tokenizer.json").write_text(content)
    assert read_tokenizer(tmp_path).pieces == ("a", *SPECIAL)
    bad = json.dumps({"model": model, "added_tokens": [{"content": 5, "id": 1}]})
    (tmp_path / "tokenizer.json").write_text(bad)
    with pytest.raises(InputError, match="the piece 5 cannot stand in a line"):
        read_tokenizer(tmp_path)


def test_a_file_of_2020_that_names_no_type_of_its_model_is_read(tmp_path):
    vocab = {piece: number for number, piece in enumerate([*SPECIAL, "a"])}
    Tokenizer(models.WordPiece(vocab, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    del raw["model"]["type"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    assert read_tokenizer(tmp_path).pieces == (*SPECIAL, "a")
