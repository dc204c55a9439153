"""Text to a corpus folder.

Sources are read in blocks. Each block becomes a part (`part`), here or in worker processes; when
all parts are there, copies are found among them, and what stays is written into shards. Parts are
steps that are kept until the corpus is there, so that a build that stopped goes on where it was.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.blocks import BLOCK, tasks_of
from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.duplicates import EXACT, NEAR, find_duplicates
from kobert_kit.corpus.part import PartCounts, Splitter
from kobert_kit.corpus.ray_parts import make_parts_with_ray
from kobert_kit.corpus.shard_writer import ShardWriter
from kobert_kit.corpus.shards import Manifest, SourceCounts, SourceFile
from kobert_kit.corpus.workers import PartMaker, Task, make_parts
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder, refuse_existing
from kobert_vocab.reading import Problems, Source, find_sources, reading
from kobert_vocab.steps import Step, Steps, steps_of
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary, open_vocabulary

COPIES = "copies.npy"
REASONS = {EXACT: "exact copy", NEAR: "near copy"}
EXAMPLES = 5  # dropped documents shown for each reason

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Options:
    """See `build_corpus`."""

    held_out: float
    sentences: Splitter
    workers: int
    strict: bool
    ray: bool

    def __post_init__(self) -> None:
        if not 0 <= self.held_out <= 0.5:
            raise InputError(f"held_out is {self.held_out}; it must lie between 0 and 0.5")
        if self.workers < 1:
            raise InputError(f"workers is {self.workers}; it must be at least 1")


@dataclass
class _Made:
    """What was made of a source."""

    source: Source
    parts: list[Step] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)


def build_corpus(
    inputs: Sequence[str | Path],
    *,
    vocab: Path,
    out: Path,
    held_out: float = 0.01,
    sentences: Splitter = "rules",
    workers: int = 1,
    strict: bool = False,
    work: Path | None = None,
    ray: bool = False,
) -> Manifest:
    """Read ``inputs``, clean, split and encode them, and write the corpus folder ``out``.

    The same text and options give the same files, whatever the number of workers and however often
    the build was stopped.

    Args:
        inputs: files, folders and data sets, as for `kobert_vocab.reading.find_sources`.
        vocab: a vocabulary folder.
        out: the folder to make; it appears only when all is done.
        held_out: share of each language's documents that training never sees.
        sentences: what splits Korean text; ``kiwi`` also finds the morphemes that masks of whole
            morphemes need, and takes a hundred times as long.
        workers: processes; with ``ray`` those of a Ray that is started on this machine.
        strict: stop at the first fault in an input instead of leaving it out and counting it.
        work: folder for the steps, kept when all is done. By default one beside ``out``, which goes
            when all is done.
        ray: make the parts on the Ray cluster that the environment variable ``RAY_ADDRESS`` names,
            or with ``workers`` processes of a Ray started here. All machines must see the inputs
            and the steps, by the same paths, and have the same version of this kit.

    Raises:
        InputError: an input, the vocabulary or an option cannot be used, or nothing is left.
        ChildError: a worker process died; what is done is kept for the next try.
    """
    options = _Options(held_out, sentences, workers, strict, ray)
    refuse_existing(out)
    sources = find_sources(inputs)
    vocabulary = open_vocabulary(vocab)
    with steps_of(out, work) as steps:
        return _build(sources, vocabulary, steps, out, options)


def _build(
    sources: Sequence[Source], vocabulary: AnyVocabulary, steps: Steps, out: Path, options: _Options
) -> Manifest:
    made = [_Made(source) for source in sources]
    # Absolute, because another machine stands in another folder.
    maker = PartMaker(steps.folder.absolute(), vocabulary, options.sentences, BLOCK)
    if options.ray:
        make_parts_with_ray(sources, maker, workers=options.workers, strict=options.strict)
    _make_parts(made, maker, options)
    with new_folder(out) as folder:
        writer = ShardWriter(folder, len(vocabulary), morphemes=options.sentences == "kiwi")
        counts, examples = _merge(made, _copies(made, steps), writer)
        if not any(row.kept for row in counts):
            raise InputError(_nothing_left(counts, made))
        return writer.finish(
            vocabulary.fingerprint,
            options.held_out,
            sources=[_source_file(one) for one in made],
            counts=counts,
            examples=examples,
            options={"held_out": options.held_out, "sentences": options.sentences},
        )


def _make_parts(made: Sequence[_Made], maker: PartMaker, options: _Options) -> None:
    """Read all sources and fill in their parts; what Ray has made is there already."""
    owners: list[_Made] = []
    with reading([one.source for one in made], "corpus") as read:

        def tasks() -> Iterator[Task | Step]:
            for one in made:
                problems = None if options.strict else one.problems
                documents = read(one.source, problems)
                for task in tasks_of(one.source, documents, one.problems, maker):
                    owners.append(one)
                    yield task
                for messages in one.problems.messages.values() if options.strict else ():
                    raise InputError(messages[0])  # of an earlier run, which was not strict

        for number, part in enumerate(make_parts(maker, tasks(), options.workers)):
            owners[number].parts.append(part)


def _copies(made: Sequence[_Made], steps: Steps) -> Step:
    """The step that says of each document, part after part, whether it is a copy."""
    parts = [part for one in made for part in one.parts]

    def find(folder: Path) -> None:
        found = find_duplicates([part.folder for part in parts], folder)
        np.save(folder / COPIES, found)

    return steps.run("duplicates", {"parts": [part.hash for part in parts]}, find)


def _merge(
    made: Sequence[_Made], copies: Step, writer: ShardWriter
) -> tuple[list[SourceCounts], dict[str, tuple[str, ...]]]:
    """Write all that stays; what became of each source's documents, and examples of the rest."""
    copy = np.load(copies.folder / COPIES, mmap_mode="r")
    begin = 0
    rows: list[SourceCounts] = []
    examples: dict[str, list[str]] = {}
    for number, one in enumerate(made):
        by_language: dict[str, SourceCounts] = {}
        for part in one.parts:
            counts, documents = PartCounts.load(part.folder), Documents.load(part.folder)
            end = begin + len(documents.hashes)
            for index, language in enumerate(counts.languages):
                mine = documents.languages == index
                kept = documents.of(mine & (copy[begin:end] == 0))
                if len(kept.hashes):
                    writer.append(language, kept, number)
                row = _row(number, language, counts, kept, copy[begin:end][mine])
                before = by_language.get(language)
                by_language[language] = row if before is None else before + row
            begin = end
            for reason, shown in counts.examples.items():
                known = examples.setdefault(reason, [])
                known += shown[: EXAMPLES - len(known)]
        rows += by_language.values()
    return rows, {reason: tuple(shown) for reason, shown in sorted(examples.items())}


def _row(
    source: int, language: str, counts: PartCounts, kept: Documents, copy: npt.NDArray[np.uint8]
) -> SourceCounts:
    of_language = counts.languages[language]
    dropped = Counter(of_language.dropped)
    for kind, reason in REASONS.items():
        dropped[reason] += int((copy == kind).sum())
    return SourceCounts(
        source=source,
        language=language,
        read=of_language.read,
        read_bytes=of_language.read_bytes,
        kept=len(kept.hashes),
        sentences=len(kept.sentences),
        tokens=len(kept.tokens),
        words=int(kept.words.sum()),
        bytes=int(kept.bytes.sum()),
        dropped={reason: n for reason, n in sorted(dropped.items()) if n},
        changed=dict(sorted(of_language.changed.items())),
    )


def _source_file(one: _Made) -> SourceFile:
    source, problems = one.source, one.problems
    # The folder's name, but not the way to it: that is nobody's business.
    name = str(source) if source.config else "/".join(source.path.parts[-2:]).lstrip("/")
    hidden = str(source.path.parent) + "/"
    shown = chain.from_iterable(problems.messages.values())
    messages = [line.replace(hidden, "") for line in shown]
    counts = {str(kind): n for kind, n in problems.counts.items()}
    return SourceFile(name=name, problems=counts, messages=tuple(messages))


def _nothing_left(counts: Sequence[SourceCounts], made: Sequence[_Made]) -> str:
    messages = [line for one in made for shown in one.problems.messages.values() for line in shown]
    if not counts and messages:
        return messages[0]
    dropped = sum((Counter(row.dropped) for row in counts), Counter())
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in dropped.most_common())
    read = sum(row.read for row in counts)
    return f"nothing is left of {read:,} documents ({reasons}); give other text"
