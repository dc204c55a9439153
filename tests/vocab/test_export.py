import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from kobert_vocab import Vocabulary
from kobert_vocab.verify import load_fast

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
COMPATIBILITY_JAMO = st.characters(min_codepoint=0x3131, max_codepoint=0x318E)
CONJOINING_JAMO = st.characters(min_codepoint=0x1100, max_codepoint=0x11FF)
BLANKS = st.sampled_from(" \t\n\u00a0\u3000\u200b\ufeff\u00ad▁")
MARKS = st.characters(min_codepoint=0x300, max_codepoint=0x36F)
WIDE = st.characters(min_codepoint=0xFF01, max_codepoint=0xFFEE)
MIXED = st.text(
    HANGUL
    | COMPATIBILITY_JAMO
    | CONJOINING_JAMO
    | BLANKS
    | MARKS
    | WIDE
    | st.characters(codec="utf-8")
)

# Marks assigned after Unicode 9, the last that the NFC of tokenizers 0.23 knows: it does not put
# an accent after them in order.
LATER_MARKS = [
    *(0x7FD, 0x899, 0x89A, 0x89B, *range(0x8CF, 0x8D4), 0xC3C, 0xD3B, 0xD3C, 0xEBA, 0x1715),
    *(0x1ABF, 0x1AC0, 0x1AC3, 0x1AC4, 0x1ACA, *range(0x1DF6, 0x1DFB), 0xA82C),
]


@pytest.fixture(scope="module")
def fast(trained: Path) -> Tokenizer:
    return load_fast(trained)


def same_ids(vocabulary: Vocabulary, fast: Tokenizer, text: str) -> None:
    if any(name in text for name in SPECIALS):
        return
    assert vocabulary.encode(text) == fast.encode(text, add_special_tokens=False).ids


@given(st.text(HANGUL | st.just(" ")))
def test_random_syllables(vocabulary, fast, text) -> None:
    same_ids(vocabulary, fast, text)
    same_ids(vocabulary, fast, unicodedata.normalize("NFD", text))


@given(st.text(COMPATIBILITY_JAMO | CONJOINING_JAMO | HANGUL | BLANKS))
def test_random_jamo(vocabulary, fast, text) -> None:
    same_ids(vocabulary, fast, text)


@settings(max_examples=500)
@given(MIXED)
def test_anything(vocabulary, fast, text) -> None:
    same_ids(vocabulary, fast, text)
    same_ids(vocabulary, fast, unicodedata.normalize("NFD", text))


@given(st.binary())
def test_byte_noise(vocabulary, fast, data) -> None:
    same_ids(vocabulary, fast, data.decode("latin-1"))
    same_ids(vocabulary, fast, data.decode("utf-8", "replace"))


def test_every_character_of_the_basic_plane(vocabulary, fast) -> None:
    chars = [chr(c) for c in range(0x10000) if not 0xD800 <= c < 0xE000]
    for pattern in ("{}", "가{}나", "a{}\u0301", "{}\u200d{}", "ª{}"):
        known = set(map(chr, LATER_MARKS)) if pattern.endswith("\u0301") else set()
        texts = [pattern.replace("{}", char) for char in chars if char not in known]
        ids = [e.ids for e in fast.encode_batch_fast(texts, add_special_tokens=False)]
        wrong = [
            ascii(text)
            for text, a, b in zip(texts, vocabulary.encode_batch(texts), ids, strict=True)
            if a != b
        ]
        assert wrong == [], pattern


@pytest.fixture(scope="module")
def tokenizer(trained: Path):
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(trained)


class TestInTransformers:
    def test_loads_with_all_special_tokens(self, tokenizer, vocabulary: Vocabulary) -> None:
        assert tokenizer.is_fast
        named = [tokenizer.pad_token, tokenizer.unk_token, tokenizer.cls_token]
        assert (*named, tokenizer.sep_token, tokenizer.mask_token) == SPECIALS
        assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == [0, 1, 2, 3, 4]
        assert tokenizer.mask_token_id == vocabulary.mask
        assert tokenizer.padding_side == "right"
        assert tokenizer.model_max_length == 512
        assert tokenizer.clean_up_tokenization_spaces is False
        assert len(tokenizer) == len(vocabulary)

    def test_pairs_get_cls_sep_and_types(self, tokenizer, vocabulary: Vocabulary) -> None:
        first, second = vocabulary.encode("학교에서"), vocabulary.encode("사람을 먹고")
        pair = tokenizer("학교에서", "사람을 먹고")
        assert pair["input_ids"] == [2, *first, 3, *second, 3]
        assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
        assert tokenizer("학교에서")["input_ids"] == [2, *first, 3]

    def test_pads_right(self, tokenizer) -> None:
        batch = tokenizer(["가", "가 나 다"], padding=True)
        assert batch["input_ids"][0][-2:] == [0, 0]
        assert batch["attention_mask"][0][-2:] == [0, 0]

    @pytest.mark.parametrize(
        ("text", "pieces"),
        [
            ("서울[MASK] 학교", ["▁서울", "[MASK]", "▁학교"]),
            ("[MASK]은 학교", ["[MASK]", "은", "▁학교"]),
            ("서울 [MASK]를", ["▁서울", "[MASK]", "를"]),
            ("[MASK] 서울", ["[MASK]", "▁서울"]),
        ],
    )
    def test_text_beside_a_mask_is_a_word_only_after_a_space(self, tokenizer, text, pieces) -> None:
        assert tokenizer.tokenize(text) == pieces

    def test_decodes(self, tokenizer) -> None:
        text = "학교에서 ㅋㅋㅋ 👍🏽 봣다!"
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text

    def test_saved_again_it_is_the_same(self, tokenizer, vocabulary: Vocabulary, tmp_path) -> None:
        tokenizer.save_pretrained(tmp_path)
        again = type(tokenizer).from_pretrained(tmp_path)
        for text in ("학교에서", "  가\u200b ㅋㅋ", "가"):
            assert again(text, add_special_tokens=False)["input_ids"] == vocabulary.encode(text)


def test_both_pieces_of_a_rare_syllable_point_to_it(fast: Tokenizer) -> None:
    encoded = fast.encode("학교 꿻다", add_special_tokens=False)
    places = dict(zip(encoded.tokens, encoded.offsets, strict=True))
    assert places["ᆲ"] == (3, 4)
    assert next(place for piece, place in places.items() if "꿰" in piece)[1] == 4
    assert fast.decode(encoded.ids) == "학교 꿻다"
