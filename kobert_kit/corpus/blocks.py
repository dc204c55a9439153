"""Documents of a source in blocks: what is worked on at a time, and done again after a crash."""

from collections.abc import Iterable, Iterator

from kobert_kit.corpus.part import RawDocument
from kobert_vocab.reading import Document

# Characters of text. A block and what is made of it take 0.3 GB in each process; 10 GB of text are
# 700 blocks; a crash costs four seconds of work.
BLOCK = 8 << 20


def blocks(documents: Iterable[Document]) -> Iterator[list[RawDocument]]:
    """Blocks of documents that have `BLOCK` characters together, or a little more."""
    block: list[RawDocument] = []
    size = 0
    for document in documents:
        block.append(RawDocument(document.text, document.language, document.line))
        size += len(document.text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block
