"""Parts made in this process or in others: the same function everywhere."""

import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from kobert_kit.corpus.part import RawDocument, Splitter, make_part
from kobert_kit.corpus.signatures import VERSION
from kobert_vocab.child import ChildError
from kobert_vocab.steps import Step, Steps
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

CLEANING = 2  # another number when parts of the same text would be others


class Task(NamedTuple):
    """A block of a source that is to become a part."""

    source: str
    """Its identity."""
    number: int
    """Of the block in the source."""
    block: list[RawDocument]


class PartMaker:
    """Makes parts as steps of a build, so that none is made twice.

    Args:
        folder: of the steps; one that all processes and machines see.
        vocabulary: what encodes.
        splitter: what splits Korean text into sentences.
        characters: of a block, at which sources are cut.
    """

    def __init__(
        self, folder: Path, vocabulary: AnyVocabulary, splitter: Splitter, characters: int
    ) -> None:
        self.steps, self.characters = Steps(folder), characters
        self._vocabulary, self._splitter = vocabulary, splitter

    def existing(self, source: str, number: int) -> Step | None:
        """The part that an earlier run has made, if it is whole."""
        return self.steps.existing("part", self._shaped_by(source, number))

    def __call__(self, task: Task) -> Step:
        """The part of ``task``, as it was made before or made now."""
        return self.steps.run(
            "part",
            self._shaped_by(task.source, task.number),
            lambda folder: make_part(task.block, folder, self._vocabulary, self._splitter),
            one_of_many=True,
        )

    def _shaped_by(self, source: str, number: int) -> dict[str, object]:
        return {
            "source": source,
            "block": number,
            "characters": self.characters,
            "vocabulary": self._vocabulary.fingerprint,
            "sentences": self._splitter,
            "cleaning": CLEANING,
            "signatures": VERSION,
        }


def make_parts(maker: PartMaker, tasks: Iterable[Task | Step], workers: int) -> Iterator[Step]:
    """The part of each task, in order; what is a part already passes through.

    At most two blocks for each worker are held in memory.

    Raises:
        ChildError: a worker process died.
    """
    if workers == 1:
        yield from (maker(task) if isinstance(task, Task) else task for task in tasks)
        return
    # Not forked: a fork of a process that shows a progress bar, which has a thread, may hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _ready, (maker,))
    try:
        waiting: deque[Future[Step] | Step] = deque()
        # A source that is given twice has the same parts; two workers would both make them.
        futures: WeakValueDictionary[tuple[str, int], Future[Step]] = WeakValueDictionary()
        for task in tasks:
            if isinstance(task, Task):
                future = futures.get(task[:2]) or pool.submit(_work, task)
                futures[task[:2]] = future
                waiting.append(future)
            else:
                waiting.append(task)
            while len(waiting) > 2 * workers:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    except BrokenProcessPool as error:
        raise ChildError(
            "a worker process died, perhaps for want of memory: try fewer --workers; the parts "
            "that are done are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(waiting: "Future[Step] | Step") -> Step:
    return waiting if isinstance(waiting, Step) else waiting.result()


_MAKER: list[PartMaker] = []  # of a worker process


def _ready(maker: PartMaker) -> None:
    # Ctrl-C reaches all processes; a worker ends with its block, when the first one says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _MAKER.append(maker)


def _work(task: Task) -> Step:
    return _MAKER[0](task)
