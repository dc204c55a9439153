"""Batches ahead of time: made in worker processes while the device computes.

What a batch is does not depend on who makes it, so the state of a loader is the number of the next
step, and any number of workers gives the same batches.
"""

import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from kobert_kit.batches.batch import Batch
from kobert_kit.batches.batches import Batches

PREFETCHED = 4  # batches each worker has ready; a batch of 64k tokens is 1 MB


class _Parts(Dataset[Batch]):
    """Item ``step * parts + part``: one part of a rank's share of a step."""

    def __init__(self, batches: Batches, rank: int, ranks: int, parts: int) -> None:
        self._batches, self._rank, self._ranks, self._parts = batches, rank, ranks, parts

    def __getitem__(self, item: int) -> Batch:
        step, part = divmod(item, self._parts)
        return self._batches.part(step, self._rank * self._parts + part, self._ranks * self._parts)


def load(
    batches: Batches,
    steps: range,
    *,
    rank: int = 0,
    ranks: int = 1,
    parts: int = 1,
    workers: int = 0,
) -> Iterator[Batch]:
    """The batches of ``steps``, in order; of each its parts, one after another.

    Args:
        batches: of the corpus.
        steps: from the one to go on with.
        rank: which of the equal shares of each batch to load.
        ranks: how many shares there are.
        parts: how many batches a share comes in.
        workers: processes that make batches ahead; with 0 each is made when it is asked for.
    """
    yield from DataLoader(
        _Parts(batches, rank, ranks, parts),
        batch_size=None,
        sampler=range(steps.start * parts, steps.stop * parts),
        num_workers=workers,
        prefetch_factor=PREFETCHED if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals_to_the_parent,
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    # Ctrl-C and SIGTERM reach all processes of a group; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401  # a Batch, but DataLoader says a list
    return batch
