"""Whether a run that stops and goes on ends as one that does not: tried on this machine."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file

from kobert_kit.encoder.huggingface.weights import WHOLE
from kobert_kit.pretraining.config import PretrainConfig
from kobert_kit.pretraining.run import pretrain
from kobert_vocab.errors import InputError

STEPS = 20


def verify_resume(config: PretrainConfig) -> str:
    """Train `STEPS` steps in one go, and again with a stop half-way; both in a folder that goes.

    Returns:
        What was found, in a line.

    Raises:
        InputError: the weights differ, or the run cannot be made.
    """
    with TemporaryDirectory(prefix="kobert-verify-") as folder:
        whole = replace(
            config,
            steps=STEPS,
            budget=None,
            trackers=(),
            evaluate_every=STEPS,
            out=Path(folder) / "whole",
        )
        parted = replace(whole, out=Path(folder) / "parted")
        pretrain(whole)
        pretrain(parted, stop_after=STEPS // 2)
        pretrain(parted, resume=True)
        first, second = (load_file(run.out / "model" / WHOLE) for run in (whole, parted))
    for name, weight in first.items():
        if not torch.equal(weight, second[name]):
            furthest = (weight - second[name]).abs().max().item()
            raise InputError(
                f"{name} differs by up to {furthest:.1e} after {STEPS} steps, {STEPS // 2} of them "
                "before a stop: what computes here does not give the same bits twice"
            )
    count = sum(weight.numel() for weight in first.values())
    return (
        f"{STEPS} steps, or {STEPS // 2}, a stop and the rest: {count:,} weights equal, bit for bit"
    )
