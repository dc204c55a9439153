import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from kobert_vocab import InputError, Vocabulary
from kobert_vocab.report.metrics import covers
from kobert_vocab.report.peers import CARRIER, Peer, open_peer, open_peers
from kobert_vocab.selftest import WRITTEN

WORDS = ["학교에서는", "먹었습니다", "ㅋㅋㅋㅋ", "뷁", "3kg에", "(대박)", "👍🏽", "ABC는", "가ㄳ"]


def surface(word: str, peer: Peer) -> list[str]:
    (tokens,) = peer.spans([word])
    return [word[t.start : t.end] for t in tokens]


def test_kinds(peers: dict[str, Peer]) -> None:
    assert [peer.kind for peer in peers.values()] == [
        "kobert-kit",
        "SentencePiece",
        "SentencePiece",
        "WordPiece",
        "byte-level BPE",
    ]
    assert [peer.name for peer in peers.values()] == [
        "vocabulary",
        "plain",
        "bytes",
        "wordpiece",
        "bpe.json",
    ]


def test_ours_are_those_of_the_vocabulary(peers: dict[str, Peer], vocabulary: Vocabulary) -> None:
    text = "학교에서 먹었습니다 뷁"
    ours = peers["ours"]
    assert ours.encode([text]) == [vocabulary.encode(text)]
    assert ours.decode([vocabulary.encode(text)]) == [text]
    assert len(ours) == len(vocabulary)
    assert ours.specials == set(vocabulary.specials)
    assert len(ours.bytes) == 256
    assert ours.normalize("ｋ ") == "k"


@pytest.mark.parametrize("name", ["ours", "plain", "bytes", "wordpiece", "bpe"])
def test_words_are_covered_by_the_tokens_they_have_in_running_text(
    peers: dict[str, Peer], name: str
) -> None:
    peer = peers[name]
    for word, ids, tokens in zip(WORDS, peer.encode_words(WORDS), peer.spans(WORDS), strict=True):
        assert tokens is not None
        assert [token.id for token in tokens] == ids
        assert covers([token[1:] for token in tokens], 0, len(word)), (word, tokens)
        running = peer.encode([CARRIER + word])[0]
        assert running[len(running) - len(ids) :] == ids


def test_places_agree_with_those_of_tokenizer_json(
    peers: dict[str, Peer], trained: Path, korean: list[str]
) -> None:
    # Two independent ways to the same places: the normaliser's offsets, and Hugging Face's.
    ordinary = re.compile(r"[가-힣ㄱ-ㅣ㎏㈜①\x21-\x7e]+")
    texts = [*korean, *WRITTEN, *WORDS, "㎏에서", "㈜대한의", "뷁㎏뷁①은"]
    words = sorted({w for text in texts for w in text.split() if ordinary.fullmatch(w)})
    assert len(words) > 500
    assert peers["ours"].spans(words) == open_peer(trained / "tokenizer.json").spans(words)
    decomposed = [unicodedata.normalize("NFD", word) for word in words]
    assert peers["ours"].spans(decomposed) == peers["ours"].spans(words)


def test_bytes_share_their_character(peers: dict[str, Peer]) -> None:
    (tokens,) = peers["bytes"].spans(["학🫠"])
    assert [t.id in peers["bytes"].bytes for t in tokens][-4:] == [True] * 4
    assert [t[1:] for t in tokens][-4:] == [(1, 2)] * 4
    (tokens,) = peers["bpe"].spans(["학교👍"])
    assert {t[1:] for t in tokens if t.end == 3} == {(2, 3)}


def test_a_normaliser_that_changes_letters_keeps_places(peers: dict[str, Peer]) -> None:
    parts = surface("㎏에서", peers["plain"])
    assert parts[:2] == ["㎏", "㎏"]  # k and g
    assert "".join(parts[2:]) == "에서"


def test_what_cannot_be_placed_is_none(peers: dict[str, Peer]) -> None:
    assert peers["plain"].spans(["가▁나"]) == [None]  # the mark of a space, as a letter


def test_texts_of_pieces(peers: dict[str, Peer]) -> None:
    assert " 학교" in peers["ours"].texts
    assert "에서" in peers["ours"].texts
    wordpiece = peers["wordpiece"]
    assert {" 학교", "에서"} <= set(wordpiece.texts)
    assert wordpiece.pieces[wordpiece.texts.index("에서")] == "##에서"
    bpe = peers["bpe"]
    assert " 학교" in bpe.texts
    assert bpe.pieces[bpe.texts.index(" 학교")].startswith("Ġ")


def test_partial_characters_of_a_byte_level_vocabulary(peers: dict[str, Peer]) -> None:
    bpe = peers["bpe"]
    halves = [i for i, piece in enumerate(bpe.pieces) if piece == "ê"]  # 0xEA, of most syllables
    assert set(halves) <= bpe.bytes
    assert bpe.texts[halves[0]] == "\\xea"
    assert bpe.texts.index("a") not in bpe.bytes
    assert bpe.unknown is None


def test_specials_and_unknown(peers: dict[str, Peer]) -> None:
    wordpiece = peers["wordpiece"]
    assert {wordpiece.pieces[i] for i in wordpiece.specials} == {
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    }
    assert wordpiece.pieces[wordpiece.unknown] == "[UNK]"
    plain = peers["plain"]
    assert {plain.pieces[i] for i in plain.specials} == {"<unk>", "<s>", "</s>"}
    assert plain.unknown in plain.encode(["뷁"])[0]


def test_a_special_piece_in_text_is_text(peers: dict[str, Peer]) -> None:
    assert peers["wordpiece"].pieces.index("[MASK]") not in peers["wordpiece"].encode(["[MASK]"])[0]


def test_truncation_and_padding_are_off(wordpiece: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(wordpiece / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(tmp_path / "short.json"))
    (ids,) = open_peer(tmp_path / "short.json").encode(["학교 " * 20])
    assert len(ids) == 20


def test_a_folder_of_vocab_txt_is_opened_with_transformers(wordpiece: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    vocab = Tokenizer.from_file(str(wordpiece / "tokenizer.json")).get_vocab()
    lines = sorted(vocab, key=vocab.__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    peer = open_peer(tmp_path)
    assert peer.kind == "WordPiece"
    assert peer.encode(["학교에서"]) == open_peer(wordpiece).encode(["학교에서"])


def test_code_of_a_folder_is_not_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    (tmp_path / "evil.py").write_text("open('ran', 'w')\nclass Evil: pass\n", encoding="utf-8")
    config = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match="no vocabulary that"):
        open_peer(tmp_path)
    assert not Path("ran").exists()


def test_names_that_are_taken_get_a_number(plain: Path) -> None:
    assert [peer.name for peer in open_peers([plain, plain])] == ["plain", "plain (2)"]


def test_a_folder_of_one_model(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(plain.read_bytes())
    assert open_peer(tmp_path).kind == "SentencePiece"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.model", b"no model", "not a SentencePiece model"),
        ("b.model", b"", "not a SentencePiece model"),
        ("c.json", b"no json", "not JSON"),
        ("d.json", b"\xff\xfe", "not JSON"),
        ("e.json", b'{"a": 1}', "no tokenizer of Hugging Face"),
        ("f.json", b"[]", "no tokenizer of Hugging Face"),
        ("g.json", b'{"version": "1.0", "model": {"vocab": {}}}', "no tokenizer of Hugging Face"),
    ],
)
def test_what_cannot_be_opened(write, name: str, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_peer(write(name, content))


def test_a_mark_alone_is_left_out_of_a_word_unless_it_is_all_there_is(fake) -> None:
    peer = fake({"x": ["▁"], "y": ["▁", "y"]})
    peer = replace(peer, texts=[piece.replace("▁", " ") for piece in peer.pieces])
    mark, letter = peer.pieces.index("▁"), peer.pieces.index("y")
    assert peer.encode_words(["x", "y"]) == [[mark], [letter]]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        open_peer(tmp_path / "none")
    with pytest.raises(InputError, match="no vocabulary given"):
        open_peers([])
