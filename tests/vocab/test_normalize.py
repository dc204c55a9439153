import hashlib
import subprocess
import sys
import unicodedata
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kobert_vocab.normalize
from kobert_vocab.hangul import rare_syllables
from kobert_vocab.normalize import (
    RULES_SHA256,
    RULES_UNICODE,
    in_model_form,
    normalize,
    read_folds,
    write_rules,
)

HANGUL = st.text(
    st.sampled_from("ㅋㅠㄳㅏㆍﾡￂ 　\t\n")
    | st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
    | st.characters(min_codepoint=0x1100, max_codepoint=0x11FF)
    | st.characters(min_codepoint=0x20, max_codepoint=0x7E)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ㅋㅋㅋ ㅠㅠ 가ㄳ ㅎㅏ", "ㅋㅋㅋ ㅠㅠ 가ㄳ ㅎㅏ"),  # nmt_nfkc: U+110F, U+1172, 갃, 하
        (unicodedata.normalize("NFD", "각하 Ärger が"), "각하 Ärger が"),
        ("ﾡﾢ ￂￃ", "ㄱㄲ ㅏㅐ"),
        ("ｶﾞｷﾞﾊﾟ", "ガギパ"),
        ("Ｋ팝 １２３ ㎏ … ①", "K팝 123 kg ... 1"),
        ("㈀ ㉠ ㈎ ㉮", "(ㄱ) ㄱ (가) 가"),
        ("가\u200b나\ufeff다\u00ad라\u202e", "가나다라"),
        ("می\u200cخواهم 👨\u200d👩", "می\u200cخواهم 👨\u200d👩"),
        ("\t가\u00a0\u3000나\n\u3164", "가 나"),
        ("가▁나", "가 나"),
        ("(´▽`)(￣▽￣)", "(´▽`)(¯▽¯)"),
        ("ทำ", "ทำ"),
        ("大韓 豈", "大韓 豈"),
        ("ᄒᆞᆫ글", "ᄒᆞᆫ글"),
        ("", ""),
    ],
)
def test_reads_as(text: str, expected: str) -> None:
    assert normalize(text) == expected


@given(HANGUL)
def test_twice_is_once(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.text())
def test_twice_is_once_for_composed_results(text: str) -> None:
    # A letter and an accent that meet only after a fold or a deletion (Ａ́) stay two characters.
    once = normalize(text)
    if unicodedata.is_normalized("NFC", once):
        assert normalize(once) == once


@given(HANGUL)
def test_composed_and_decomposed_read_alike(text: str) -> None:
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(text)


def test_every_syllable_composes_in_the_model_itself() -> None:
    # Without the NFC before it, as a plain SentencePiece user would run it.
    matcher, rare = kobert_vocab.normalize._normalizer(), rare_syllables()
    for code in range(0xAC00, 0xD7A4):
        syllable = chr(code)
        for form in ("NFC", "NFD"):
            written = matcher.Normalize(unicodedata.normalize(form, syllable))
            assert written == rare.get(syllable, syllable)
        assert normalize(syllable) == syllable
        assert in_model_form(syllable) == rare.get(syllable, syllable)


def test_table_is_the_recorded_one() -> None:
    table = files("kobert_vocab").joinpath("rules", "ko_nfc.tsv").read_bytes()
    assert hashlib.sha256(table).hexdigest() == RULES_SHA256


def test_changed_table_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kobert_vocab.normalize, "RULES_SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match="was changed"):
        write_rules(tmp_path / "rules.tsv")


def test_folds_are_stable() -> None:
    folds = read_folds()
    assert len(folds) > 6000
    assert [s for s, t in folds.items() if any(char in folds for char in t.strip())] == []


@pytest.mark.skipif(
    unicodedata.unidata_version != RULES_UNICODE, reason=f"needs Unicode {RULES_UNICODE}"
)
def test_table_is_what_its_maker_makes(tmp_path, pytestconfig) -> None:
    maker = (pytestconfig.rootpath / "vocab" / "make_rules.py").read_text(encoding="utf-8")
    copy = tmp_path / "make_rules.py"
    copy.write_text(maker, encoding="utf-8")
    (tmp_path / "kobert_vocab" / "rules").mkdir(parents=True)
    said = subprocess.run([sys.executable, copy], capture_output=True, text=True, check=True)
    assert RULES_SHA256 in said.stdout
