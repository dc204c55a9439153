"""The processes of a run: one, or as many as torchrun or a cluster's scheduler has started.

They are told apart by RANK, WORLD_SIZE and LOCAL_RANK, and meet at MASTER_ADDR:MASTER_PORT, as all
of PyTorch's launchers set them. Each has one GPU, or on a CPU a share of the cores.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp import register_fsdp_forward_method as also_gathers
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from kobert_kit.encoder import PretrainingModel
from kobert_vocab.errors import InputError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks to people."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def of_the_first(self, value: float) -> float:
        """The first one's ``value``, for all."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return shared.item()

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def processes_of(device: Literal["auto", "cpu", "cuda"]) -> Iterator[Processes]:
    """This process, joined with the others.

    Raises:
        InputError: there is no such device, or another process is lost.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch finds no CUDA device; use --device cpu")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, torch.device("cuda" if cuda else "cpu"))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and local >= torch.cuda.device_count():
        raise InputError(
            f"process {local} of this machine has no GPU of its own: there are "
            f"{torch.cuda.device_count()}; start as many processes (torchrun --nproc-per-node)"
        )
    own = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(own)
    ours = not distributed.is_initialized()  # else a caller's, who goes on with it
    if ours:
        distributed.init_process_group("nccl" if cuda else "gloo", device_id=own if cuda else None)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), own)
    except RuntimeError as error:
        if not _is_of_the_line(error):
            raise
        raise InputError(
            f"process {distributed.get_rank()} has lost the others, one of which may have ended "
            f"({str(error).splitlines()[0]}); see what it or its launcher said, and go on with "
            "--resume"
        ) from error
    finally:
        if ours:
            distributed.destroy_process_group()


def _is_of_the_line(error: RuntimeError) -> bool:
    """Whether an error is that of processes that do not reach each other."""
    # NCCL and the store have types of their own; Gloo has words: its source files' names.
    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)


def shared(
    model: PretrainingModel, processes: Processes, parallel: Literal["ddp", "fsdp"], *, bf16: bool
) -> nn.Module:
    """The model as it is called in training, with gradients that are means over all processes.

    Args:
        model: on the device; FSDP2 changes it in place, and each process keeps a share of it.
        processes: of the run; with one there is nothing to share.
        parallel: how.
        bf16: weights are sent, and computed with, in bf16; gradients are added in fp32.
    """
    if processes.count == 1:
        return model
    if parallel == "ddp":
        return DistributedDataParallel(
            model, device_ids=[processes.device] if processes.device.type == "cuda" else None
        )
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    policy = half if bf16 else MixedPrecisionPolicy()
    for layer in model.encoder.layers:
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    also_gathers(model, "logits")
    return model


@contextmanager
def gradients_added(model: nn.Module, *, last: bool) -> Iterator[None]:
    """Processes exchange gradients after the ``last`` micro-batch of a batch alone."""
    if isinstance(model, DistributedDataParallel) and not last:
        with model.no_sync():
            yield
        return
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
    yield


def put_away(model: nn.Module) -> None:
    """Keep this process's share alone of weights that were put together to be looked at.

    FSDP2 does so after a backward pass. Without one the first part's weights stay whole: they would
    not follow a change of the shares, and their gradients not be set to zero.
    """
    if isinstance(model, FSDPModule):
        model.reshard()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that the processes may each have a share of; all must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, or this process's share of it where it has but one of ``other``."""
    if isinstance(other, DTensor) and tensor.shape == other.shape:
        return distribute_tensor(tensor, other.device_mesh, other.placements)
    return tensor
