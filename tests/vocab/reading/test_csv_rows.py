import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kobert_vocab.reading.csv_rows
from kobert_vocab import InputError, Source
from kobert_vocab.reading import find_sources, read_documents

PACKINGS = ["", ".gz", ".bz2", ".zst"]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(("kind", "comma"), [(".csv", ","), (".tsv", "\t")])
def test_documents_are_rows_with_the_line_where_they_begin(save, documents, kind, comma, packing):
    content = '\ufeffid,text,title\r\n1,"두 줄\n""글""",하나\r\n\r\n2,,\r\n3,끝\r\n'
    found = documents(save(f"ko{kind}{packing}", content.replace(",", comma)))
    assert [(d.text, d.line, d.title) for d in found] == [('두 줄\n"글"', 2, "하나"), ("끝", 6, "")]


# NUL and a lone carriage return are no part of a line of text.
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))))
def test_any_text_comes_back(tmp_path_factory, texts):
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([["text", "n"], *([text, "1"] for text in texts), ["last", "1"]])
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_text(file.getvalue(), encoding="utf-8", newline="")
    found = [document.text for document in read_documents(Source(path=path, language="ko"))]
    assert found == [*(text for text in texts if text.strip()), "last"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "id,body\n1,x\n",
            r"ko\.csv:1: no column 'text' in the header; found 'id', 'body'; rename",
        ),
        ('text\n"a"b\n', r"ko\.csv:2: not CSV \(.*\); a field with quotes"),
        ('text\nx\n"a\nb\n', r"ko\.csv:3: not CSV \(unexpected end"),
        ("id,text\n1\n", r"ko\.csv:2: only 1 fields, none 'text'"),
        ('"text\n', r"ko\.csv:1: not CSV"),
    ],
)
def test_unusable(write, documents, content, message):
    with pytest.raises(InputError, match=message):
        documents(write("ko.csv", content))


@pytest.mark.parametrize(
    ("bad", "kind"),
    [('"a"b', "not CSV"), ("", None), ("\xff", "not UTF-8"), ('"x\n\0\ny"', "NUL bytes")],
)
def test_a_bad_row_is_left_out(write, salvage, bad, kind):
    content = ("text\nfirst\n" + bad + "\nlast\n").encode("latin-1")
    assert salvage(write("ko.csv", content)) == (["first", "last"], {kind: 1} if kind else {})


def test_a_row_that_lost_a_line_is_left_out(write, salvage):
    content = b'text\nfirst\n"one\n\xff\nthree"\nlast\n'
    assert salvage(write("ko.csv", content)) == (["first", "last"], {"not UTF-8": 1})


def test_a_quote_that_never_ends_stops_at_the_limit(write, salvage, monkeypatch):
    monkeypatch.setattr(kobert_vocab.reading.csv_rows, "LONGEST_FIELD", 1000)
    before = csv.field_size_limit()
    texts, counts = salvage(write("ko.csv", 'text\nfirst\n"' + "x" * 60 + "\ny" * 9999 + "\n"))
    assert texts[0] == "first"
    assert counts == {"not CSV": 1}
    assert csv.field_size_limit() == before


def test_fields_longer_than_the_limit_of_the_csv_module(write, documents):
    (document,) = documents(write("ko.csv", "text\n" + "x" * 200_000 + "\n"))
    assert len(document.text) == 200_000


def test_of_a_folder_only_tables_with_text_are_read(save, tmp_path):
    save("ko.csv", "id,text\n1,글이다\n")
    save("INDEX.tsv", "key\tbytes\nko\t9\n")
    save("empty.csv", "")
    assert [source.path.name for source in find_sources([tmp_path])] == ["ko.csv"]
    with pytest.raises(InputError, match="no column 'text'"):
        list(read_documents(find_sources([tmp_path / "INDEX.tsv"])[0]))
