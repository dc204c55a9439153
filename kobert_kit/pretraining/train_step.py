"""One step: a batch forward and backward, and the weights changed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from kobert_kit.batches.counter_random import DROPOUT, below
from kobert_kit.pretraining.ahead import Ahead, Share
from kobert_kit.pretraining.gpus import peak_of
from kobert_kit.pretraining.plan import fitting_micro_batches, operations_of_a_token
from kobert_kit.pretraining.processes import gradients_added, whole
from kobert_kit.pretraining.run_state import Run
from kobert_kit.pretraining.schedule import share_of_peak
from kobert_kit.pretraining.step import losses
from kobert_vocab.errors import InputError


def rehearse(run: Run, ahead: Ahead) -> None:
    """Go through a batch without learning from it, where DDP shares the work.

    After its first batch DDP sorts gradients into other buckets, and with more than two processes
    the place in a bucket decides in which order their gradients are added. So that a run that goes
    on adds as one that never stopped, neither begins with the first order.
    """
    if isinstance(run.model, DistributedDataParallel):
        _backward(run, ahead.take(), stop=lambda: False, meanwhile=lambda: None)


@dataclass(frozen=True)
class Found:
    """Of the whole batch, over all processes; on the CPU."""

    masked: float
    next: float
    accuracy: float
    norm: float
    """Of the gradient, before it was clipped."""
    tokens: int
    attended: float
    """Tokens that a token attends to, on average: those of its sequence."""
    used: int
    """Masked places."""
    stop: bool
    """Whether a process was asked to stop."""


def train_step(run: Run, ahead: Ahead, *, stop: Callable[[], bool]) -> dict[str, object]:
    """Train on the next batch.

    Args:
        run: of which the weights and optimisers change, unless the step is bad.
        ahead: gives this process's micro-batches.
        stop: whether this process was asked to stop; looked at when the batch is done.

    Returns:
        The step's row for ``metrics.jsonl``; with ``"bad": why`` if nothing was changed.
    """
    config, started = run.config, time.perf_counter()
    share = ahead.take()
    rate = run.phase.learning_rate * share_of_peak(
        run.progress.done, run.progress.pace, config.optimizer
    )
    found = _backward(run, share, stop=stop, meanwhile=ahead.fetch)
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
        "loader_wait": share.waited / seconds,
        "stop": found.stop,
        **_speed(run, found, seconds),
    }
    return row if bad is None else row | {"bad": bad}


def _speed(run: Run, found: Found, seconds: float) -> dict[str, float]:
    """What one device has computed of the model's own operations, and what of its memory it took.

    Operations are those of text, padding and what is computed again aside; MFU is their share of
    the device's peak (Chowdhery et al. 2022, "PaLM", appendix B).
    """
    processes = run.processes
    operations = found.tokens * operations_of_a_token(
        run.shape,
        max(1, round(found.attended)),
        len(run.vocabulary),
        found.used / max(1, found.tokens),
    )
    speed = {"tflops": operations / seconds / processes.count / 1e12}
    if processes.device.type == "cuda":
        speed["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        peak = peak_of(torch.cuda.get_device_name())
        if peak is not None:
            speed["mfu"] = speed["tflops"] * 1e12 / peak
    return speed


def _why_bad(run: Run, found: Found) -> str | None:
    if run.progress.step in run.left_out:
        return "it was left out after a roll-back"
    if not (math.isfinite(found.masked + found.next) and math.isfinite(found.norm)):
        return "the loss or its gradient is not a number"
    if run.progress.has_leapt(found.masked, run.config.leap):
        return f"the loss has leapt to {found.masked:.2f}"
    return None


def _backward(
    run: Run, share: Share, *, stop: Callable[[], bool], meanwhile: Callable[[], None]
) -> Found:
    """Gradients of a batch, micro-batch after micro-batch, clipped; and its losses.

    ``meanwhile`` is called when all is under way and nothing is waited for yet.
    """
    try:
        found = _forward_and_backward(run, share, stop=stop)
        meanwhile()
        return _found(found)
    except torch.OutOfMemoryError as error:
        raise InputError(_what_would_fit(run)) from error


def _what_would_fit(run: Run) -> str:
    config, now = run.config, run.micro_batches
    _, room = torch.cuda.mem_get_info()
    enough = fitting_micro_batches(
        *(run.shape, run.phase.data, room),
        vocabulary=len(run.vocabulary),
        gpus=run.processes.count,
        parallel=config.parallel,
        bf16=config.precision == "bf16",
        recompute=config.recompute,
    )
    return (
        f"step {run.progress.step}: the GPU is out of memory with {now} micro-batches of "
        f"{run.batches.windows // now} windows; go on with --resume and --micro-batches "
        f"{max(enough or 0, 2 * now)}, or --recompute"
    )


def _forward_and_backward(run: Run, share: Share, *, stop: Callable[[], bool]) -> Tensor:
    config, processes, device = run.config, run.processes, run.processes.device
    run.model.train()
    run.model.zero_grad(set_to_none=True)
    parts = share.tensors
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
    lengths = np.concatenate([batch.text_lengths for batch in share.batches])
    facts = torch.tensor([lengths.sum(), (lengths**2).sum(), stop()], device=device)
    together = processes.sum(torch.cat([sums.double(), facts]))
    return torch.cat([together, counts[:1], whole(norm)[None]])


def _found(found: Tensor) -> Found:
    # One transfer, so that the device waits for the host once.
    masked, following, accuracy, tokens, squares, stop, used, norm = found.tolist()
    return Found(
        masked=masked,
        next=following,
        accuracy=accuracy,
        norm=norm,
        tokens=int(tokens),
        attended=squares / max(1.0, tokens),
        used=int(used),
        stop=stop > 0,
    )
