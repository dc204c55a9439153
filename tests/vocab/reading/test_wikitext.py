import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_vocab.reading.wikitext import Namespaces, TangledError, readable

KOREAN = Namespaces().with_name("파일").with_name("분류")


def lines(wikitext):
    return readable(wikitext, KOREAN).split("\n")


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''굵게''' ''기울게'' '''''둘 다'''''", "굵게 기울게 둘 다"),
        ("[[서울]]에서 [[부산 (도시)|부산]]까지", "서울에서 부산까지"),
        ("[[파일:a.jpg|thumb|[[설명]]이다]]글", "글"),
        ("[[File:a.jpg|설명]][[분류:도시]][[Category:City]]글", "글"),
        ("글[[en:Seoul]][[zh-min-nan:Seoul]]", "글"),
        ("[[:분류:도시|도시들]] [[wikt:서울|낱말]]", "도시들 낱말"),
        ("[[스타 트렉: 보이저]]", "스타 트렉: 보이저"),
        ("글 [http://a.example 바깥 글] [http://b.example] http://c.example", "글 바깥 글"),
        ("{{a|{{b|{{c}}}}|[[d]]}}글{{{1|}}}", "글"),
        ("글<ref>출처</ref>은<ref name=a /> 글<!-- 속 <b> -->이다", "글은 글이다"),
        ("글<!-- 끝나지 않는 말", "글"),
        (
            "식 <math>x^2</math> 코드 <code>f(x)</code> <syntaxhighlight>f</syntaxhighlight>",
            "식 코드 f(x)",
        ),
        ("<gallery>\na.jpg|글\n</gallery>\n글", "글"),
        ("a&nbsp;b &amp; c &lt;d&gt; &#44032;", "a b & c <d> 가"),
        ("__목차__ 글 __NOTOC__", "글"),
        ("한 줄<br />둘째<br>셋째", "한 줄 둘째 셋째"),
        ("서울(首爾, {{lang|en|Seoul}})은 ({{a}}) 곳", "서울(首爾)은 곳"),
        ("-{zh-hans:计算机;zh-hant:電腦}--{T|zh:題}--{原}-", "计算机原"),
        ("H<sub>2</sub>O <nowiki>'''그대로'''</nowiki>", "H2O 그대로"),
        ("<ref>끝나지 않는 글", "끝나지 않는 글"),
    ],
)
def test_what_a_reader_sees(wikitext, text):
    assert lines(wikitext) == [text]


def test_tables_go_with_what_is_nested_in_them():
    assert lines("앞\n{| class=a\n! 가 !! 나\n|-\n| {{t|x}} || {|\n| 속\n|}\n|}\n뒤") == [
        "앞",
        "뒤",
    ]


def test_a_table_that_never_ends_leaves_no_rows():
    assert lines("앞\n\n{| class=a\n|-\n| 가 || 나\n\n뒤") == ["앞", "뒤"]


def test_headings_and_paragraphs_are_one_line_each():
    text = "한 문단의\n두 줄.\n\n다음 문단.\n== 제목 [[링크]] ==\n글\n=== 작은 제목 ===\n글"
    assert lines(text) == ["한 문단의 두 줄.", "다음 문단.", "제목 링크", "글", "작은 제목", "글"]


def test_list_items_are_lines():
    assert lines("* 하나\n** 둘\n# 셋\n; 말 : 뜻\n: 들여쓰기\n글") == [
        "하나", "둘", "셋", "말 뜻", "들여쓰기", "글"
    ]  # fmt: skip


def test_headings_with_nothing_under_them_go():
    text = "글\n== 가 ==\n=== 나 ===\n{{각주}}\n== 다 ==\n=== 라 ===\n글\n== 마 ==\n"
    assert lines(text) == ["글", "다", "라", "글"]


@pytest.mark.parametrize(
    "wikitext",
    ["", "{{동음이의}}\n* [[가]]", "가\n{{Disambig}}", "== 각주 ==\n{{각주}}", "[[분류:가]]"],
)
def test_pages_that_say_nothing_have_no_text(wikitext):
    assert readable(wikitext, KOREAN) == ""


TANGLES = [
    "{{a|",
    "[[a|",
    "{|\n",
    "<b>",
    "<ref>",
    "[http://a ",
    "<b a=",
    "[[a|{{b|]]}}",
    "{{a|[[b|<i>",
]


@pytest.mark.parametrize("opening", TANGLES)
def test_markup_that_never_ends_is_refused_at_once(opening):
    start = time.monotonic()
    with pytest.raises(TangledError, match="never close"):
        readable(opening * 20_000, KOREAN)
    assert time.monotonic() - start < 5


def test_a_table_of_too_many_cells_is_refused():
    with pytest.raises(TangledError, match=r"^60,002 cells of tables"):
        readable("{|\n" + "|a||b\n" * 30_000 + "|-\n|}", KOREAN)


@pytest.mark.parametrize("opening", [*TANGLES, "<!--", "*", "''", "== a\n", "&#", "-{", "__a", "("])
def test_no_small_page_takes_long(opening):
    start = time.monotonic()
    try:
        readable(opening * (8_000 // len(opening)), KOREAN)
    except TangledError:
        return
    assert time.monotonic() - start < 5


MARKS = [
    "{{",
    "}}",
    "[[",
    "]]",
    "{|",
    "|}",
    "|",
    "\n",
    "==",
    "*",
    "<ref>",
    "</ref>",
    "<b",
    ">",
    "''",
]
MARKS += ["<!--", "-->", "가", " ", ":", "-{", "}-", "[http://a", "]", "&lt;", "<br>", "__"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(MARKS), max_size=60).map("".join))
def test_any_marks_give_lines_without_control_characters(wikitext):
    found = readable(wikitext, KOREAN)
    assert "\v" not in found
    assert "\f" not in found
    assert all(line and line == line.strip() for line in found.split("\n") if found)
