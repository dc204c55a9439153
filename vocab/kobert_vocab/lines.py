"""Lines of a text file, plain or packed, as text: in its own encoding, in bounded memory."""

import codecs
import gzip
import io
import logging
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, cast

from kobert_vocab.encodings import UTF_32_MARKS, find_encoding, is_plain, name_encoding
from kobert_vocab.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LONGEST_LINE = 64 << 20  # bytes; a packed "zip bomb" or a file with no line ends stops here
BLOCK = 128 << 10  # bytes read at once; a gzip file gives about 30 KiB
SAMPLE = 1 << 20  # bytes to choose an encoding by, from the first one that is not ASCII

log = logging.getLogger(__name__)


def read_lines(path: Path, raw: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Numbered lines of ``raw``, the open file ``path``, without their ends.

    Raises:
        InputError: an archive is broken, a line is too long or holds NUL bytes, or the bytes are in
            no encoding that `find_encoding` knows.
    """
    number, held, size = 0, [""], 0
    for block, length in _decoded_blocks(path, raw):
        lines = block.split("\n")
        held.append(lines[0])
        size += length if len(lines) == 1 else len(lines[0])
        if size > LONGEST_LINE:
            raise InputError(f"{path}:{number + 1}: a line of more than {LONGEST_LINE >> 20} MiB")
        if len(lines) > 1:
            lines[0] = "".join(held)
            held = [lines.pop()]
            size = len(held[0])  # in characters, so at most what it is in bytes
            for line in lines:
                number += 1
                yield number, line.rstrip("\r")
    if last := "".join(held):
        yield number + 1, last.rstrip("\r")


def _decoded_blocks(path: Path, raw: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Blocks of text, cut anywhere, and how many bytes each had.

    The encoding is chosen where the first byte that is not ASCII stands, however late that is.
    """
    stream = _unpacked(path, raw)
    encoding, decoder = None, codecs.getincrementaldecoder("ascii")()
    lines = 0  # before the block at hand
    while block := _read_block(path, stream, lines, sampling=encoding is None):
        if encoding is None and not is_plain(block):
            encoding = find_encoding(block)
            decoder = codecs.getincrementaldecoder(encoding)()
            _say_once(path, encoding)
            text = _decode(path, lines, decoder, block).removeprefix("\ufeff")
        else:
            text = _decode(path, lines, decoder, block)
        if "\0" in text:
            raise InputError(_binary(path, lines + 1 + text.count("\n", 0, text.index("\0"))))
        yield text, len(block)
        lines += text.count("\n")
    _decode(path, lines, decoder, b"")


def _read_block(path: Path, stream: io.BufferedIOBase, lines: int, *, sampling: bool) -> bytes:
    block = b""
    try:
        block = stream.read1(BLOCK)
        while sampling and len(block) < SAMPLE and not is_plain(block):
            more = stream.read1(BLOCK)
            if not more:
                break
            block += more
    except (gzip.BadGzipFile, EOFError, zlib.error, zstd.ZstdError) as error:
        last = lines + block.count(b"\n")
        raise InputError(
            f"{path}: broken archive after line {last} ({error}); fetch or pack it again"
        ) from error
    return block


def _unpacked(path: Path, raw: IO[bytes]) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if path.suffix == ".zst":
        return zstd.ZstdFile(raw)
    return cast(io.BufferedReader, raw)


def _decode(path: Path, lines: int, decoder: codecs.IncrementalDecoder, block: bytes) -> str:
    try:
        return decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        raise InputError(_undecodable(path, lines, error)) from error


@cache
def _say_once(path: Path, encoding: str) -> None:
    # A file is read more than once: to guess its language, for the vocabulary, for the corpus.
    if encoding != "utf-8":
        log.info("%s: read as %s", path, encoding.upper())


def _binary(path: Path, number: int) -> str:
    return f"{path}:{number}: NUL bytes; this is not a text file"


def _undecodable(path: Path, lines: int, error: UnicodeDecodeError) -> str:
    before = error.object[: error.start].decode(error.encoding, errors="replace")
    number = lines + 1 + before.count("\n")
    where = f"{path}:{number}"
    if error.encoding != "utf-8":
        name = error.encoding.upper()
        return f"{where}: not {name}, as the text before it is; mend or remove this line"
    if b"\0" in error.object and not error.object.startswith(UTF_32_MARKS):
        return _binary(path, lines + 1 + error.object.count(b"\n", 0, error.object.index(b"\0")))
    line = error.object[error.object.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0]
    named = name_encoding(line)
    if named is None:
        return f"{where}: not UTF-8, nor an encoding I can name; convert it to UTF-8 first"
    return (
        f"{where}: not UTF-8; it looks like {named}: "
        f"convert it with: iconv -f {named} -t UTF-8 {path.name}"
    )
