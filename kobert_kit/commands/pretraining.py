"""``kobert plan`` and ``kobert pretrain``."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from kobert_kit.batches.options import DataConfig
from kobert_kit.launch import has_others, is_first
from kobert_kit.pretraining.config import (
    ModelConfig,
    PretrainConfig,
    TrainingPhase,
    check_phases,
    check_shape_of_from,
)
from kobert_kit.pretraining.config_file import read_phases, with_phases
from kobert_vocab.errors import InputError


def pretrain(
    *,
    settings: Annotated[PretrainConfig, arg(name="")],
    config: Path | None = None,
    resume: bool = False,
    resume_if_begun: bool = False,
    verify_resume: bool = False,
) -> None:
    """Pretrain a BERT on a corpus.

    Args:
        settings: The run.
        config: TOML file with these settings; flags given beside it win.
        resume: Go on from the newest checkpoint in --out.
        resume_if_begun: Go on if --out is a run already, and begin one if not: for a cluster, which
            repeats the command line of a job that it starts again.
        verify_resume: Only try whether this machine goes on bit for bit after a stop; leaves
            nothing behind.
    """
    from kobert_kit.pretraining.run import pretrain as run
    from kobert_kit.pretraining.verify_resume import verify_resume as verify

    settings = with_phases(settings, config, given=sys.argv)
    if verify_resume:
        if has_others():
            raise InputError("--verify-resume tries one process; start it without torchrun")
        print(verify(settings))  # noqa: T201
        return

    # Not any folder: a mistyped --out must not be written to. All processes look before one writes.
    begun = resume_if_begun and (settings.out / "config.toml").exists()
    run(settings, resume=resume or begun)
    if is_first():
        print(f"model: {settings.out / 'model'}   report: {settings.out / 'report.html'}")  # noqa: T201


def plan(
    *,
    steps: int | None = None,
    budget: str | None = None,
    config: Path | None = None,
    from_: Annotated[str | None, arg(name="from")] = None,
    vocab_size: int | None = None,
    micro_batches: int | None = None,
    precision: Literal["fp32", "bf16"] = "bf16",
    recompute: bool = False,
    model: ModelConfig,
    data: DataConfig,
    gpu: str = "H100",
    gpus: int = 1,
    parallel: Literal["ddp", "fsdp"] = "ddp",
    mfu: float = 0.4,
    tokens_per_second: float | None = None,
    dollars: float | None = None,
    won: float = 1_400.0,
) -> None:
    """Count what a run would take: parameters, operations, memory, time and cost.

    Args:
        steps: Batches to train on; or give --budget.
        budget: Time to train for, as 24h: how far it gets in that.
        config: TOML file of a run; flags given beside it win.
        from_: Model that the run goes on from, a folder or a name on the hub: its shape is taken.
        vocab_size: Pieces; those of --from, or else 32,000, if not given.
        micro_batches: Parts that each batch is worked on in; as many as GPUs if not given.
        precision: Of matrix products, and of what is kept for the backward pass.
        recompute: Compute each layer again in the backward pass.
        model: Shape of the encoder.
        data: How the corpus becomes batches.
        gpu: H200, H100, A100, L40S, RTX4090, L4 or RTX3090.
        gpus: How many.
        parallel: How several share the work: each has the whole model, or a part of it.
        mfu: Share of the GPU's peak that is reached.
        tokens_per_second: Of one GPU, if you have measured it; then --mfu is not used.
        dollars: Price of one GPU for an hour, for the cost.
        won: Price of a dollar.
    """
    from kobert_kit.pretraining.gpus import Gpus
    from kobert_kit.pretraining.plan import make_plan
    from kobert_kit.pretraining.plan_text import render

    pieces = 32_000
    if from_ is not None:
        model, pieces = _shape_and_pieces(from_, model)
    whole = TrainingPhase(share=1.0, micro_batches=micro_batches, data=data)
    phases = (read_phases(config, whole, given=sys.argv) if config else ()) or (whole,)
    check_phases(phases, model)
    shown = make_plan(
        *(model, phases),
        vocabulary=pieces if vocab_size is None else vocab_size,
        steps=steps,
        budget=budget,
        gpus=Gpus(
            kind=gpu, count=gpus, mfu=mfu, tokens_per_second=tokens_per_second, parallel=parallel
        ),
        bf16=precision == "bf16",
        recompute=recompute,
    )
    text = render(shown, dollars=dollars, won=won)
    print(text, end="")  # noqa: T201


def _shape_and_pieces(from_: str, model: ModelConfig) -> tuple[ModelConfig, int]:
    from kobert_kit.encoder.huggingface.folder import open_folder
    from kobert_kit.pretraining.starting_model import shape_of

    check_shape_of_from(model)
    with open_folder(from_) as given:
        return shape_of(given.config), given.config.vocab_size
