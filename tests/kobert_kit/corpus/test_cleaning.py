import gzip
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.corpus.cleaning import clean
from kobert_kit.corpus.letters import BLOCKS, letters_of
from kobert_vocab.languages import languages

PROSE = "이 영화는 처음부터 끝까지 눈을 뗄 수 없었다."


def cleaned(text, language="ko"):
    result = clean(f"{PROSE}\n{text}", language)
    assert result.dropped is None
    return result.text.removeprefix(f"{PROSE}\n").removeprefix(PROSE), dict(result.changes)


def test_a_clean_text_comes_back_as_it_is():
    result = clean(PROSE, "ko")
    assert (result.text, result.dropped, dict(result.changes)) == (PROSE, None, {})


@pytest.mark.parametrize("text", ["한국어 문장", "naïve café", "“Très bien”", "größer"])
@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
def test_utf_8_read_as_latin_1_is_mended(text, codec):
    try:
        broken = text.encode().decode(codec)
    except UnicodeDecodeError:
        pytest.skip("the codec has no such byte")
    result, changes = cleaned(broken)
    assert result == text
    assert changes["encoding"] == len(broken) - len(text)


@pytest.mark.parametrize(
    "text", ["Ｋ팝 ﬁne “quoted” ｶﾅ", "Côté naïve É…", "« été »", "&lt;b&gt;", "ÀÉÎ Ü–Ä"]
)
def test_what_is_no_broken_encoding_stays(text):
    assert cleaned(text) == (text, {})


@pytest.mark.parametrize(
    ("dirty", "text", "changes"),
    [
        ("영\u200b화\ufeff\u202e좋다\x00\ue000\ufffd", "영화좋다", {"characters": 6}),
        ("첫째\r\n둘째\u2028셋째\r넷째", "첫째\n둘째\n셋째\n넷째", {"line_ends": 1}),
        ("두  칸\t\u3000셋", "두 칸 셋", {"blanks": 2}),
        ("앞 \n 뒤", "앞\n뒤", {"blanks": 2}),
        ("앞\n\n\n\n뒤", "앞\n\n뒤", {"blanks": 2}),
        ("끝입니다 \n\n", "끝입니다", {"blanks": 3}),
        ("가" + "ㅋ" * 25, "가ㅋㅋㅋ", {"runs": 22}),
        ("가" + "ㅋ" * 19, "가" + "ㅋ" * 19, {}),
        ("می‌خواهم 👨‍👩‍👧", "می‌خواهم 👨‍👩‍👧", {}),
    ],
)
def test_needless_characters_go_and_are_counted(dirty, text, changes):
    assert cleaned(dirty) == (text, changes)


@given(st.integers(0, 30), st.integers(20, 60), st.text(alphabet="가나 ", max_size=30))
def test_a_long_run_is_found_wherever_it_stands(before, length, after):
    text = ("가나다라마" * 6)[:before] + "ㅠ" * length + after
    assert "ㅠ" * 4 not in clean(text + "가나", "ko").text


@pytest.mark.parametrize(
    "line",
    [
        "무단 전재 및 재배포 금지",
        "<저작권자 ⓒ 한빛신문, 무단 전재 및 재배포 금지>",
        "홍길동 기자 hong@example.kr",
        "ⓒ 한빛신문",
        "로그인 | 회원가입 | 고객센터",
        "Read more »",
        "Copyright (C) 2020 Example Corp. All rights reserved.",
        "Please enable JavaScript to view this page.",
        "This website uses cookies to improve your experience.",
        "Skip to main content",
        "版权所有 某某公司",
        "Все права защищены.",
    ],
)
def test_boilerplate_goes_as_a_whole_line_only(line):
    assert cleaned(line) == ("", {"boilerplate": 1})
    sentence = f"그는 말하기를 {line} 이라는 글이 눈에 띄었다고 했다."
    assert cleaned(sentence) == (sentence, {})


@pytest.mark.parametrize(
    "line",
    ["ㅁㄴㅇㄹㅁㄴㅇㄹ", "ㄷㅈㄱㅌㅈ", "asdfasdf", "asdf qwer asdf", "ㅏㅓ헐홍ㅅㄳㄴㄷㅅㄷㄱㅍ"],
)
def test_mash_goes(line):
    assert cleaned(line) == ("", {"mash": 1})


@pytest.mark.parametrize(
    "line",
    [
        "ㅋㅋㅋㅋㅋㅋ",
        "ㅠㅜㅠ ㅎㄷㄷ",
        "ㅇㅇ ㄱㄱ ㅆㄹㄱ",
        "ㅋㅋㅋㅋㅋㅅㅂ",
        "재 ㅁㅣㅆ음",
        "ㅂㄷㅂㄷ",
        "ㅇㅅㅇ",
        "asdf is a manager",
        "대박ㅋㅋㅋㅋㅋㅋㅋㅋㅋ",
    ],
)
def test_what_people_type_on_purpose_stays(line):
    assert cleaned(line) == (line, {})


def test_second_copies_of_long_lines_go_in_long_documents():
    menu = "처음 소식 자료 사람 모임 연락 안내"
    lines = [
        menu,
        *(f"{n}째 {n}줄에는 {n * 7}마리 새가" for n in range(20)),
        menu,
        "짧다",
        "짧다",
    ]
    result = clean("\n".join(lines), "ko")
    assert result.text.split("\n") == [*lines[:-3], "짧다", "짧다"]
    assert result.changes == {"copies": 1}
    short = "\n".join([menu, PROSE, PROSE + " 다른 말", "셋째 줄에는 또 다른 긴 말이 있다", menu])
    assert clean(short, "ko").text == short


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "short"),
        ("7.8점", "short"),
        ("!!!", "short"),
        ("가격 12,300 " + "1,234 5,678 90 " * 10, "symbols"),
        ("The whole review is in English.", "language"),
        ("Это русский текст.", "language"),
        ("굿 잡 맨 " * 40, "repetitive"),
        (f"{PROSE} 그리고 또 보고 싶다.\n" * 10, "repetitive"),
    ],
)
def test_documents_are_dropped_for_their_reason(text, reason):
    result = clean(text, "ko")
    assert (result.text, result.dropped) == ("", reason)


@pytest.mark.parametrize(
    "text",
    [
        "최고",
        "굿 최고!!!!!!!!!!!!!!!!!!",
        "__declspec(dllimport) 키워드와 CString::Format 함수를 사용",
        "大韓民國 憲法",
        unicodedata.normalize("NFD", PROSE),
        unicodedata.normalize("NFD", "가 나"),
    ],
)
def test_korean_of_every_kind_stays(text):
    assert clean(text, "ko").text == text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('密码是"Muiriel"。', "zh-Hans"),
        ("Ово је текст", "sr"),
        ("Ovo je tekst", "sr"),
        ("any letters at all", "und"),
        ("12345 тест", "ru"),
    ],
)
def test_each_language_has_its_own_letters(text, language):
    assert clean(text, language).dropped is None


def test_every_script_of_the_table_has_letters():
    assert {language.script for language in languages().values()} == BLOCKS.keys()
    assert letters_of("und") is None


@given(st.text(), st.sampled_from(["ko", "en", "und"]))
def test_any_text_can_be_cleaned_and_then_is_clean(text, language):
    first = clean(text, language)
    assert (first.text == "") == (first.dropped is not None)
    if first.dropped is None:
        second = clean(first.text, language)
        assert not {"line_ends", "characters", "blanks"} & second.changes.keys()


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "most"),
    [("wikinews", 0), ("fairytales", 0), ("dialogue_chatbot", 0), ("techdocs_cpp", 0.006)],
)
def test_nearly_nothing_of_clean_corpora_is_dropped(corpora, name, most):
    with gzip.open(corpora / "ko" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        results = [clean(json.loads(line)["text"], "ko") for line in file]
    assert sum(result.dropped is not None for result in results) <= most * len(results)
