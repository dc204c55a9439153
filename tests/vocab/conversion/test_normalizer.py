import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from kobert_vocab.conversion.charsmap import compile_rules, read_rules
from kobert_vocab.conversion.model import SentencePieceModel
from kobert_vocab.conversion.normalizer import exact_normalizer
from kobert_vocab.errors import InputError
from kobert_vocab.model_file import UNKNOWN, USER_DEFINED, Piece

RULES = {
    "single": {"a": "b", "b": "a", "é": "e", "c": ""},
    "several": {"ab": "x", "abc": "y", "bc": "z", "c": "", "dd": "", "가나": "다", "e\u0301": "é"},
    "blanks": {"\t": " ", "\n": " ", "\u200b": "", "--": "—", "---": "⸻", "´": " \u0301"},
    "marks": {"a\u0301": "á", "A": "a", "A\u0301": "á", "\u0301\u0301": "\u030b", "ª": "a"},
}


def model(rules: dict[str, str], *user_defined: str) -> SentencePieceModel:
    pieces = [Piece(text, 0, USER_DEFINED) for text in user_defined]
    return SentencePieceModel(
        content=b"",
        kind="unigram",
        pieces=(Piece("<unk>", 0, UNKNOWN), *pieces),
        rules="own",
        charsmap=compile_rules(rules),
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
    )


@pytest.fixture(params=RULES.values(), ids=RULES, scope="module")
def both(request, tmp_path_factory):
    """The rules in SentencePiece's normaliser and in ours."""
    path = tmp_path_factory.mktemp("rules") / "rules.tsv"
    codes = [[" ".join(f"{ord(c):X}" for c in s) for s in rule] for rule in request.param.items()]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in codes))
    theirs = sentencepiece.SentencePieceNormalizer(
        rule_tsv=str(path),
        add_dummy_prefix=False,
        escape_whitespaces=False,
        remove_extra_whitespaces=False,
    )
    return theirs, normalizers.Sequence(exact_normalizer(model(request.param)))


ALPHABET = "abcdeéAª가나다-\t\n ´\u0301\u030b\u200b\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5áxyz"


SOURCES = [source for rules in RULES.values() for source in rules]
TEXT = st.lists(st.sampled_from([*ALPHABET, *SOURCES])).map("".join)


@settings(max_examples=400, deadline=None)
@given(text=TEXT)
def test_rules_of_ones_own_are_followed(both, text) -> None:
    theirs, ours = both
    assert ours.normalize_str(text) == theirs.Normalize(text)


@pytest.mark.slow
def test_a_rule_that_nfc_follows_gives_way_to_one_within_it(pair) -> None:
    rules = read_rules(pair(normalization_rule_name="nfkc").model.charsmap)
    changed = {**rules, "a\u0302": "X", "a\u0302\u0301": "\u1ea5"}  # NFC would make â of the first
    ours = normalizers.Sequence(exact_normalizer(model(changed)))
    assert ours.normalize_str("a\u0302 a\u0302\u0301 e\u0301") == "X \u1ea5 \u00e9"


def test_a_user_defined_piece_keeps_a_rule_from_reaching_into_it() -> None:
    ours = normalizers.Sequence(exact_normalizer(model({"bc": "x", "cd": "y"}, "ab")))
    assert ours.normalize_str("abcd") == "aby"
    assert ours.normalize_str("bcd") == "xd"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"ab": "c", "cd": "ab"}, "makes 'ab' of 'cd' and has a rule for that too"),
        ({"ab": "c", "c": "d"}, "makes 'c' of 'ab' and has a rule for that too"),
        ({"ab": "c  d"}, "makes two spaces of 'ab'"),
        ({"a\ufdd0": "c"}, "noncharacter"),
        ({f"{chr(0x4E00 + i)}x": "y" for i in range(2100)}, "2,100 rules for several characters"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(rules, message) -> None:
    with pytest.raises(InputError, match=message):
        exact_normalizer(model(rules))


def test_a_long_text_is_gone_through_once() -> None:
    ours = normalizers.Sequence(exact_normalizer(model(RULES["marks"])))
    assert ours.normalize_str("xa\u0301" * 200_000) == "xá" * 200_000
