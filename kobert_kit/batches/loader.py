"""Batches ahead of time: made in worker processes while the device computes.

What a batch is does not depend on who makes it, so the state of a loader is the number of the next
step, and any number of workers gives the same batches.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader, Dataset

from kobert_kit.batches.batch import Batch
from kobert_kit.batches.batches import Batches
from kobert_vocab.errors import InputError

PREFETCHED = 4  # batches each worker has ready; a batch of 64k tokens is 1 MB


class _Shares(Dataset[list[Batch]]):
    """Item ``step``: a rank's share of it, in micro-batches."""

    def __init__(self, batches: Batches, rank: int, ranks: int, micro_batches: int) -> None:
        self._batches, self._rank, self._ranks = batches, rank, ranks
        self._windows = batches.windows // micro_batches

    def __getitem__(self, step: int) -> list[Batch]:
        parts = self._batches.windows_of(step) // self._windows
        share = parts // self._ranks
        first = self._rank * share
        return [self._batches.part(step, first + number, parts) for number in range(share)]


def load(
    batches: Batches,
    steps: range,
    *,
    rank: int = 0,
    ranks: int = 1,
    micro_batches: int | None = None,
    workers: int = 0,
) -> Iterator[list[Batch]]:
    """The batches of ``steps``, in order; of each this rank's micro-batches.

    Args:
        batches: of the corpus.
        steps: from the one to go on with.
        rank: which of the equal shares of each batch to load.
        ranks: how many shares there are.
        micro_batches: parts of a full batch, over all ranks; a batch that still grows has fewer,
            of the same size. A multiple of ``ranks``, which it is if not given.
        workers: processes that make batches ahead; with 0 each is made when it is asked for.

    Raises:
        InputError: the smallest batch cannot be shared out so.
    """
    check_shares(batches, ranks=ranks, micro_batches=micro_batches)
    yield from DataLoader(
        _Shares(batches, rank, ranks, micro_batches or ranks),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=PREFETCHED if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals_to_the_parent,
    )


def check_shares(batches: Batches, *, ranks: int, micro_batches: int | None) -> None:
    """See whether all batches can be shared out; see `load`.

    Raises:
        InputError: the smallest cannot.
    """
    micro_batches = micro_batches or ranks
    smallest = batches.windows_of(0)
    parts, rest = divmod(smallest * micro_batches, batches.windows)
    if rest or parts % ranks or batches.windows % micro_batches:
        raise InputError(
            f"a batch of {smallest} windows cannot be shared by {ranks} processes, with "
            f"{micro_batches} micro-batches in one of {batches.windows}; set --micro-batches to a "
            f"multiple of {ranks}, and windows to a multiple of that"
        )


@contextmanager
def loaders_watched() -> Iterator[None]:
    """Tells of a loader that dies in this block. PyTorch raises that wherever the block is then.

    Raises:
        InputError: one has died.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise InputError(
            f"a process that makes batches has died, perhaps for want of memory ({error}); go on "
            "with --resume, and with fewer --loaders (0: none) if it dies again"
        ) from error


def _leave_signals_to_the_parent(worker: int) -> None:
    # Ctrl-C and SIGTERM reach all processes of a group; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _as_it_is(share: Any) -> Any:  # noqa: ANN401  # a list of Batch, but DataLoader says another
    return share
