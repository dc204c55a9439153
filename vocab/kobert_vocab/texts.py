"""Text in: files and folders of .txt and .jsonl, plain, .gz or .zst, read as documents.

A ``.txt`` file holds one sentence or paragraph per line and a blank line between documents. A
``.jsonl`` file holds one JSON object per line with a field ``text``. Nothing is held in memory but
the document at hand.
"""

import codecs
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from kobert_vocab.errors import InputError
from kobert_vocab.languages import guess_language, language_named, language_of_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIXES = tuple(kind + packing for kind in (".txt", ".jsonl") for packing in ("", ".gz", ".zst"))
LONGEST_LINE = 64 << 20  # bytes; a packed "zip bomb" or a file with no line ends stops here
LONGEST_DOCUMENT = 1 << 20  # characters; a .txt without blank lines becomes documents of this size
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ENCODINGS_TO_NAME = ("cp949", "cp932", "gb18030", "cp1251", "cp1252")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file to read and the language its text is in."""

    path: Path
    language: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document's text, a sentence or paragraph per line, with where it begins."""

    text: str
    language: str
    path: Path
    line: int


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """The files that ``inputs`` name, each with its language, sorted within a folder.

    An input is a file or a folder, with an optional language tag: ``ko=news.jsonl.gz``. Without a
    tag the language is the code that the file's name or a folder's name is, else a guess from the
    text itself.

    Raises:
        InputError: a path does not exist, a folder holds no text, a tag or suffix is not known.
    """
    sources: list[Source] = []
    for given in inputs:
        tag, path = _split_tag(str(given))
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        files = _text_files(path)
        for file in files:
            language = tag or language_of_file(file, path) or _guess_from(file)
            sources.append(Source(path=file, language=language))
    if not sources:
        raise InputError("no input given; name at least one file or folder")
    return sources


def _split_tag(given: str) -> tuple[str | None, Path]:
    tag, equals, rest = given.partition("=")
    if not equals or Path(given).exists() or "/" in tag:
        return None, Path(given)
    return language_named(tag), Path(rest)


def _text_files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
        if not files:
            raise InputError(f"{path}: no text in this folder; looked for {', '.join(SUFFIXES)}")
        return files
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: not a kind of file I can read; I read {', '.join(SUFFIXES)}")
    return [path]


def _guess_from(path: Path) -> str:
    for document in read_documents(Source(path=path, language="und")):
        return guess_language(document.text)
    return "und"


def read_documents(source: Source) -> Iterator[Document]:
    """The documents of one file, in order.

    Raises:
        InputError: the file is empty, not UTF-8, broken, or has a line without text.
    """
    with source.path.open("rb") as raw:
        yield from _documents(source, raw)


def read_all(sources: Sequence[Source], task: str) -> Iterator[Document]:
    """The documents of all files, with a progress bar over their (packed) bytes."""
    total = sum(source.path.stat().st_size for source in sources)
    with tqdm(total=total, unit="B", unit_scale=True, desc=task, disable=None) as bar:
        done = 0
        for source in sources:
            with source.path.open("rb") as raw:
                for document in _documents(source, raw):
                    yield document
                    bar.update(done + raw.tell() - bar.n)
            done += source.path.stat().st_size
            bar.update(done - bar.n)


def _documents(source: Source, raw: IO[bytes]) -> Iterator[Document]:
    lines = _lines(source.path, raw)
    is_json = ".jsonl" in source.path.suffixes
    found = False
    for number, text in _json_texts(source.path, lines) if is_json else _blank_separated(lines):
        if text.strip():
            found = True
            yield Document(text=text, language=source.language, path=source.path, line=number)
    if not found:
        raise InputError(f"{source.path}: no text in this file")


def _lines(path: Path, raw: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Numbered lines as text, without their ends."""
    stream = _unpacked(path, raw)
    number = 0
    while True:
        try:
            line = stream.readline(LONGEST_LINE + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error, zstd.ZstdError) as error:
            raise InputError(
                f"{path}: broken archive after line {number} ({error}); fetch or pack it again"
            ) from error
        if not line:
            return
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{path}:{number}: a line of more than {LONGEST_LINE >> 20} MiB")
        if b"\0" in line and not line.startswith(UTF_16_MARKS):
            raise InputError(f"{path}:{number}: NUL bytes; this is not a text file")
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(_wrong_encoding(path, number, line)) from error


def _unpacked(path: Path, raw: IO[bytes]) -> io.BufferedIOBase | IO[bytes]:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if path.suffix == ".zst":
        return zstd.ZstdFile(raw)
    return raw


def _wrong_encoding(path: Path, number: int, line: bytes) -> str:
    name = "UTF-16" if line.startswith(UTF_16_MARKS) else _encoding_of(line)
    if name is None:
        return f"{path}:{number}: not UTF-8, nor an encoding I can name; convert it to UTF-8 first"
    return (
        f"{path}:{number}: not UTF-8; it looks like {name}: "
        f"convert it with: iconv -f {name} -t UTF-8 {path.name}"
    )


def _encoding_of(line: bytes) -> str | None:
    for encoding in ENCODINGS_TO_NAME:
        try:
            line.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding.upper()
    return None


def _blank_separated(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    start, size = 1, 0
    held: list[str] = []
    for number, line in lines:
        if line.strip():
            if not held:
                start = number
            held.append(line)
            size += len(line)
        if held and (not line.strip() or size >= LONGEST_DOCUMENT):
            yield start, "\n".join(held)
            held, size = [], 0
    if held:
        yield start, "\n".join(held)


def _json_texts(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            fields = ", ".join(map(repr, row)) if isinstance(row, dict) else type(row).__name__
            raise InputError(f'{path}:{number}: no field "text" with a string; found {fields}')
        try:
            row["text"].encode("utf-8")
        except UnicodeEncodeError as error:  # "\ud800" in JSON is no character
            raise InputError(f"{path}:{number}: half a surrogate pair in the text") from error
        yield number, row["text"]
