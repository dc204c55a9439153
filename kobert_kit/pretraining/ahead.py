"""Micro-batches on the device, those of the next step while the device is at work on this one."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from kobert_kit.batches.batch import Batch
from kobert_kit.pretraining.step import BatchTensors


@dataclass(frozen=True)
class Share:
    """Of one step: what one process works on, micro-batch after micro-batch."""

    batches: Sequence[Batch]
    tensors: Sequence[BatchTensors]
    waited: float
    """Seconds in which the loaders had nothing yet."""


class Ahead:
    """The shares of a process, one after another.

    Args:
        loaded: micro-batches of each step.
        device: that they are copied to.
    """

    def __init__(self, loaded: Iterator[list[Batch]], device: torch.device) -> None:
        self._loaded, self._device = loaded, device
        self._ready: list[Share] = []

    def take(self) -> Share:
        """The share of the next step."""
        if not self._ready:
            self.fetch()
        return self._ready.pop()

    def fetch(self) -> None:
        """Have the next share ready. A GPU that is at work does not wait for the copies."""
        began = time.perf_counter()
        batches = next(self._loaded)
        waited = time.perf_counter() - began
        tensors = [BatchTensors.on(self._device, batch) for batch in batches]
        self._ready.append(Share(batches, tensors, waited))
