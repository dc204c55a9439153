import bz2
import gzip
import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from tqdm import tqdm

import kobert_vocab.reading.lines
import kobert_vocab.reading.texts
from kobert_vocab import InputError, Source, find_sources, read_all

Write = Callable[[str, str | bytes], Path]


def texts(path: Path) -> list[str]:
    return [document.text for document in read_all(find_sources([path]), "reading")]


def test_txt_documents_are_blank_separated(write: Write) -> None:
    path = write("a.txt", "\ufeff가\n나\r\n\n  \n다\n")
    documents = list(read_all(find_sources([path]), "reading"))
    assert [(d.text, d.line) for d in documents] == [("가\n나", 1), ("다", 5)]
    assert {d.path for d in documents} == {path}


def test_jsonl_documents(write: Write) -> None:
    path = write("a.jsonl", '{"text": "가\\n나", "id": 1}\n\n{"text": "다"}\n{"text": " "}')
    assert texts(path) == ["가\n나", "다"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("kind", [".txt", ".jsonl"])
def test_packings(write: Write, kind: str, suffix: str) -> None:
    content = ("가나다" if kind == ".txt" else json.dumps({"text": "가나다"})).encode()
    packs = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd.compress}
    pack = packs[suffix]
    assert texts(write(f"a{kind}{suffix}", pack(content))) == ["가나다"]


def test_archives_of_several_frames_are_read_whole(write: Write) -> None:
    assert texts(write("a.txt.gz", gzip.compress(b"a\n\n") + gzip.compress(b"b"))) == ["a", "b"]
    two = bz2.compress(b"a\n\n") + bz2.compress(b"b")
    assert texts(write("a.txt.bz2", two)) == ["a", "b"]
    two = zstd.compress(b"a\n\n") + zstd.compress(b"b")
    assert texts(write("a.txt.zst", two)) == ["a", "b"]


def test_a_text_without_blank_lines_is_cut(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kobert_vocab.reading.texts, "LONGEST_DOCUMENT", 4)
    assert texts(write("a.txt", "가나\n다라\n마")) == ["가나\n다라", "마"]


def test_languages_come_from_tag_then_name_then_folder_then_text(
    write: Write, tmp_path: Path
) -> None:
    write("all/ko/news.txt", "abc")
    write("all/de.txt", "가")
    write("all/x.txt", "학교에 간다")
    write("all/y.txt", "go to school")
    found = {s.path.name: s.language for s in find_sources([tmp_path / "all"])}
    assert found == {"news.txt": "ko", "de.txt": "de", "x.txt": "ko", "y.txt": "und"}
    assert {s.language for s in find_sources([f"fra={tmp_path / 'all'}"])} == {"fr"}


def test_files_of_a_folder_are_sorted_and_others_skipped(write: Write, tmp_path: Path) -> None:
    for name in ("b.txt", "a.jsonl", "README.md", "sub/c.txt.gz"):
        write(f"d/{name}", "x")
    names = [
        s.path.relative_to(tmp_path / "d").as_posix()
        for s in find_sources(["ko=" + str(tmp_path / "d")])
    ]
    assert names == ["a.jsonl", "b.txt", "sub/c.txt.gz"]


def test_an_equals_sign_in_a_path_is_no_tag(write: Write) -> None:
    path = write("a=b/c=d.txt", "x")
    assert find_sources([path]) == [Source(path=path, language="und", guessed=True)]


def test_the_bar_ends_at_the_packed_bytes(write: Write, bars: list[tqdm]) -> None:
    one = write("a.jsonl.gz", gzip.compress(b'{"text": "abc"}\n' * 9999))
    two = write("b.txt", "abc\n\ndef\n")
    list(read_all(find_sources([one, two]), "reading"))
    assert [(bar.n, bar.total) for bar in bars] == [(one.stat().st_size + 9,) * 2]


def test_reading_text_imports_neither_torch_nor_the_hub_extra() -> None:
    program = (
        "import sys, kobert_vocab.reading\n"
        "lazy = {'torch', 'pyarrow', 'datasets', 'huggingface_hub', 'mwparserfromhell', 'warcio'}\n"
        "print(lazy & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "set()\n"


class TestUnusable:
    @pytest.mark.parametrize("given", ["nothing", "ko=nothing", "nothing/at/all.txt"])
    def test_missing_path(self, given: str) -> None:
        with pytest.raises(InputError, match=r"nothing.*: no such file or folder"):
            find_sources([given])

    @pytest.mark.parametrize("given", ["owner/nothing", "wikipedia", "ko=owner/nothing"])
    def test_a_hub_data_set_without_its_config(self, given: str) -> None:
        with pytest.raises(InputError, match=r"no such file.* is named OWNER/NAME:CONFIG, such as"):
            find_sources([given])

    @pytest.mark.parametrize("given", ["nothing.txt", "a/nothing.txt", "a/b/nothing", "/nothing"])
    def test_what_cannot_be_a_hub_data_set_gets_no_advice_on_it(self, given: str) -> None:
        with pytest.raises(InputError, match=r"nothing[.tx]*: no such file or folder$"):
            find_sources([given])

    def test_no_input(self) -> None:
        with pytest.raises(InputError, match="no input given"):
            find_sources([])

    def test_folder_without_text(self, write: Write) -> None:
        folder = write("d/a.md", "x").parent
        with pytest.raises(InputError, match=r"no text in this folder; looked for \.txt"):
            find_sources([folder])

    def test_unknown_suffix(self, write: Write) -> None:
        with pytest.raises(InputError, match=r"a\.pdf: not a kind of file I can read"):
            find_sources([write("a.pdf", "x")])

    def test_unknown_tag(self, write: Write) -> None:
        with pytest.raises(InputError, match="'xx' is not a language code"):
            find_sources([f"xx={write('a.txt', 'x')}"])

    @pytest.mark.parametrize("content", ["", "\n \n\n"])
    def test_empty_file(self, write: Write, content: str) -> None:
        path = write("ko.txt", content)
        with pytest.raises(InputError, match=r"ko\.txt: no text in this file"):
            texts(path)

    def test_nul_bytes(self, write: Write) -> None:
        with pytest.raises(InputError, match=r"ko\.txt:2: NUL bytes"):
            texts(write("ko.txt", b"a\nb\0c\n"))

    # A gzip header holds the time: without ids of their own the tests would have other names each
    # second, which pytest-xdist refuses.
    @pytest.mark.parametrize(
        "broken",
        [gzip.compress(b"a" * 99)[:-9], b"\x1f\x8bnot gzip", b"text"],
        ids=["cut off", "only a header", "text"],
    )
    def test_broken_gzip(self, write: Write, broken: bytes) -> None:
        with pytest.raises(InputError, match="broken archive after line"):
            texts(write("ko.txt.gz", broken))

    @pytest.mark.parametrize(
        "broken", [bz2.compress(b"a" * 99)[:-3], b"text", bz2.compress(b"a") + b"text"]
    )
    def test_broken_bz2(self, write: Write, broken: bytes) -> None:
        with pytest.raises(InputError, match="broken archive"):
            texts(write("ko.txt.bz2", broken))

    @pytest.mark.parametrize("broken", [zstd.compress(b"a" * 99)[:-3], b"text"])
    def test_broken_zst(self, write: Write, broken: bytes) -> None:
        with pytest.raises(InputError, match="broken archive"):
            texts(write("ko.txt.zst", broken))

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"body": "x", "id": 1}', r"no field \"text\" with a string; found 'body', 'id'"),
            ('{"text": 5}', "no field"),
            ('["text"]', "found list"),
            ("{text}", "not JSON"),
            ('{"text": "\\ud800"}', "surrogate"),
            ("[" * 100_000, "not JSON"),
        ],
    )
    def test_json_line_without_text(self, write: Write, line: str, message: str) -> None:
        path = write("ko.jsonl", '{"text": "ok"}\n' + line)
        with pytest.raises(InputError, match=rf"ko\.jsonl:2: .*{message}"):
            texts(path)

    def test_endless_line(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kobert_vocab.reading.lines, "LONGEST_LINE", 10)
        with pytest.raises(InputError, match=r"ko\.txt:1: a line of more than"):
            texts(write("ko.txt", "가" * 100))


def test_decomposed_file_names_are_found(tmp_path: Path) -> None:
    path = tmp_path / unicodedata.normalize("NFD", "한국어.txt")
    path.write_text("학교", encoding="utf-8")
    assert [s.path for s in find_sources([tmp_path])] == [path]
