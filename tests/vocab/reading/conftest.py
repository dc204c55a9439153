"""Writers of the kinds of files that nobody writes by hand: dumps and web archives."""

import bz2
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import pytest
from backports import zstd

from kobert_vocab import Document, Problems, find_sources, read_all

PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd.compress}
HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ko">
<siteinfo><sitename>백과</sitename><namespaces>
<namespace key="0" case="first-letter" /><namespace key="6" case="first-letter">파일</namespace>
<namespace key="14" case="first-letter">분류</namespace>
</namespaces></siteinfo>
"""


class Page(NamedTuple):
    title: str
    text: str
    namespace: int = 0
    redirect: str | None = None
    model: str = "wikitext"


def dump(pages: Sequence[Page]) -> str:
    parts = [HEAD]
    for number, page in enumerate(pages, start=1):
        redirect = f'<redirect title="{page.redirect}" />' if page.redirect else ""
        parts.append(
            f"<page><title>{escape(page.title)}</title><ns>{page.namespace}</ns>"
            f"<id>{10 * number}</id>{redirect}<revision><id>{1000 + number}</id>"
            f"<contributor><username>글쓴이</username><id>7</id></contributor>"
            f"<model>{page.model}</model><format>text/x-wiki</format>"
            f'<text bytes="9" xml:space="preserve">{escape(page.text)}</text></revision></page>\n'
        )
    return "".join([*parts, "</mediawiki>\n"])


def record(text: str | bytes, kind: str = "conversion", length: int | None = None, **more: str):
    content = text.encode() if isinstance(text, str) else text
    length = len(content) if length is None else length
    lines = ["WARC/1.0", f"WARC-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"WARC-{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n\r\n"


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of a name, packed as that says."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(PACK.get(path.suffix, bytes)(content))
        return path

    return write


@pytest.fixture
def documents() -> Callable[..., list[Document]]:
    """All documents of the inputs; with ``problems`` those that are good."""

    def read(*inputs: str | Path, problems: Problems | None = None) -> list[Document]:
        return list(read_all(find_sources(inputs), "reading", problems))

    return read


@pytest.fixture
def salvage(documents: Callable[..., list[Document]]):
    """The texts that are good, and the counts of what is not."""

    def read(path: str | Path) -> tuple[list[str], dict[str, int]]:
        problems = Problems()
        texts = [document.text for document in documents(path, problems=problems)]
        assert problems.messages.keys() == problems.counts.keys()
        assert all("\n" not in one for many in problems.messages.values() for one in many)
        return texts, dict(problems.counts)

    return read


@pytest.fixture(scope="session")
def make_dump() -> Callable[..., str]:
    """The XML of a dump of pages: (title, text, namespace, redirect, model)."""
    return lambda *pages: dump([Page(*page) for page in pages])


@pytest.fixture(scope="session")
def make_record() -> Callable[..., bytes]:
    """A WARC record, with a length in its head that may be wrong."""
    return record
