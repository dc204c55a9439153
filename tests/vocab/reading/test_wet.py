import gzip
import tracemalloc

import pytest

import kobert_vocab.reading.wet
from kobert_vocab import InputError, find_sources

URL = "http://a.example/"


@pytest.fixture
def records(make_record):
    return [
        make_record("Software-Info: x\r\n", "warcinfo", Type="warcinfo"),
        make_record("첫 쪽\n둘째 줄", Target_URI=URL, Identified_Content_Language="kor,eng"),
        make_record("GET / HTTP/1.1", "request"),
        make_record("Deuxième page", Target_URI=URL + "2", Identified_Content_Language="fra"),
        make_record("한국어로 쓴 쪽"),
        make_record("tlh page", Identified_Content_Language="tlh"),
    ]


EXPECTED = [
    ("첫 쪽\n둘째 줄", "ko", 2, URL),
    ("Deuxième page", "fr", 4, URL + "2"),
    ("한국어로 쓴 쪽", "ko", 5, ""),
    ("tlh page", "und", 6, ""),
]


@pytest.mark.parametrize("name", ["a.warc.wet", "a.warc.wet.gz", "a.wet.gz", "a.wet.bz2"])
def test_documents_are_conversion_records(save, documents, records, name):
    found = documents(save(name, b"".join(records)))
    assert [(d.text, d.language, d.line, d.title) for d in found] == EXPECTED


def test_an_archive_packed_record_by_record(write, documents, records):
    path = write("a.warc.wet.gz", b"".join(map(gzip.compress, records)))
    assert [d.text for d in documents(path)] == [text for text, *_ in EXPECTED]


def test_a_tag_goes_before_the_records_languages(save, documents, records):
    found = documents(f"de={save('a.wet', b''.join(records))}")
    assert {document.language for document in found} == {"de"}


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (
            b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: x\r\n\r\nabc\r\n\r\n",
            "broken record",
        ),
        (b"WARC/1.0\r\nWARC-Type: conversion\r\n\r\nabc\r\n\r\n", "broken record"),
        (b"WARC/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc\r\n\r\n", "line too long"),
        (b"WARC/1.0\r\nContent-Length: 99999999999\r\n\r\nabc\r\n\r\n", "line too long"),
        (
            b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 3\r\n"
            + b"X: y\r\n" * 20_000
            + b"\r\nabc\r\n\r\n",
            "broken record",
        ),
        (b"scattered bytes\r\n\r\n", "broken record"),
    ],
)
def test_a_broken_record_costs_itself_alone(save, salvage, make_record, broken, kind):
    path = save("ko.wet", make_record("first") + broken + make_record("last"))
    assert salvage(path) == (["first", "last"], {kind: 1})


def test_a_length_too_large_does_not_swallow_the_next_record(save, salvage, make_record):
    first = make_record("short", length=200)
    path = save("ko.wet", first + make_record("second", Target_URI=URL) + make_record("third"))
    assert salvage(path) == (["second", "third"], {"broken record": 1})


def test_a_length_too_small_loses_the_rest_of_the_text(save, salvage, make_record):
    path = save("ko.wet", make_record("a page", length=1) + make_record("last"))
    assert salvage(path) == (["a", "last"], {"broken record": 1})


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\xff\xfe page", "not UTF-8"), (b"a\0page", "NUL bytes")]
)
def test_a_record_that_is_no_text(save, salvage, make_record, content, kind):
    path = save("ko.wet", make_record("first") + make_record(content) + make_record("last"))
    assert salvage(path) == (["first", "last"], {kind: 1})


def test_a_cut_archive(save, salvage, make_record):
    path = save("ko.wet", (make_record("first") + make_record("last one"))[:-9])
    assert salvage(path) == (["first"], {"broken record": 1})
    packed = save("en.wet.gz", make_record("first") + make_record("last one"))
    packed.write_bytes(packed.read_bytes()[:-12])
    texts, counts = salvage(packed)
    assert counts == {"broken archive": 1}
    assert texts == ["first"] or texts == ["first", "last one"]


def test_the_error_names_the_record(save, documents, make_record):
    path = save("ko.wet", make_record("first") + make_record(b"\xff"))
    with pytest.raises(InputError, match=r"ko\.wet: record 2: not UTF-8"):
        documents(path)


def test_a_long_record_is_skipped_in_bounded_memory(save, salvage, make_record, monkeypatch):
    monkeypatch.setattr(kobert_vocab.reading.wet, "LONGEST_LINE", 1 << 20)
    long = make_record("x" * (100 << 20))
    path = save("ko.wet.gz", make_record("first") + long + make_record("last"))
    del long
    tracemalloc.start()
    found = salvage(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == (["first", "last"], {"line too long": 1})
    assert peak < 10 << 20


def test_something_else_is_no_archive(save, documents):
    with pytest.raises(InputError, match="no record begins here"):
        documents(save("ko.wet", "plain text\n"))


def test_without_the_package(save, monkeypatch, make_record):
    monkeypatch.setitem(__import__("sys").modules, "warcio.statusandheaders", None)
    monkeypatch.setitem(__import__("sys").modules, "warcio", None)
    with pytest.raises(InputError, match=r"^this needs warcio.*: pip install 'kobert-kit\[web\]'$"):
        find_sources([save("a.wet", make_record("x"))])
