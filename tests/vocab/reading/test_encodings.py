import gzip
import io
import json
import logging
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import kobert_vocab.reading.lines
import kobert_vocab.reading.packing
from kobert_vocab import InputError, find_sources, read_all
from kobert_vocab.reading.encodings import find_encoding
from kobert_vocab.reading.lines import read_lines

Write = Callable[[str, str | bytes], Path]

KOREAN = "나는 오늘 학교에 갔다. 똠방각하를 도서관에서 읽고 친구들과 이야기했다!\r\nOK 123\n"
WORDS = (
    "학교에서",
    "하지만",
    "사람은",
    "그리고",
    "있다.",
    "기다리는",
    "시장을",
    "ABC",
    "12%",
    "\r\n",
)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
KOREAN_TEXT = st.lists(st.sampled_from(WORDS), min_size=1).map(" ".join)
BLOCKS = st.integers(1, 20)


def lines(content: bytes, block: int = 1 << 17) -> list[str]:
    with patch.object(kobert_vocab.reading.packing, "BLOCK", block):
        numbered = list(read_lines(Path("a.txt"), io.BytesIO(content)))
    assert [number for number, _ in numbered] == [*range(1, len(numbered) + 1)]
    return [line for _, line in numbered]


def expected(text: str) -> list[str]:
    ends_in_line = text.endswith("\n") or not text
    return [line.rstrip("\r") for line in text.split("\n")][: -1 if ends_in_line else None]


@given(ANY_TEXT, BLOCKS)
def test_any_text_comes_back_from_utf_8_and_from_utf_16_with_a_mark(text: str, block: int) -> None:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        assert lines(("\ufeff" + text).encode(encoding), block) == expected(text)


@given(ANY_TEXT, BLOCKS)
def test_any_text_comes_back_from_utf_8_without_a_mark(text: str, block: int) -> None:
    assume(not text.startswith("\ufeff"))
    assert lines(text.encode(), block) == expected(text)


@given(KOREAN_TEXT, BLOCKS, st.sampled_from(["cp949", "euc_kr", "utf-16-le", "utf-16-be"]))
def test_korean_comes_back_from_cp949_and_unmarked_utf_16(
    text: str, block: int, encoding: str
) -> None:
    text = "도시로 " + text  # one word alone need not have a space, and English no high byte
    assert lines(text.encode(encoding), block) == expected(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp949"])
@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".txt.gz", ".jsonl.gz"])
def test_files_in_other_encodings(write: Write, encoding: str, kind: str) -> None:
    rows = "".join(json.dumps({"text": KOREAN}, ensure_ascii=False) + "\r\n" for _ in range(2))
    content = (rows if "jsonl" in kind else KOREAN).encode(encoding)
    path = write("a" + kind, gzip.compress(content) if kind.endswith("gz") else content)
    found = [(d.text, d.language) for d in read_all(find_sources([path]), "reading")]
    once = (KOREAN.replace("\r", "").rstrip("\n"), "ko")
    assert found == ([(KOREAN, "ko")] * 2 if "jsonl" in kind else [once])


def test_the_log_names_an_encoding_once(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write("d/a.txt", KOREAN.encode("cp949"))
    write("d/b.txt", KOREAN.encode("utf-16"))
    folder = write("d/c.txt", KOREAN).parent
    list(read_all(find_sources([folder]), "reading"))
    said = [f"{folder}/a.txt: read as CP949", f"{folder}/b.txt: read as UTF-16-LE"]
    assert [r.getMessage() for r in caplog.records] == said


def test_korean_after_megabytes_of_ascii_is_found() -> None:
    content = b"plain ascii\n" * 300_000 + KOREAN.encode("cp949")
    assert lines(content)[-2:] == expected(KOREAN)


def test_bytes_of_line_ends_within_utf_16_characters_end_no_line() -> None:
    assert lines("가\u0a0d\u0d0a\u0a0a 나\n다".encode("utf-16")) == [
        "가\u0a0d\u0d0a\u0a0a 나",
        "다",
    ]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_unmarked_utf_16_of_nothing_but_ascii(encoding: str) -> None:
    text = "Every day we go\r\nto school\n"
    assert lines(text.encode(encoding)) == expected(text)


def test_one_syllable_of_cp949_that_is_also_utf_8_does_not_decide() -> None:
    text = "책\n" + KOREAN
    assert "책".encode("cp949").decode("utf-8") == "å"
    assert lines(text.encode("cp949")) == expected(text)


def test_utf_8_stays_that_even_where_its_bytes_are_frequent_korean_syllables() -> None:
    assert "kȭ kȭik Ʈ".encode().decode("cp949") == "k화 k화ik 트"
    assert lines("kȭ kȭik Ʈ\n".encode()) == ["kȭ kȭik Ʈ"]


@pytest.mark.parametrize("encoding", ["cp949", "utf-16-le", "utf-16-be", "utf-8"])
@pytest.mark.parametrize("before", [2, 60_000])
def test_bytes_that_break_the_encoding_are_shown_by_line(encoding: str, before: int) -> None:
    broken = {"utf-16-le": b"\x00\xd8", "utf-16-be": b"\xd8\x00"}.get(encoding, b"\xff\xff")
    line = "하지만 학교에서 기다리는 사람은 있다\n".encode(encoding)
    content = line * before + broken + line * 2
    with pytest.raises(InputError, match=rf"a\.txt:{before + 1}: not {encoding.upper()}"):
        lines(content)


def test_a_file_cut_within_a_character() -> None:
    with pytest.raises(InputError, match=r"a\.txt:2: not CP949"):
        lines((KOREAN.splitlines()[0] + "\n학교").encode("cp949")[:-1])
    with pytest.raises(InputError, match=r"a\.txt:3: not UTF-16-LE"):
        lines(KOREAN.encode("utf-16") + b"\x20")


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        ("我们每天去学校学习中文。北京是中国的首都，人口很多。", "gb2312", "GB18030"),
        ("我们每天去学校学习中文。北京是中国的首都，人口很多。", "gb18030", "GB18030"),
        ("我們每天去學校學習中文。北京是中國的首都，人口很多。", "big5", "GB18030"),
        ("私は毎日学校へ行きます。東京は大きい町です。カタカナ", "euc_jp", "EUC-JP"),
        ("私は毎日学校へ行きます。東京は大きい町です。カタカナ", "shift_jis", "CP932"),
        ("Каждый день мы ходим в школу и читаем книги.", "cp1251", "CP1251"),
        ("Les élèves ont été à l'école très tôt.", "cp1252", "CP125[12]"),
        ("똠쌰뢔 뷁쮊", "cp949", "CP949"),
    ],
)
def test_other_encodings_are_refused_with_the_command(text: str, encoding: str, named: str) -> None:
    with pytest.raises(InputError, match=rf"a\.txt:2: not UTF-8; .* {named}: .*iconv -f {named}"):
        lines(b"ok\n" + text.encode(encoding))


def test_utf_32_is_named() -> None:
    with pytest.raises(InputError, match=r"a\.txt:1: not UTF-8; .* UTF-32: .*iconv -f UTF-32"):
        lines(KOREAN.encode("utf-32"))


@pytest.mark.parametrize(
    "content",
    [
        b"a b\nc \0d\ne f\n" * 9,
        b"ab\0 cdef" * 9,
        KOREAN.encode() + b"\0\n" + KOREAN.encode(),
        KOREAN.encode("cp949") + b"\0\n" + KOREAN.encode("cp949"),
        struct.pack("<500h", *range(500)),
        struct.pack(">500h", *range(500)),
        struct.pack("<900h", *(0xC0 + place % 60 for place in range(900))),
        "학교 \0 나라\n".encode("utf-16"),
    ],
)
def test_binary_files_and_stray_nul_bytes(content: bytes) -> None:
    with pytest.raises(InputError, match="NUL bytes"):
        lines(content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp949"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_endless_line_stops_early(
    write: Write, encoding: str, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kobert_vocab.reading.lines, "LONGEST_LINE", 3 << 20)
    content = (KOREAN + "이 " * (6 << 20)).encode(encoding)
    path = write("ko.txt.gz" if pack is gzip.compress else "ko.txt", pack(content))
    raw = path.open("rb")
    with raw, pytest.raises(InputError, match=r":3: a line of more than 3 MiB"):
        list(read_lines(path, raw))
    if pack is bytes:
        assert raw.closed


@pytest.mark.parametrize("length", [1 << 20, (1 << 20) + 1])
def test_the_longest_line(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(kobert_vocab.reading.lines, "LONGEST_LINE", 1 << 20)
    content = b"a\n" + b"b" * length + b"\nc"
    if length == 1 << 20:
        assert [len(line) for line in lines(content)] == [1, length, 1]
    else:
        with pytest.raises(InputError, match=r":2: a line of more than 1 MiB"):
            lines(content)


@pytest.mark.corpora
@pytest.mark.slow
class TestRealText:
    def test_utf_8_is_never_taken_for_something_else(self, corpora: Path) -> None:
        for path in samples(corpora, "*/*.gz"):
            content = gzip.decompress(path.read_bytes())[: 1 << 20]
            for sample in (content, *content.split(b"\n")[:50]):
                assert find_encoding(sample) == "utf-8", (path, sample)

    @pytest.mark.parametrize("encoding", ["cp949", "utf-16-le", "utf-16-be"])
    def test_korean_is_found_in_every_ten_lines(self, corpora: Path, encoding: str) -> None:
        for path in samples(corpora, "ko/*.gz"):
            with gzip.open(path) as packed:
                rows = [json.loads(row)["text"] for row in islice(packed, 2000)]
            for start in range(0, len(rows), 10):
                sample = "\n".join(rows[start : start + 10]).encode(encoding, "ignore")
                assert find_encoding(sample) == encoding, (path, start)

    @pytest.mark.parametrize(
        ("file", "encoding"),
        [
            ("zho_Hans", "gb18030"),
            ("zho_Hans", "gb2312"),
            ("zho_Hant", "big5"),
            ("jpn", "euc_jp"),
            ("jpn", "shift_jis"),
            ("rus", "cp1251"),
            ("rus", "koi8_r"),
            ("fra", "cp1252"),
        ],
    )
    def test_no_ten_lines_of_another_language_are_korean(
        self, corpora: Path, file: str, encoding: str
    ) -> None:
        text = gzip.decompress((corpora / "multilingual" / f"{file}.txt.gz").read_bytes()).decode()
        rows = text.split("\n")
        for start in range(0, len(rows), 10):
            sample = "\n".join(rows[start : start + 10]).encode(encoding, "ignore")
            assert find_encoding(sample) == "utf-8", rows[start]
        assert find_encoding(text.encode(encoding, "ignore")) == "utf-8"


def samples(corpora: Path, pattern: str) -> Iterator[Path]:
    found = sorted(corpora.glob(pattern))
    assert found
    return iter(found)
