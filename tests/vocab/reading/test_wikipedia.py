import bz2
import tracemalloc

import pytest

import kobert_vocab.reading.lines
import kobert_vocab.reading.wikipedia
from kobert_vocab import InputError, find_sources

PAGES = [
    ("서울", "'''서울'''은 [[대한민국]]의 수도다.\n[[파일:서울.jpg|thumb|사진]]\n[[분류:도시]]"),
    ("서울시", "#넘겨주기 [[서울]]", 0, "서울"),
    ("사용자:누구", "나의 쪽", 2),
    ("모듈", "return {}", 0, None, "Scribunto"),
    ("배", "{{동음이의}}\n배는 다음을 뜻한다.\n* [[배 (과일)]]"),
    ("빈 글", "{{토막글}}\n== 각주 ==\n{{각주}}"),
    ("C++ & <x>", "C++는 언어다. a &lt; b &amp;lt; c"),
]
FOUND = [
    ("서울", "서울은 대한민국의 수도다.", 10),
    ("C++ & <x>", "C++는 언어다. a < b &lt; c", 70),
]
NAME = "kowiki-20240101-pages-articles.xml"


@pytest.mark.parametrize("packing", ["", ".gz", ".bz2", ".zst"])
def test_documents_are_articles(save, documents, make_dump, packing):
    path = save(NAME + packing, make_dump(*PAGES))
    found = documents(path)
    assert [(d.title, d.text, d.line) for d in found] == FOUND
    assert {(d.language, d.path) for d in found} == {("ko", path)}


def test_an_archive_of_several_streams(write, documents, make_dump):
    content = make_dump(*PAGES).encode()
    parts = [content[at : at + 100] for at in range(0, len(content), 100)]
    path = write("kowiki-1-pages-articles-multistream.xml.bz2", b"".join(map(bz2.compress, parts)))
    assert [d.title for d in documents(path)] == ["서울", "C++ & <x>"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "enwiki",
            "'''Seoul''' is a [[city]] of [[South Korea|Korea]].",
            "Seoul is a city of Korea.",
        ),
        ("jawiki", "'''[[東京]]'''は[[日本]]の[[首都|都]]。", "東京は日本の都。"),
        ("zhwiki", "-{zh-hans:计算机; zh-hant:電腦;}-是[[机器]]。", "计算机是机器。"),
        ("arwiki", "'''سيول''' هي [[عاصمة]] البلاد.", "سيول هي عاصمة البلاد."),
    ],
)
def test_languages(save, documents, make_dump, name, text, expected):
    (document,) = documents(save(f"{name}-1-pages-articles.xml", make_dump(("a", text))))
    assert document.text == expected


def test_in_a_folder_only_dumps_are_taken(save, make_dump):
    folder = save(NAME, make_dump(*PAGES)).parent
    save("settings.xml", "<settings/>")
    assert [source.path.name for source in find_sources([folder])] == [NAME]


def test_a_dump_cut_off_within_a_page(save, salvage, documents, make_dump):
    pages = [(f"쪽 {number}", f"이것은 {number}번 글이다.") for number in range(50)]
    content = make_dump(*pages)
    path = save(NAME, content[: content.index("이것은 40번")])
    texts, counts = salvage(path)
    assert texts == [text for _, text in pages[:40]]
    assert counts == {"broken dump": 1}
    with pytest.raises(InputError, match=r"broken dump after page 400: .*; fetch it again$"):
        documents(path)


def test_pages_before_a_fault_in_the_xml_are_kept(save, salvage, make_dump):
    content = make_dump(*PAGES).replace("</mediawiki>", "<page></text></page></mediawiki>")
    assert salvage(save(NAME, content)) == ([text for _, text, _ in FOUND], {"broken dump": 1})


def test_a_packed_dump_cut_off(save, salvage, make_dump):
    pages = [(f"쪽 {number}", f"{number**999} 글이다.") for number in range(2, 2000)]
    path = save(NAME + ".bz2", make_dump(*pages))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    texts, counts = salvage(path)
    assert texts == [text for _, text in pages[: len(texts)]]
    assert len(texts) > 100
    assert counts == {"broken archive": 1}


BOMB = """<?xml version="1.0"?><!DOCTYPE mediawiki [<!ENTITY a "xxxxxxxxxx">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><mediawiki><page>&b;</page></mediawiki>"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "declares a document type"),
        ("<mediawiki>" + "<a>" * 99, "more than 16 elements in one another"),
        ("<html></html>", "<html> where <mediawiki> should be"),
        ("plain", "syntax error"),
        ("", "no element found"),
        ("<mediawiki><page></mediawiki>", "mismatched tag"),
        ("<mediawiki>&nbsp;</mediawiki>", "undefined entity"),
    ],
)
def test_what_is_no_dump(save, salvage, documents, content, message):
    path = save(NAME, content)
    with pytest.raises(InputError, match=f"broken dump after page 0: .*{message}"):
        documents(path)
    assert salvage(path) == ([], {"broken dump": 1, "no text": 1})


@pytest.mark.parametrize("long", ['<a b="{}"/>', "<!--{}-->", "<{}/>"])
def test_an_endless_tag_is_held_up_to_the_limit(save, salvage, monkeypatch, long):
    monkeypatch.setattr(kobert_vocab.reading.wikipedia, "LONGEST_LINE", 1 << 20)
    path = save(NAME + ".gz", "<mediawiki>" + long.format("x" * (50 << 20)))
    tracemalloc.start()
    found = salvage(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ([], {"broken dump": 1, "no text": 1})
    assert peak < 30 << 20


def test_a_page_longer_than_any_is_left_out_in_bounded_memory(
    save, salvage, make_dump, monkeypatch
):
    monkeypatch.setattr(kobert_vocab.reading.wikipedia, "LONGEST_PAGE", 1000)
    pages = [("가", "첫 글"), ("나", "x" * (30 << 20)), ("다", "끝 글")]
    path = save(NAME + ".gz", make_dump(*pages))
    tracemalloc.start()
    found = salvage(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == (["첫 글", "끝 글"], {"page too long": 1})
    assert peak < 10 << 20


def test_a_page_that_would_take_minutes_is_left_out(save, salvage, make_dump):
    path = save(NAME, make_dump(("가", "첫 글"), ("나", "{{a|" * 50_000), ("다", "끝 글")))
    assert salvage(path) == (["첫 글", "끝 글"], {"tangled page": 1})


def test_without_the_package(save, monkeypatch, make_dump):
    monkeypatch.setitem(__import__("sys").modules, "mwparserfromhell", None)
    path = save("x-pages-articles.xml", make_dump(*PAGES))
    message = r"^this needs mwparserfromhell: pip install 'kobert-kit\[web\]'$"
    with pytest.raises(InputError, match=message):
        find_sources([path])
