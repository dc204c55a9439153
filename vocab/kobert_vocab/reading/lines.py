"""Lines of a text file, plain or packed, as text: in its own encoding, in bounded memory."""

import codecs
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

from kobert_vocab.reading.encodings import UTF_32_MARKS, find_encoding, is_plain, name_encoding
from kobert_vocab.reading.packing import BrokenArchiveError, Unpacked
from kobert_vocab.reading.problems import Kind, Report, refuse

LONGEST_LINE = 64 << 20  # bytes; a packed "zip bomb" or a file with no line ends stops here
SAMPLE = 1 << 20  # bytes to choose an encoding by, from the first one that is not ASCII
# What stands for bytes that cannot be decoded, until their line is left out. No codec read here
# gives half a surrogate pair, so no text has it.
MARK, MARKING = "\udfff", "kobert_vocab.mark"

log = logging.getLogger(__name__)


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return MARK, error.end


codecs.register_error(MARKING, _mark)


def read_lines(path: Path, raw: IO[bytes], report: Report = refuse) -> Iterator[tuple[int, str]]:
    """Numbered lines of ``raw``, the open file ``path``, without their ends.

    ``report`` is told of a broken archive, which ends the lines, and of lines that are too long,
    hold NUL bytes or are in no encoding that `find_encoding` knows, which are left out.

    Raises:
        InputError: by ``report``, which without another one refuses the first fault.
    """
    decoder = _Decoder(path, report)
    number, held, size, skipping = 0, [""], 0, False
    try:
        for text, length in _decoded(Unpacked(path, raw), decoder):
            lines = text.split("\n")
            size += length if len(lines) == 1 else len(lines[0])
            if size > LONGEST_LINE and not skipping:
                limit = f"{LONGEST_LINE >> 20} MiB"
                report("line too long", f"{path}:{number + 1}: a line of more than {limit}")
                skipping = True
            if skipping:
                held = []
            else:
                held.append(lines[0])
            if len(lines) > 1:
                lines[0] = "".join(held)
                held = [lines.pop()]
                size = len(held[0])  # in characters, so at most what it is in bytes
                for line in lines:
                    number += 1
                    if skipping:
                        skipping = False
                    elif decoder.is_good(number, line):
                        yield number, line.rstrip("\r")
    except BrokenArchiveError as error:
        advice = "fetch or pack it again"
        report("broken archive", f"{path}: broken archive after line {number} ({error}); {advice}")
        return  # a line that was begun is no line
    last = "".join(held)
    if last and not skipping and decoder.is_good(number + 1, last):
        yield number + 1, last.rstrip("\r")


def _decoded(stream: Unpacked, decoder: "_Decoder") -> Iterator[tuple[str, int]]:
    """Text, cut anywhere, and how many bytes it was.

    The encoding is chosen where the first byte that is not ASCII stands, however late that is.
    """
    broken: BrokenArchiveError | None = None
    while broken is None and (block := stream.read_block()):
        try:
            while decoder.is_open and len(block) < SAMPLE and not is_plain(block):
                more = stream.read_block()
                if not more:
                    break
                block += more
        except BrokenArchiveError as error:  # raised once what came before it is decoded
            broken = error
        yield decoder.decode(block), len(block)
    if broken is not None:
        raise broken
    yield decoder.decode(b""), 0


class _Decoder:
    """Blocks of bytes to text, in which bytes that are none become `MARK`."""

    def __init__(self, path: Path, report: Report) -> None:
        self.is_open = True
        """Whether the encoding is still to be found."""
        self._path, self._report = path, report
        self._encoding, self._decoder = "ascii", codecs.getincrementaldecoder("ascii")()
        self._lines = 0  # before the block at hand
        self._has_faults = False
        self._reported = 0  # the line of the first bytes that are no text

    def decode(self, block: bytes) -> str:
        """The text of ``block``, which is empty after the last one."""
        begins = self.is_open and not is_plain(block)
        if begins:
            self.is_open, self._encoding = False, find_encoding(block)
            self._decoder = codecs.getincrementaldecoder(self._encoding)()
            _say_once(self._path, self._encoding)
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            self._reported, kind, message = _undecodable(self._path, self._lines, error)
            self._report(kind, message)
            self._has_faults = True
            self._decoder = codecs.getincrementaldecoder(self._encoding)(MARKING)
            text = self._decoder.decode(error.object, final=not block)
        self._lines += text.count("\n")
        self._has_faults = self._has_faults or "\0" in text
        return text.removeprefix("\ufeff") if begins else text

    def is_good(self, number: int, line: str) -> bool:
        """Whether all of a line is text; else it is reported, once."""
        if not self._has_faults:
            return True
        if "\0" in line:
            if number != self._reported:
                self._report("NUL bytes", _binary(self._path, number))
            return False
        if MARK in line:
            if number != self._reported:
                name = self._encoding.upper()
                self._report(_kind(self._encoding), f"{self._path}:{number}: not {name}")
            return False
        return True


@cache
def _say_once(path: Path, encoding: str) -> None:
    # A file is read more than once: to guess its language, for the vocabulary, for the corpus.
    if encoding != "utf-8":
        log.info("%s: read as %s", path, encoding.upper())


def _binary(path: Path, number: int) -> str:
    return f"{path}:{number}: NUL bytes; this is not a text file"


def _kind(encoding: str) -> Kind:
    return "not UTF-8" if encoding == "utf-8" else "broken encoding"


def _undecodable(path: Path, lines: int, error: UnicodeDecodeError) -> tuple[int, Kind, str]:
    """The line with the first bytes that are no text, what they are, and what to do."""
    before = error.object[: error.start].decode(error.encoding, errors="replace")
    number, kind = lines + 1 + before.count("\n"), _kind(error.encoding)
    where = f"{path}:{number}"
    if error.encoding != "utf-8":
        fault = f"not {error.encoding.upper()}, as the text before it is"
        return number, kind, f"{where}: {fault}; mend or remove this line"
    if b"\0" in error.object and not error.object.startswith(UTF_32_MARKS):
        number = lines + 1 + error.object.count(b"\n", 0, error.object.index(b"\0"))
        return number, "NUL bytes", _binary(path, number)
    line = error.object[error.object.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0]
    named = name_encoding(line)
    advice = (
        f"it looks like {named}: convert it with: iconv -f {named} -t UTF-8 {path.name}"
        if named
        else "nor an encoding I can name; convert it to UTF-8 first"
    )
    return number, kind, f"{where}: not UTF-8{';' if named else ','} {advice}"
