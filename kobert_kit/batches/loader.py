"""Batches ahead of time: made in worker processes while the device computes.

What a batch is does not depend on who makes it, so the state of a loader is the number of the next
step, and any number of workers gives the same batches.
"""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from kobert_kit.batches.batch import Batch
from kobert_kit.batches.batches import Batches

PREFETCHED = 4  # batches each worker has ready; a batch of 64k tokens is 1 MB


class _Parts(Dataset[Batch]):
    """One rank's part of each step."""

    def __init__(self, batches: Batches, rank: int, ranks: int) -> None:
        self._batches, self._rank, self._ranks = batches, rank, ranks

    def __getitem__(self, step: int) -> Batch:
        return self._batches.part(step, self._rank, self._ranks)


def load(
    batches: Batches, steps: range, *, rank: int = 0, ranks: int = 1, workers: int = 0
) -> Iterator[Batch]:
    """The batches of ``steps``, in order.

    Args:
        batches: of the corpus.
        steps: from the one to go on with.
        rank: which of the equal parts of each batch to load.
        ranks: how many parts there are.
        workers: processes that make batches ahead; with 0 each is made when it is asked for.
    """
    yield from DataLoader(
        _Parts(batches, rank, ranks),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=PREFETCHED if workers else None,
        collate_fn=_as_it_is,
    )


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401  # a Batch, but DataLoader says a list
    return batch
