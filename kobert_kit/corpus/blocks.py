"""Documents of a source in blocks: what is worked on at a time, and done again after a crash."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from kobert_kit.corpus.part import RawDocument
from kobert_kit.corpus.workers import PartMaker, Task
from kobert_vocab.reading import Document, Problems, Source
from kobert_vocab.steps import Step

# Characters of text. A block and what is made of it take 0.3 GB in each process; 10 GB of text are
# 700 blocks; a crash costs four seconds of work.
BLOCK = 8 << 20
READ = "read.json"


def blocks(documents: Iterable[Document], characters: int) -> Iterator[list[RawDocument]]:
    """Blocks of documents that have ``characters`` together, or a little more."""
    block: list[RawDocument] = []
    size = 0
    for document in documents:
        block.append(RawDocument(document.text, document.language, document.line))
        size += len(document.text)
        if size >= characters:
            yield block
            block, size = [], 0
    if block:
        yield block


def tasks_of(
    source: Source,
    documents: Iterable[Document],
    problems: Problems,
    maker: PartMaker,
) -> Iterator[Task | Step]:
    """The blocks of a source, or with no block read the parts that were made of all of them before.

    Of a source of which some parts are missing all blocks come, again and again the same: Ray
    repeats a reading that it lost and counts on that.

    Args:
        source: what is read.
        documents: of the source.
        problems: where reading counts faults; it gets those of an earlier run that was whole.
        maker: of the parts.
    """
    identity = source.identity()
    shaped_by = {"source": identity, "characters": maker.characters}
    read = maker.steps.existing("read", shaped_by)
    if read is not None:
        about = json.loads((read.folder / READ).read_text(encoding="utf-8"))
        parts = [maker.existing(identity, number) for number in range(about["blocks"])]
        if all(parts):
            problems.counts = Counter(about["problems"])
            problems.messages = about["messages"]
            yield from filter(None, parts)
            return
    number = 0
    for number, block in enumerate(blocks(documents, maker.characters), 1):
        yield Task(identity, number - 1, block)
    about = {"blocks": number, "problems": problems.counts, "messages": problems.messages}

    def write(folder: Path) -> None:
        (folder / READ).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    maker.steps.run("read", shaped_by, write, one_of_many=True)
