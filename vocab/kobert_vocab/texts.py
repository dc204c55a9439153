"""Text in: what a person names as input, found and read as documents.

A ``.txt`` file holds one sentence or paragraph per line and a blank line between documents. A
``.jsonl`` file holds one JSON object per line with a field ``text``; a Parquet file or data set has
a column ``text``, a document per row. Nothing is held in memory but a few documents.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from tqdm import tqdm

from kobert_vocab.errors import InputError
from kobert_vocab.languages import (
    UNKNOWN,
    find_language,
    guess_language,
    language_named,
    language_of_file,
)
from kobert_vocab.lines import read_lines
from kobert_vocab.sources import SAVED_SPLITS, SUFFIXES, Source, is_saved_data_set
from kobert_vocab.tables import hub_revision, hub_rows, import_late, parquet_rows, saved_rows

__all__ = ["Document", "Source", "find_sources", "read_all", "read_documents"]

LONGEST_DOCUMENT = 1 << 20  # characters; a .txt without blank lines becomes documents of this size
_NAME = r"[A-Za-z0-9_][\w.-]*"
OWNER_AND_NAME = re.compile(f"{_NAME}/{_NAME}", re.ASCII)
HUB_DATA_SET = re.compile(f"((?:{_NAME}/)?{_NAME}):({_NAME})", re.ASCII)
SHORT_NAMES = {"wikipedia": "wikimedia/wikipedia"}  # the hub's own short name leads to a script
HUB_ADVICE = (
    "a data set of the Hugging Face hub is named OWNER/NAME:CONFIG, such as "
    "wikimedia/wikipedia:20231101.ko (CONFIG is default where it has only one)"
)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document's text, a sentence or paragraph per line, with where it begins."""

    text: str
    language: str
    path: Path
    line: int
    """Of a file of lines; the row of a table."""


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """What ``inputs`` name, each with its language, sorted within a folder.

    An input is a file, a folder or a data set of the Hugging Face hub (``OWNER/NAME:CONFIG``), with
    an optional language tag: ``ko=news.jsonl.gz``. Without a tag the language is the code that the
    file's name, a folder's name or the config is, else a guess from the text itself.

    Raises:
        InputError: a path does not exist, a folder holds no text, a tag or suffix is not known, the
            hub has no such data set, or a package to read it with is missing.
    """
    sources: list[Source] = []
    for given in inputs:
        tag, name = _split_tag(str(given))
        named = HUB_DATA_SET.fullmatch(name)
        if named and not Path(name).exists():
            sources.append(_hub_source(tag, named[1], named[2]))
        else:
            sources.extend(_sources_on_disk(tag, Path(name)))
    if not sources:
        raise InputError("no input given; name at least one file or folder")
    return sources


def _split_tag(given: str) -> tuple[str | None, str]:
    tag, equals, rest = given.partition("=")
    if not equals or Path(given).exists() or "/" in tag:
        return None, given
    return language_named(tag), rest


def _hub_source(tag: str | None, name: str, config: str) -> Source:
    name = SHORT_NAMES.get(name, name)
    language = tag or _language_of_config(config)
    source = Source(
        path=Path(name), language=language or UNKNOWN, config=config, revision=hub_revision(name)
    )
    return source if language else _guessed(source)


def _language_of_config(config: str) -> str | None:
    """The language that a config, or a part of it between dots, is a code of.

    >>> _language_of_config("20231101.ko"), _language_of_config("kor_Hang")
    ('ko', 'ko')
    """
    codes = (find_language(part) for part in reversed(config.split(".")))
    return next((code for code in codes if code), None)


def _sources_on_disk(tag: str | None, path: Path) -> list[Source]:
    if not path.exists():
        name = SHORT_NAMES.get(path.as_posix(), path.as_posix())
        may_be_hub = OWNER_AND_NAME.fullmatch(name) and not name.endswith(SUFFIXES)
        advice = f"; {HUB_ADVICE}" if may_be_hub else ""
        raise InputError(f"{path}: no such file or folder{advice}")
    sources = []
    for place in _places(path):
        if is_saved_data_set(place):
            import_late("datasets")
        elif place.suffix == ".parquet":
            import_late("pyarrow")
        language = tag or language_of_file(place, path)
        source = Source(path=place, language=language or UNKNOWN)
        sources.append(source if language else _guessed(source))
    return sources


def _places(path: Path) -> list[Path]:
    if is_saved_data_set(path):
        return [path]
    if path.is_dir():
        places = sorted(p for p in path.rglob("*") if _is_readable(p))
        if not places:
            raise InputError(f"{path}: no text in this folder; looked for {', '.join(SUFFIXES)}")
        return places
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: not a kind of file I can read; I read {', '.join(SUFFIXES)}")
    return [path]


def _is_readable(path: Path) -> bool:
    if path.is_dir():
        # The splits of a data set are folders in its folder, and read with that.
        return is_saved_data_set(path) and not (path.parent / SAVED_SPLITS).is_file()
    return path.name.endswith(SUFFIXES) and path.is_file()


def _guessed(source: Source) -> Source:
    for document in read_documents(source):
        return replace(source, language=guess_language(document.text))
    return source


def read_documents(source: Source) -> Iterator[Document]:
    """The documents of one source, in order.

    Raises:
        InputError: it is empty, broken, in an unknown encoding, or has a line without text.
    """
    for document, _ in _placed(source):
        yield document


def read_all(sources: Sequence[Source], task: str) -> Iterator[Document]:
    """The documents of all sources, with a progress bar as of `reading`.

    Raises:
        InputError: as `read_documents`.
    """
    with reading(sources, task) as read:
        for source in sources:
            yield from read(source)


@contextmanager
def reading(
    sources: Sequence[Source], task: str
) -> Iterator[Callable[[Source], Iterator[Document]]]:
    """A progress bar over the (packed) bytes of ``sources``, and what reads one of them.

    They are to be read in their order; some may be left out. With a data set of the hub among them
    the whole is not known, and the bar only counts.
    """
    sizes = [source.size() for source in sources]
    before = dict(zip(sources, accumulate((size or 0 for size in sizes), initial=0), strict=False))
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with tqdm(total=total, unit="B", unit_scale=True, desc=task, disable=None) as bar:

        def read(source: Source) -> Iterator[Document]:
            start = bar.n if total is None else before[source]
            for document, place in _placed(source):
                yield document
                bar.update(start + place - bar.n)

        yield read
        if total is not None:
            bar.update(total - bar.n)


def _placed(source: Source) -> Iterator[tuple[Document, int]]:
    """Documents, each with how many bytes of the source have been read by then."""
    found = False
    for number, text, read in _numbered_texts(source):
        if text.strip():
            found = True
            yield (
                Document(text=text, language=source.language, path=source.path, line=number),
                read,
            )
    if not found:
        raise InputError(f"{source}: no text in this {'file' if source.path.is_file() else 'set'}")


def _numbered_texts(source: Source) -> Iterator[tuple[int, str, int]]:
    path = source.path
    if source.config is not None:
        yield from hub_rows(path.as_posix(), source.config, source.revision)
    elif is_saved_data_set(path):
        yield from saved_rows(path, source.size() or 0)
    elif path.suffix == ".parquet":
        yield from parquet_rows(path)
    else:
        with path.open("rb") as raw:
            lines = read_lines(path, raw)
            texts = (
                _json_texts(path, lines) if ".jsonl" in path.suffixes else _blank_separated(lines)
            )
            for number, text in texts:
                yield number, text, raw.tell()


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
