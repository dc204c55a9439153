"""One step: a batch forward and backward, and the weights changed."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from kobert_kit.batches.batch import Batch
from kobert_kit.batches.counter_random import DROPOUT, below
from kobert_kit.pretraining.plan import fitting_micro_batches
from kobert_kit.pretraining.processes import gradients_added, whole
from kobert_kit.pretraining.run_state import Run
from kobert_kit.pretraining.schedule import share_of_peak
from kobert_kit.pretraining.step import BatchTensors, losses
from kobert_vocab.errors import InputError


def rehearse(run: Run, loaded: Iterator[list[Batch]]) -> None:
    """Go through a batch without learning from it, where DDP shares the work.

    After its first batch DDP sorts gradients into other buckets, and with more than two processes
    the place in a bucket decides in which order their gradients are added. So that a run that goes
    on adds as one that never stopped, neither begins with the first order.
    """
    if isinstance(run.model, DistributedDataParallel):
        _backward(run, next(loaded), stop=False)


@dataclass(frozen=True)
class Found:
    """Of the whole batch, over all processes; on the CPU."""

    masked: float
    next: float
    accuracy: float
    norm: float
    """Of the gradient, before it was clipped."""
    tokens: int
    stop: bool
    """Whether a process was asked to stop."""


def train_step(run: Run, loaded: Iterator[list[Batch]], *, stop: bool) -> dict[str, object]:
    """Train on the next batch.

    Args:
        run: of which the weights and optimisers change, unless the step is bad.
        loaded: gives this process's micro-batches.
        stop: whether this process was asked to stop.

    Returns:
        The step's row for ``metrics.jsonl``; with ``"bad": why`` if nothing was changed.
    """
    config, started = run.config, time.perf_counter()
    batches = next(loaded)
    waited = time.perf_counter() - started
    rate = run.phase.learning_rate * share_of_peak(
        run.progress.done, run.progress.pace, config.optimizer
    )
    found = _backward(run, batches, stop=stop)
    bad = _why_bad(run, found)
    if bad is None:
        run.progress.remember(found.masked)
        for optimizer in run.trained.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        if run.trained.average is not None:
            run.trained.average.update()
    seconds = time.perf_counter() - started
    row: dict[str, object] = {
        "step": run.progress.step + 1,
        "masked_loss": found.masked,
        "next_loss": found.next,
        "masked_accuracy": found.accuracy,
        "learning_rate": rate,
        "gradient_norm": found.norm,
        "tokens": found.tokens,
        "tokens_per_second": found.tokens / seconds,
        "loader_wait": waited / seconds,
        "stop": found.stop,
    }
    return row if bad is None else row | {"bad": bad}


def _why_bad(run: Run, found: Found) -> str | None:
    if run.progress.step in run.left_out:
        return "it was left out after a roll-back"
    if not (math.isfinite(found.masked + found.next) and math.isfinite(found.norm)):
        return "the loss or its gradient is not a number"
    if run.progress.has_leapt(found.masked, run.config.leap):
        return f"the loss has leapt to {found.masked:.2f}"
    return None


def _backward(run: Run, batches: Sequence[Batch], *, stop: bool) -> Found:
    """Gradients of a batch, micro-batch after micro-batch, clipped; and its losses."""
    try:
        return _forward_and_backward(run, batches, stop=stop)
    except torch.OutOfMemoryError as error:
        raise InputError(_what_would_fit(run)) from error


def _what_would_fit(run: Run) -> str:
    config, now = run.config, run.micro_batches
    _, room = torch.cuda.mem_get_info()
    enough = fitting_micro_batches(
        *(config.model, run.phase.data, room * run.processes.count),
        vocabulary=len(run.vocabulary),
        bf16=config.precision == "bf16",
        recompute=config.recompute,
    )
    return (
        f"step {run.progress.step}: the GPU is out of memory with {now} micro-batches of "
        f"{run.batches.windows // now} windows; go on with --resume and --micro-batches "
        f"{max(enough or 0, 2 * now)}, or --recompute"
    )


def _forward_and_backward(run: Run, batches: Sequence[Batch], *, stop: bool) -> Found:
    config, processes, device = run.config, run.processes, run.processes.device
    run.model.train()
    run.model.zero_grad(set_to_none=True)
    parts = [BatchTensors.on(device, batch) for batch in batches]
    counts = torch.tensor([[part.used, part.pairs] for part in parts], device=device).sum(0)
    counts = processes.sum(counts)
    sums = torch.zeros(3, device=device)
    for number, part in enumerate(parts):
        micro_batch = processes.rank * len(parts) + number
        drawn = below(1 << 53, DROPOUT, config.seed, run.progress.step, micro_batch)
        seed = torch.from_numpy(drawn).to(device)
        with (
            gradients_added(run.model, last=number == len(parts) - 1),
            torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"),
        ):
            one = losses(run.model, part, seed, counts)
            # Processes take the mean of their gradients; the sum is what is asked for.
            torch.autograd.backward(one.total * processes.count)
        sums += torch.stack([one.masked.detach(), one.next.detach(), one.correct / counts[0]])
    norm = torch.nn.utils.clip_grad_norm_(run.trained.model.parameters(), config.optimizer.clip)
    tokens = torch.tensor([sum(batch.text_tokens for batch in batches), stop], device=device)
    return _found(processes.sum(torch.cat([sums.double(), tokens])), whole(norm))


def _found(sums: Tensor, norm: Tensor) -> Found:
    # One transfer, so that the device waits for the host once.
    masked, following, accuracy, tokens, stop, of_gradient = torch.cat([sums, norm[None]]).tolist()
    return Found(masked, following, accuracy, of_gradient, int(tokens), stop > 0)
