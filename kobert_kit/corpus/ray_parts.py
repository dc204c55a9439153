"""Parts made on the machines of a Ray cluster: what one machine does, as a Ray Data pipeline.

Tasks that read give blocks, tasks that make parts take them. Ray says what runs where, holds
reading back while parts are made more slowly, and repeats what a lost machine was doing. Parts are
steps of the build, in a folder that all machines see.
"""

import pickle
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from kobert_kit.corpus.blocks import tasks_of
from kobert_kit.corpus.ray_cluster import RETRIES, ray_cluster
from kobert_kit.corpus.workers import PartMaker, Task
from kobert_vocab.child import ChildError
from kobert_vocab.errors import InputError
from kobert_vocab.reading import Document, Problems, Source, read_with_places

if TYPE_CHECKING:
    from ray.data import DataContext, Dataset

AHEAD = 2  # blocks for each CPU that are read and wait: one is worked on, one is on its way
BYTES_OF_CHARACTER = 3  # of Hangul in UTF-8; mostly Latin text takes less
READING = 2  # CPUs for each task that reads: plain text is read twenty times as fast as worked on


class _Row(NamedTuple):
    """What goes from task to task, pickled, because to Arrow it is no row of columns.

    Errors that a person can mend are values: what is raised, Ray wraps.
    """

    content: Task | InputError | OSError | None
    """A block to make a part of; why there is none; None when the part is made."""
    place: tuple[str, int] = ("", 0)
    """The source and the number of the block."""
    read: int = 0
    """Bytes of the source since the block before."""

    def packed(self) -> dict[str, bytes]:
        return {"row": pickle.dumps(self)}


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads a source, on whatever machine."""

    maker: bytes
    """See `_unpickled`."""
    strict: bool
    folder: Path
    """Where relative names of sources begin; another machine may stand elsewhere."""

    def __call__(self, row: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
        try:
            with chdir(self.folder):
                for block in self._blocks(pickle.loads(row["source"])):
                    yield block.packed()
        except (InputError, OSError) as error:
            yield _Row(error).packed()

    def _blocks(self, source: Source) -> Iterator[_Row]:
        problems = Problems()
        now = before = 0

        def documents() -> Iterator[Document]:
            nonlocal now
            for document, place in read_with_places(source, None if self.strict else problems):
                now = place
                yield document

        maker = _unpickled(self.maker)
        for task in tasks_of(source, documents(), problems, maker):
            if isinstance(task, Task):
                yield _Row(task, (task.source, task.number), now - before)
                before = now


@dataclass(frozen=True, kw_only=True)
class _Maker:
    """Makes a part, on whatever machine."""

    maker: bytes
    """See `_unpickled`."""

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        block: _Row = pickle.loads(row["row"])
        if not isinstance(block.content, Task):
            return row
        try:
            _unpickled(self.maker)(block.content)
        except (InputError, OSError) as error:
            return block._replace(content=error).packed()
        return block._replace(content=None).packed()


@cache
def _unpickled(maker: bytes) -> PartMaker:
    """What makes parts, once in a process and not in each of its tasks: it takes 0.1 s."""
    made: PartMaker = pickle.loads(maker)
    return made


def make_parts_with_ray(
    sources: Sequence[Source], maker: PartMaker, *, workers: int, strict: bool
) -> None:
    """Make the parts of ``sources`` that are not there yet, with a progress bar over their bytes.

    Args:
        sources: what is read; all machines must see it, by the same paths.
        maker: of the parts; its folder too all machines must see.
        workers: CPUs, where `ray_cluster` starts a Ray.
        strict: stop at a fault in a source.

    Raises:
        InputError: as `ray_cluster`; the machines do not see the same; or as for `read_documents`.
        OSError: a disk is full, or cannot be read or written.
        ChildError: the worker processes of a task died again and again.
    """
    sizes = [source.size() for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with (
        ray_cluster(workers),
        tqdm(total=total, unit="B", unit_scale=True, desc="parts", disable=None) as bar,
        closing(_made(sources, maker, strict)) as made,
    ):
        for row in made:
            if isinstance(row.content, InputError | OSError):
                raise row.content
            if maker.existing(*row.place) is None:
                raise InputError(
                    f"{maker.steps.folder}: a part that Ray has made is not in this folder; all "
                    "machines must see it, and have the same versions of this kit and sentencepiece"
                )
            bar.update(row.read)
        if total is not None:
            bar.update(total - bar.n)


def _made(sources: Sequence[Source], maker: PartMaker, strict: bool) -> Generator[_Row]:
    """What became of each block, in the order in which they are done."""
    import ray
    from ray.data import DataContext
    from ray.exceptions import RayError, RayTaskError

    pickled = pickle.dumps(maker)
    reader = _Reader(maker=pickled, strict=strict, folder=Path.cwd())
    items = _items(sources)
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus = max(1, int(resources.get("CPU", 1)))  # none yet where Ray adds machines as it needs them
    with DataContext.current(_context(AHEAD * cpus * maker.characters * BYTES_OF_CHARACTER)):
        # Readers take none of Ray's CPUs, so that one is enough for all and none ever stands
        # still because what holds it waits for makers.
        made = (
            ray.data.from_items(items, override_num_blocks=len(items))
            .flat_map(reader, num_cpus=0, concurrency=max(1, cpus // READING), max_retries=RETRIES)
            .map(_Maker(maker=pickled), num_cpus=1, max_retries=RETRIES)
        )
    try:
        for row in _rows(made):
            yield pickle.loads(row)
    except RayTaskError:
        raise  # a fault in our code, which needs its traceback
    except RayError as error:
        raise ChildError(
            "a worker process of Ray died, perhaps for want of memory: try fewer --workers, or "
            "fewer CPUs for each machine of the cluster; the parts that are done are kept"
        ) from error


def _rows(made: "Dataset") -> Generator[bytes]:
    """The rows of a pipeline, which runs as long as someone reads them.

    Another thread takes them from Ray: Ctrl-C comes to this one, and in Ray's code it may be lost
    and leave a lock shut.
    """
    arrived: SimpleQueue[bytes | None] = SimpleQueue()
    stopped = Event()

    def stop() -> None:
        # No public function stops the pipeline's own thread. Ray aborts the process if it is shut
        # down while that runs.
        made._synchronize_progress_bar()  # type: ignore[no-untyped-call]

    def take() -> None:
        try:
            for row in made.iter_rows():
                if stopped.is_set():
                    break
                arrived.put(row["row"])
        finally:
            stop()
            arrived.put(None)

    with ThreadPoolExecutor(1) as thread:
        taking = thread.submit(take)
        try:
            while (row := arrived.get()) is not None:
                yield row
            taking.result()  # raises what Ray has raised
        finally:
            stopped.set()
            stop()


def _items(sources: Sequence[Source]) -> list[dict[str, bytes]]:
    """A row for each source; one that is given twice has the same parts, and comes once."""
    once = {source.identity(): source for source in sources}
    return [{"source": pickle.dumps(source)} for source in once.values()]


def _context(memory: int) -> "DataContext":
    """Settings of a quiet pipeline that has ``memory`` bytes of text on its way at most."""
    from ray.data import DataContext, ExecutionResources

    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # each of our blocks is one of Ray's, and goes at once
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=memory)
    return context
