import hashlib
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_vocab import InputError, Vocabulary
from kobert_vocab.normalize import normalize


def test_ids_and_sizes(vocabulary: Vocabulary, trained: Path) -> None:
    assert len(vocabulary) == 3290
    named = [vocabulary.pad, vocabulary.unk, vocabulary.cls, vocabulary.sep, vocabulary.mask]
    assert named == [0, 1, 2, 3, 4]
    assert vocabulary.unused == list(range(5, 105))
    assert vocabulary.specials == list(range(105))
    model = (trained / "spm.model").read_bytes()
    assert vocabulary.fingerprint == hashlib.sha256(model).hexdigest()


def test_starts_word(vocabulary: Vocabulary) -> None:
    starts = vocabulary.starts_word
    assert starts.dtype == np.bool_
    assert starts.shape == (len(vocabulary),)
    assert not starts[:361].any()
    ids = vocabulary.encode("학교에서는 사람을")
    assert starts[ids].tolist() == [True, False, False, True, False]


def test_characters_of_pieces_are_those_of_the_text(vocabulary: Vocabulary) -> None:
    def count(text: str) -> int:
        return int(vocabulary.characters[vocabulary.encode(text)].sum())

    # Each word has a space before it, the first one too.
    assert count("학교에서는 사람을") == 1 + len("학교에서는 사람을")
    # Rare syllables are two pieces or more, characters outside the vocabulary two to four bytes.
    for text in ("뷁", "봣", "é", "㿿", "👍", "👍🏽", "a뷁👍"):
        assert count(text) == 1 + len(text), text
    decomposed = unicodedata.normalize("NFD", "학교에서")
    assert count(decomposed) == 1 + len("학교에서")


def test_special_pieces_stand_for_no_character(vocabulary: Vocabulary) -> None:
    characters = vocabulary.characters
    assert characters.shape == (len(vocabulary),)
    assert not characters[vocabulary.specials].any()
    pieces = {vocabulary.piece(i): int(characters[i]) for i in range(len(vocabulary))}
    found = [pieces[f"<0x{byte:02X}>"] for byte in (0x41, 0x7F, 0x80, 0xBF, 0xC3, 0xF0)]
    assert found == [1, 1, 0, 0, 1, 1]


def test_encode_adds_no_specials_and_reads_none(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("[MASK]을 [PAD]")
    assert not set(ids) & set(vocabulary.specials)
    assert vocabulary.encode("") == vocabulary.encode(" \n") == []


def test_batch_is_one_by_one(vocabulary: Vocabulary) -> None:
    texts = ["학교에서", "", unicodedata.normalize("NFD", "사람을"), "👍"] * 5
    each = [vocabulary.encode(text) for text in texts]
    assert vocabulary.encode_batch(texts) == each
    assert vocabulary.encode_batch(texts, threads=2) == each
    assert vocabulary.encode_batch([]) == []


def test_decomposed_text_has_the_same_ids(vocabulary: Vocabulary) -> None:
    text = "학교에서는 사람을 찾습니다"
    assert vocabulary.encode(unicodedata.normalize("NFD", text)) == vocabulary.encode(text)


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("ㅋㅠㄳ각 \t가나다")))
def test_text_survives(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.decode(vocabulary.encode(text)) == normalize(text)


@given(st.text(st.characters(codec="utf-8")))
def test_nothing_is_unknown(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.unk not in vocabulary.encode(text)


@pytest.mark.parametrize("text", ["ㅋㅋㅋ", "ㅠㅠ", "ㄳ", "가ㄳ", "ㅎㅏ", "헐ㅋㅋ"])
def test_internet_jamo_are_pieces_not_bytes(vocabulary: Vocabulary, text: str) -> None:
    assert "".join(vocabulary.pieces(text)) == "▁" + text


def test_normalizer_of_the_model_is_ours(vocabulary: Vocabulary) -> None:
    for text in ("  Ｋ팝\u200b ㅋㅋ…", "ﾡ ｶﾞ", "(´▽`)"):
        assert vocabulary.normalize(text) == normalize(text)


def test_decode_takes_numpy_ids(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(np.array(vocabulary.encode("학교에서"), dtype=np.int32)) == "학교에서"


def test_it_travels_to_another_process(vocabulary: Vocabulary) -> None:
    again = pickle.loads(pickle.dumps(vocabulary))
    assert again.encode("학교에서") == vocabulary.encode("학교에서")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x0a\xff\xff\xff\xff\x0f"])
def test_not_a_vocabulary(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="not a vocabulary"):
        Vocabulary.load(tmp_path)
    (tmp_path / "spm.model").write_bytes(content)
    with pytest.raises(InputError, match="not a SentencePiece model"):
        Vocabulary.load(tmp_path)


def test_importing_is_light() -> None:
    code = "import sys, kobert_vocab; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "transformers", "tokenizers", "kiwipiepy"}
    assert done.stderr == ""
