import unicodedata

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_vocab.conversion.charsmap import read_rules
from kobert_vocab.conversion.fast_tokenizer import fast_tokenizer
from kobert_vocab.errors import InputError
from kobert_vocab.selftest import WRITTEN

# Each differs from KoBERT's, which is the first, in what its name says.
KINDS = {
    "kobert": {},
    "nfkc": {"normalization_rule_name": "nfkc"},
    "identity": {"normalization_rule_name": "identity"},
    "case folded": {"normalization_rule_name": "nmt_nfkc_cf"},
    "bytes": {"byte_fallback": True, "vocab_size": 900},
    "bytes, identity": {
        "byte_fallback": True,
        "vocab_size": 900,
        "normalization_rule_name": "identity",
    },
    "no space first": {"add_dummy_prefix": False},
    "no space first, identity": {
        "add_dummy_prefix": False,
        "normalization_rule_name": "identity",
    },
    "all spaces": {"remove_extra_whitespaces": False},
    "all spaces, identity": {
        "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
    },
    "all spaces, none first": {"remove_extra_whitespaces": False, "add_dummy_prefix": False},
    "pieces over words": {"split_by_whitespace": False},
    "few characters": {
        "character_coverage": 0.995,
        "vocab_size": 400,
        "user_defined_symbols": ("[",),
    },
    "few characters, bytes": {
        "character_coverage": 0.995,
        "vocab_size": 500,
        "byte_fallback": True,
    },
    "user-defined": {"user_defined_symbols": ("<sep>", "대박", "(", "가나")},
    "user-defined, identity": {
        "user_defined_symbols": ("<sep>", "대박", "①", "é"),
        "normalization_rule_name": "identity",
    },
    "bpe": {"model_type": "bpe"},
    "bpe, identity": {"model_type": "bpe", "normalization_rule_name": "identity"},
    "bpe, bytes": {"model_type": "bpe", "byte_fallback": True, "vocab_size": 900},
    "bpe, all spaces": {
        "model_type": "bpe",
        "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
    },
    "bpe, user-defined": {"model_type": "bpe", "user_defined_symbols": ("(", "é")},
}
HARD = [
    *WRITTEN,
    *("▁", "▁▁가", " ▁가", "가▁", "가 ▁ ▁", "\u2581\u00a0", "가\r\n나", "\r\n", "\x01", "\x01 가"),
    *(
        "ª\u0301",
        "Ａ\u0301\u0323",
        "a\u0301\u0323",
        "q\u0307\u0323",
        "가\u11a8",
        "ㅎㅏㄱㅏ",
        "하ㄳ",
        "ㅠㅠ가ㄱ",
    ),
    *("\u1100\u1161\u11a8\u11a8", "\u1100\u1100\u1161", "ﾡￂ", "ᄀ\x01ᅡ", "ᄀ\u200bᅡ", "カ\u3099"),
    *("\ufdd0", "\ufdd0\ufdd1\ufdd2", "ᄀ\ufdd0ᅡ", "\ufdd2\ufdd3", "\ufdd2\ufdd4\ufdd5\u0301"),
    *(
        "[CLS]",
        "[MASK] 가",
        "가[SEP]나",
        "<0xEA>",
        "<sep>",
        "a<sep>b",
        " <sep> ",
        "대박대박",
        "대박이",
    ),
    *("한 번 더", "한 번  더 한 번"),
    *("é", "e\u0301", "(가나)", "①", "가\u0301나", "´a", " ´", "\ufdfa", "…", "ǆ", "İı"),
]
HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
JAMO = st.characters(min_codepoint=0x1100, max_codepoint=0x11FF) | st.characters(
    min_codepoint=0x3131, max_codepoint=0x318E
)
MARKS = st.characters(min_codepoint=0x300, max_codepoint=0x345)
WIDE = st.characters(min_codepoint=0xFF01, max_codepoint=0xFFEE)
LETTERS = st.sampled_from("aeiouAEIOUnNcC㎏①ªǆヵカハ가각한")
BLANKS = st.sampled_from(" \t\n\r\u00a0\u3000\u200b\ufeff\u00ad▁\x01\x7f")
OURS = st.sampled_from("\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5")  # what the normaliser works with
SPELLED = st.sampled_from(["[MASK]", "<sep>", "<0x41>", "대박", "가나", "---", "ㅋㅋ", "the"])
ANYTHING = st.characters(codec="utf-8")
PARTS = HANGUL | JAMO | MARKS | WIDE | LETTERS | BLANKS | OURS | SPELLED | ANYTHING
MIXED = st.lists(PARTS).map("".join)


@pytest.fixture(params=KINDS.values(), ids=KINDS, scope="module")
def both(request, pair):
    return pair(**request.param)


def test_hard_texts_have_the_same_ids(both) -> None:
    texts = [*HARD, *(unicodedata.normalize("NFD", text) for text in HARD)]
    assert [found for text in texts if (found := both.difference(text))] == []


def test_pieces_that_reach_over_words_are_there_to_be_tried(pair) -> None:
    pieces = pair(**KINDS["pieces over words"]).layout.pieces
    assert any("▁" in piece[1:] for piece in pieces)


@settings(max_examples=150, deadline=None)
@given(text=MIXED)
def test_any_text_has_the_same_ids(both, text) -> None:
    assert both.difference(text) is None
    assert both.difference(unicodedata.normalize("NFD", text)) is None


OPTIONS = st.fixed_dictionaries(
    {
        "model_type": st.sampled_from(["unigram", "bpe"]),
        "normalization_rule_name": st.sampled_from(["nmt_nfkc", "nfkc", "identity", "nfkc_cf"]),
        "byte_fallback": st.booleans(),
        "add_dummy_prefix": st.booleans(),
        "remove_extra_whitespaces": st.booleans(),
        "split_digits": st.booleans(),
        "split_by_whitespace": st.booleans(),
        "allow_whitespace_only_pieces": st.booleans(),
        "vocab_size": st.sampled_from([640, 900]),
        "user_defined_symbols": st.sampled_from([(), ("é",)]),
    }
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(options=OPTIONS, texts=st.lists(MIXED, min_size=10, max_size=10))
def test_any_model_gives_the_same_ids(pair, options, texts) -> None:
    both = pair(**options)
    assert [found for text in [*HARD, *texts] if (found := both.difference(text))] == []


@pytest.mark.slow
def test_every_character_of_the_basic_plane(pair) -> None:
    chars = [chr(c) for c in range(0x10000) if not 0xD800 <= c < 0xE000]
    kobert = pair()
    for pattern in ("{}", "가{}나", "a{}\u0301", "{}\u0327", "ᄒ{}ᆫ", "{}\u200d{}", "ª{}"):
        texts = [pattern.replace("{}", char) for char in chars]
        ids = [e.ids for e in kobert.fast.encode_batch_fast(texts, add_special_tokens=False)]
        wrong = [
            ascii(text)
            for text, a, b in zip(texts, kobert.processor.encode(texts), ids, strict=True)
            if a != b and not kobert.rounding.decides(text, a, b)
        ]
        assert wrong == [], pattern


@pytest.mark.slow
@pytest.mark.parametrize("normalizer", ["nmt_nfkc", "nfkc", "nfkc_cf"])
def test_every_rule_of_a_normaliser_is_followed(pair, normalizer) -> None:
    both = pair(normalization_rule_name=normalizer, byte_fallback=True, vocab_size=900)
    rules = [source for source in read_rules(both.model.charsmap) if source.strip()]
    texts = [*rules[::7], *(f"가{source}\u0301" for source in rules[::11])]
    ids = [e.ids for e in both.fast.encode_batch_fast(texts, add_special_tokens=False)]
    wrong = [
        ascii(text)
        for text, a, b in zip(texts, both.processor.encode(texts), ids, strict=True)
        if a != b and not both.rounding.decides(text, a, b)
    ]
    assert wrong == []


def test_text_beside_a_mask_is_a_word_only_after_a_space(pair) -> None:
    fast = fast_tokenizer(pair().model, pair().layout)
    for text in ("서울[MASK]에서 먹고", "[MASK]에서", "서울 [MASK]에서", "[MASK] 에서"):
        tokens = fast.encode(text, add_special_tokens=False).tokens
        after = tokens[tokens.index("[MASK]") + 1]
        assert after.startswith("▁") == ("[MASK] " in text)
        assert tokens[0].startswith("▁") == text.startswith("서울")


@pytest.mark.parametrize(("score", "pieces"), [(-3.49, ["대박이"]), (-3.51, ["대박", "이"])])
def test_a_user_defined_piece_scores_by_its_bytes(written, score, pieces) -> None:
    # Six bytes are worth 0.5, and 이 is -4.
    scores = {"▁": -1.0, "대": -9.0, "박": -9.0, "이": -4.0, "대박이": score, "[": -9.0}
    both = written(scores, user_defined=("대박",))
    ids = both.fast.encode("대박이", add_special_tokens=False).ids
    assert [both.layout.pieces[i] for i in ids] == ["▁", *pieces]
    if sentencepiece.__version__ >= "0.2.3":  # an earlier one has another sum
        assert both.difference("대박이") is None


@pytest.mark.parametrize("kind", ["kobert", "bytes", "bpe", "no space first"])
def test_text_comes_back(pair, kind) -> None:
    both = pair(**KINDS[kind])
    for text in ("서울 학교에서 the fox", "친구"):
        assert both.fast.decode(both.fast.encode(text).ids) == both.processor.decode(
            both.processor.encode(text)
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "bpe", "user_defined_symbols": ("<sep>",)}, "user-defined piece '<sep>'"),
        ({"user_defined_symbols": ("㎏",)}, "would change the user-defined piece '㎏'"),
        ({"user_defined_symbols": ("e\u0301",)}, "would change the user-defined piece"),
        (
            {"control_symbols": ("[MASK]", "ꙮꙮ")},
            "piece 'ꙮꙮ' has no character that is a piece",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(pair, options, message) -> None:
    with pytest.raises(InputError, match=message):
        pair(**options)
