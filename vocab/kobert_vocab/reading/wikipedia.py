"""Rows of a Wikipedia dump: the articles of a ``pages-articles`` file as readable text.

The form is https://www.mediawiki.org/xml/export-0.11.xsd. Dumps declare no document type; one that
does is refused, so no entity can be declared, let alone expanded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.parsers import expat

from kobert_vocab.reading.lines import LONGEST_LINE
from kobert_vocab.reading.packages import import_late
from kobert_vocab.reading.packing import BrokenArchiveError, Unpacked
from kobert_vocab.reading.problems import Report
from kobert_vocab.reading.rows import Row, Rows, short
from kobert_vocab.reading.wikitext import Namespaces, TangledError, readable

LONGEST_PAGE = 2 << 20  # characters; MediaWiki's own limit is 2 MiB ($wgMaxArticleSize)
LONGEST_FIELD = 4 << 10  # characters of a title or number; titles have 255 bytes at most
DEEPEST = 16  # elements in one another; a dump has 5
ARTICLE, FILE, CATEGORY = "0", "6", "14"
WIKITEXT = ("", "wikitext")
FIELDS = {"title": "page", "ns": "page", "id": "page", "text": "revision", "model": "revision"}


@dataclass
class Page:
    """One ``<page>`` with its newest revision."""

    fields: dict[str, str] = field(default_factory=dict)
    is_redirect: bool = False
    is_too_long: bool = False

    def is_article(self) -> bool:
        """Whether it is of the main namespace, no redirect, and wikitext."""
        namespace, model = self.fields.get("ns", ARTICLE), self.fields.get("model", "")
        return namespace.strip() == ARTICLE and not self.is_redirect and model in WIKITEXT


class _BrokenDumpError(Exception):
    """What is wrong with the XML, in words."""


def dump_rows(path: Path, raw: IO[bytes], report: Report) -> Rows:
    """A row for each article that has text, numbered by its page id."""
    import_late("mwparserfromhell")
    reader = _Reader()
    for page in _pages(path, raw, reader, report):
        if not page.is_article():
            continue
        name, title = page.fields.get("id", "").strip(), page.fields.get("title", "")
        number = int(name) if name.isascii() and name.isdigit() else 0
        where = f"{path}: page {number} ({short(title)})"
        if page.is_too_long:
            report("page too long", f"{where}: more than {LONGEST_PAGE >> 20} Mi characters")
            continue
        try:
            text = readable(page.fields.get("text", ""), reader.namespaces)
        except TangledError as error:
            report("tangled page", f"{where}: {error}")
            continue
        if text:
            yield Row(number, text, None, short(title))


def _pages(path: Path, raw: IO[bytes], reader: "_Reader", report: Report) -> Iterator[Page]:
    stream = Unpacked(path, raw)
    try:
        while block := stream.read_block():
            reader.feed(block)
            yield from reader.take()
        reader.feed(b"")
        yield from reader.take()
    except BrokenArchiveError as error:
        last = f"page {reader.last}"
        report("broken archive", f"{path}: broken archive after {last} ({error}); fetch it again")
    except _BrokenDumpError as error:
        yield from reader.take()
        report("broken dump", f"{path}: broken dump after page {reader.last}: {error}")


class _Reader:
    """XML in, finished pages out; of a page only what `Page` needs is held."""

    def __init__(self) -> None:
        self.namespaces = Namespaces()
        self.last = "0"
        self._pages: list[Page] = []
        self._path: list[str] = []
        self._page = Page()
        self._text: list[str] = []
        self._size = 0
        self._key = ""
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.StartDoctypeDeclHandler = self._refuse

    def feed(self, block: bytes) -> None:
        """Parse ``block``, which is empty after the last one."""
        self._fed += len(block)
        try:
            self._parser.Parse(block, not block)
        except expat.ExpatError as error:
            raise _BrokenDumpError(f"{error}; fetch it again") from error
        # A tag or comment is held whole until it ends.
        if self._fed - self._parser.CurrentByteIndex > LONGEST_LINE:
            raise _BrokenDumpError(f"a tag or comment of more than {LONGEST_LINE >> 20} MiB")

    def take(self) -> list[Page]:
        """The pages that have ended since the last call."""
        pages, self._pages = self._pages, []
        return pages

    def _refuse(self, *_: object) -> None:
        raise _BrokenDumpError("it declares a document type, which no Wikipedia dump does")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "mediawiki":
            raise _BrokenDumpError(f"<{name[:40]}> where <mediawiki> should be: no Wikipedia dump")
        if len(self._path) >= DEEPEST:
            raise _BrokenDumpError(f"more than {DEEPEST} elements in one another")
        self._path.append(name)
        self._text, self._size = [], 0
        if name == "page":
            self._page = Page()
        elif name == "redirect":
            self._page.is_redirect = True
        elif name == "namespace":
            self._key = attributes.get("key", "")

    def _data(self, text: str) -> None:
        self._size += len(text)
        if self._size <= (LONGEST_PAGE if self._path[-1] == "text" else LONGEST_FIELD):
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        parent = self._path[-1] if self._path else ""
        if name == "page":
            self._pages.append(self._page)
            self.last = self._page.fields.get("id", "")
        elif name == "namespace":
            self._name(self._key, "".join(self._text))
        elif FIELDS.get(name) == parent:
            self._page.fields[name] = "".join(self._text)
            if name == "text":
                self._page.is_too_long = self._size > LONGEST_PAGE
        self._text, self._size = [], 0

    def _name(self, key: str, name: str) -> None:
        if key in (FILE, CATEGORY):
            self.namespaces = self.namespaces.with_name(name)
