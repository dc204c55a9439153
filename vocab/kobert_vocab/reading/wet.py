"""Rows of a Common Crawl WET archive: the text of web pages, a record each.

The format is WARC 1.0 (ISO 28500). warcio reads the heads of records; what lies between them we
read ourselves, so that a broken record costs itself alone and no length in a head is believed.
"""

import io
import re
from pathlib import Path
from typing import IO, Any

from kobert_vocab.languages import UNKNOWN, find_language, guess_language
from kobert_vocab.reading.lines import LONGEST_LINE
from kobert_vocab.reading.packages import import_late
from kobert_vocab.reading.packing import BrokenArchiveError, Unpacked
from kobert_vocab.reading.problems import Report
from kobert_vocab.reading.rows import Row, Rows, short

LONGEST_HEAD = 64 << 10  # bytes; Common Crawl's have about 600
VERSIONS = ("WARC/1.0", "WARC/1.1")
BEGINNINGS = tuple(version.encode() for version in VERSIONS)
NEXT_RECORD = re.compile(rb"\r?\n\r?\nWARC/1\.[01]\r?\nWARC-")


class _TooLongError(Exception):
    """A record that says it is longer than `LONGEST_LINE`."""


class _BrokenRecordError(Exception):
    """What is wrong with a record, to be said with its number."""


def wet_rows(path: Path, raw: IO[bytes], report: Report) -> Rows:
    """A row for each ``conversion`` record, numbered among all records."""
    parser = import_late("warcio.statusandheaders").StatusAndHeadersParser(VERSIONS)
    stream, number, in_order = _Stream(Unpacked(path, raw)), 0, True
    try:
        while True:
            line, is_next = stream.find_beginning()
            if in_order and not is_next:
                report("broken record", f"{path}: after record {number}: no record begins here")
            if not line:
                return
            number += 1
            where, in_order = f"{path}: record {number}", True
            try:
                row = _row(number, _head(parser, line, stream), stream)
            except _BrokenRecordError as error:
                report("broken record", f"{where}: {error}")
                in_order = False
                continue
            except _TooLongError:
                report("line too long", f"{where}: more than {LONGEST_LINE >> 20} MiB")
                in_order = False
                continue
            except UnicodeDecodeError as error:
                report("not UTF-8", f"{where}: not UTF-8 ({error.reason} at byte {error.start:,})")
                continue
            if row is None:
                continue
            if "\0" in row.text:
                report("NUL bytes", f"{where}: NUL bytes; this is not text")
            else:
                yield row
    except BrokenArchiveError as error:
        cause = f"broken archive in record {number} ({error}); fetch it again"
        report("broken archive", f"{path}: {cause}")


def _head(parser: Any, line: bytes, stream: "_Stream") -> Any:  # noqa: ANN401
    lines, size = [line], 0
    while line.strip():
        line = stream.read_line()
        lines.append(line)
        size += len(line)
        if not line or size > LONGEST_HEAD:
            raise _BrokenRecordError("its head has no end")
    return parser.parse(io.BytesIO(b"".join(lines)))


def _row(number: int, head: Any, stream: "_Stream") -> Row | None:  # noqa: ANN401
    length = head.get_header("Content-Length") or ""
    if not (length.isascii() and length.isdigit()):
        raise _BrokenRecordError(f"Content-Length is {length[:40]!r}, not a number of bytes")
    if len(length) > 20 or int(length) > LONGEST_LINE:
        raise _TooLongError
    content = stream.read(int(length))
    if too_far := NEXT_RECORD.search(content):
        stream.put_back(content[too_far.start() :])
        raise _BrokenRecordError(f"shorter than its Content-Length, {length}")
    if len(content) < int(length):
        raise _BrokenRecordError("cut off")
    if head.get_header("WARC-Type") != "conversion":
        return None
    text = content.decode("utf-8")
    return Row(number, text, _language(head, text), short(head.get_header("WARC-Target-URI") or ""))


def _language(head: Any, text: str) -> str:  # noqa: ANN401
    """The first of the record's languages; one that the kit does not know is unknown.

    Nobody can mend what Common Crawl found, so that is no fault; archives from before August 2018
    name no languages.
    """
    named = (head.get_header("WARC-Identified-Content-Language") or "").partition(",")[0].strip()
    return (find_language(named) or UNKNOWN) if named else guess_language(text)


class _Stream:
    """Lines and counted bytes of an unpacked file, none longer than is asked for."""

    def __init__(self, unpacked: Unpacked) -> None:
        self._unpacked, self._held, self._at = unpacked, b"", 0

    def find_beginning(self) -> tuple[bytes, bool]:
        """The first line of the next record, and whether only blank lines lie before it."""
        is_next = True
        while line := self.read_line():
            if line.startswith(BEGINNINGS):
                return line, is_next
            is_next = is_next and not line.strip()
        return b"", is_next

    def read_line(self) -> bytes:
        """The next line with its end, or `LONGEST_HEAD` bytes of it; nothing at the end."""
        end = self._held.find(b"\n", self._at)
        while end < 0 and len(self._held) - self._at < LONGEST_HEAD and self._fill():
            end = self._held.find(b"\n", self._at)
        most = self._at + LONGEST_HEAD
        return self._take(most if end < 0 else min(end + 1, most))

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes, or those that are left."""
        parts, missing = [self._take(self._at + count)], count
        missing -= len(parts[0])
        while missing and self._fill():
            parts.append(self._take(self._at + missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def put_back(self, content: bytes) -> None:
        """Let ``content`` be read next."""
        self._held, self._at = content + self._held[self._at :], 0

    def _take(self, end: int) -> bytes:
        taken = self._held[self._at : end]
        self._at += len(taken)
        return taken

    def _fill(self) -> bool:
        block = self._unpacked.read_block()
        self._held, self._at = self._held[self._at :] + block, 0
        return bool(block)
