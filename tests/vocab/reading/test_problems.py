import bz2
import gzip
import json
import random
import time
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

import kobert_vocab.reading.lines
from kobert_vocab import InputError, Problems, find_sources, read_all
from kobert_vocab.reading.problems import SHOWN, report_to

ROW = '{"text": "학교에 간다"}\n'
GOOD = "학교에 간다"


def noise(size):
    """Text that no packing makes short, so that a cut falls between blocks."""
    draw = random.Random(0)
    return "".join(f"{draw.getrandbits(200):x}\n\n" for _ in range(size // 52))


def test_only_the_first_messages_of_a_kind_are_kept():
    problems = Problems()
    for number in range(SHOWN + 3):
        problems.add("not JSON", f"a:{number}")
    assert problems.counts == {"not JSON": SHOWN + 3}
    assert problems.messages == {"not JSON": [f"a:{n}" for n in range(SHOWN)]}


def test_without_a_collector_the_first_fault_is_an_error():
    with pytest.raises(InputError, match=r"^a:1: bad$"):
        report_to(None)("not JSON", "a:1: bad")


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
def test_of_a_cut_archive_what_came_before_is_kept(save, salvage, packing):
    text = noise(3 << 20)
    path = save("ko.txt" + packing, text)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    texts, counts = salvage(path)
    assert counts == {"broken archive": 1}
    assert texts == text.split("\n\n")[: len(texts)]
    assert len(texts) > 100


@pytest.mark.parametrize(
    ("packing", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zstd.compress)]
)
def test_of_an_archive_broken_in_the_middle_what_came_before_is_kept(write, salvage, packing, pack):
    path = write("ko.jsonl" + packing, pack(ROW.encode() * 9) + b"no archive" * 9 + pack(b"{}"))
    assert salvage(path) == ([GOOD] * 9, {"broken archive": 1})


def test_the_message_of_a_broken_archive_says_after_which_line(write, documents):
    problems = Problems()
    documents(write("ko.jsonl.gz", gzip.compress(ROW.encode() * 9)[:-4]), problems=problems)
    (message,) = problems.messages["broken archive"]
    assert message.endswith("fetch or pack it again")
    assert "ko.jsonl.gz: broken archive after line 9 " in message


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_reading_goes_on_after_a_line_that_is_too_long(save, salvage, packing, monkeypatch):
    monkeypatch.setattr(kobert_vocab.reading.lines, "LONGEST_LINE", 1 << 20)
    long = json.dumps({"text": "x" * (3 << 20)}) + "\n"
    path = save("ko.jsonl" + packing, ROW + long + ROW + long)
    assert salvage(path) == ([GOOD, GOOD], {"line too long": 2})


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
def test_a_zip_bomb_costs_no_memory(write, salvage, packing, monkeypatch):
    monkeypatch.setattr(kobert_vocab.reading.lines, "LONGEST_LINE", 4 << 20)
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd.compress}[packing]
    path = write("ko.txt" + packing, pack(b" " * (200 << 20) + b"\nafter"))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    found = salvage(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == (["after"], {"line too long": 1})
    assert peak < 30 << 20


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"text": "x", "n": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"body": "x"}', "no text field"),
        (b'{"text": 5}', "no text field"),
        (b"[]", "no text field"),
        (b'{"text": "\\ud800"}', "broken encoding"),
        (b'{"text": "\xff\xff"}', "not UTF-8"),
        (b'{"text": "\0"}', "NUL bytes"),
    ],
)
def test_a_bad_line_of_json_is_left_out(write, salvage, line, kind):
    row = ROW.encode()
    path = write("ko.jsonl", row + line + b"\n" + row + line + b"\n" + row)
    assert salvage(path) == ([GOOD] * 3, {kind: 2})


@pytest.mark.parametrize("before", [0, 1, 40_000])
def test_only_lines_that_are_not_utf_8_are_left_out(write, salvage, before):
    good = "하지만 학교에 간다\n\n"
    path = write("ko.txt", (good * before).encode() + b"\xea\xb0 x\n\n" + good.encode() + b"\xff")
    assert salvage(path) == ([good.strip()] * (before + 1), {"not UTF-8": 2})


@pytest.mark.parametrize("encoding", ["cp949", "utf-16-le", "utf-16-be"])
def test_in_other_encodings_too(write, salvage, encoding):
    good = "하지만 학교에서 기다리는 사람은 있다\n\n"
    broken = {"utf-16-le": b"\x00\xd8", "utf-16-be": b"\xd8\x00"}.get(encoding, b"\xff\xff")
    content = (good * 9).encode(encoding) + broken + "\n".encode(encoding) + good.encode(encoding)
    assert salvage(write("ko.txt", content)) == ([good.strip()] * 10, {"broken encoding": 1})


def test_the_first_message_names_the_encoding_and_the_others_the_line(write, documents):
    problems = Problems()
    line = "Каждый день мы ходим в школу\n".encode("cp1251")
    documents(write("ru.txt", b"ok\n" + line + b"ok\n" + line), problems=problems)
    first, second = problems.messages["not UTF-8"]
    assert "ru.txt:2: not UTF-8; it looks like CP1251: convert it with: iconv" in first
    assert second.endswith("ru.txt:4: not UTF-8")


def test_garbage_takes_no_time(write, salvage):
    start = time.monotonic()
    texts, counts = salvage(write("ko.txt", b"\xff\n" * 300_000 + b"\xfe" * 500_000 + b"\nok\n"))
    assert texts == ["ok"]
    assert counts == {"not UTF-8": 300_001}
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("name", ["ko.txt", "ko.jsonl.gz", "ko.csv", "ko.wet", "ko.txt.bz2"])
def test_an_empty_file_is_counted(save, salvage, name):
    assert salvage(save(name, "")) == ([], {"no text": 1})


def test_an_empty_file_among_others_is_counted_once(write, salvage):
    write("d/ko.txt", "")
    folder = write("d/en.txt", "text").parent
    assert salvage(folder) == (["text"], {"no text": 1})


def test_faults_before_the_first_document_do_not_stop_the_search_for_sources(write, salvage):
    path = write("news.jsonl", "{\n" + ROW)
    assert salvage(path) == ([GOOD], {"not JSON": 1})
    assert [source.language for source in find_sources([path])] == ["ko"]


@pytest.mark.parametrize("name", ["nothing.txt", "a.pdf"])
def test_what_is_no_content_still_raises(write, documents, name):
    write("a.pdf", "x")
    with pytest.raises(InputError):
        documents(write("a.txt", "x").parent / name, problems=Problems())


def test_of_a_parquet_file_only_the_broken_row_group_is_lost(tmp_path, salvage):
    path = tmp_path / "ko.parquet"
    texts = [f"{GOOD} {row}" for row in range(30)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=10, use_dictionary=False)
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"\xff" * 60 + content[start + 60 :])
    assert salvage(path) == (texts[:10] + texts[20:], {"broken table": 1})
    with pytest.raises(InputError, match=r"broken .* in row group 2"):
        list(read_all(find_sources([path]), "reading"))


def test_a_cut_parquet_file_is_counted(tmp_path, salvage):
    path = tmp_path / "ko.parquet"
    pq.write_table(pa.table({"text": [GOOD]}), path)
    path.write_bytes(path.read_bytes()[:-9])
    assert salvage(path) == ([], {"broken table": 1, "no text": 1})


def test_rows_of_a_table_that_are_no_text_are_counted(tmp_path, salvage, monkeypatch):
    monkeypatch.setattr("kobert_vocab.reading.tables.LONGEST_LINE", 6)
    path = tmp_path / "ko.parquet"
    pq.write_table(pa.table({"text": [GOOD, "1234567", None, GOOD]}), path)
    assert salvage(path) == ([GOOD, GOOD], {"line too long": 1})


class TestLanguageOfARow:
    @pytest.mark.parametrize("field", ["language", "lang"])
    def test_it_goes_before_a_guess(self, write, documents, field):
        rows = [("한국 사람", "en"), ("kurz", "deu"), ("한국 사람", None), ("x", "UND")]
        content = "".join(json.dumps({"text": t, field: code}) + "\n" for t, code in rows)
        found = documents(write("rows.jsonl", content))
        assert [document.language for document in found] == ["en", "de", "ko", "und"]

    @pytest.mark.parametrize("given", ["fr={}/rows.jsonl", "{}/fr.jsonl"])
    def test_it_goes_behind_a_tag_and_a_name(self, write, tmp_path, documents, given):
        for name in ("rows.jsonl", "fr.jsonl"):
            write(name, '{"text": "x", "language": "en"}\n{"text": "y", "language": "??"}\n')
        found = documents(given.format(tmp_path))
        assert [document.language for document in found] == ["fr", "fr"]

    def test_an_unknown_one_is_a_fault_and_the_text_is_kept(self, write, documents):
        path = write("rows.jsonl", '{"text": "한국", "language": "korean"}\n')
        problems = Problems()
        (document,) = documents(path, problems=problems)
        assert (document.language, problems.counts) == ("und", {"unknown language": 1})
        with pytest.raises(InputError, match=r"rows\.jsonl:1: 'korean' is not a language code"):
            documents(path)

    def test_of_tables_too(self, tmp_path, write, documents):
        pq.write_table(pa.table({"text": ["x"], "lang": ["ja"]}), tmp_path / "rows.parquet")
        path = write("rows.csv", "language,text\njpn,x\n")
        assert [d.language for d in documents(tmp_path / "rows.parquet", path)] == ["ja", "ja"]


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"title": "제목"}, "제목"),
        ({"url": "http://a.example/"}, "http://a.example/"),
        ({"title": "제목", "url": "http://a.example/"}, "제목"),
        ({"title": " 두\n줄 "}, "두 줄"),
        ({"title": 5}, ""),
        ({"title": "x" * 9999}, "x" * 200),
        ({"title": "\ud800"}, "?"),
        ({}, ""),
    ],
)
def test_the_title_of_a_row(write, documents, fields, title):
    (document,) = documents(write("ko.jsonl", json.dumps({"text": "x", **fields})))
    assert document.title == title
