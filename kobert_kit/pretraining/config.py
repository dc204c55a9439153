"""What a pretraining run is made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Suppress, arg

from kobert_kit.batches.options import DataConfig
from kobert_vocab.errors import InputError

LICENSE = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")  # as all of the hub's identifiers are


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the encoder; the vocabulary gives its size. Defaults: BERT-Base."""

    # The fields of `EncoderConfig` that a run may choose. That one lives beside torch, which
    # `--help` must not wait for.

    family: Literal["bert", "modern"] = "bert"
    """bert is classic BERT; modern is ModernBERT: pre-norm, rotary positions, a gated feed-forward
    layer, a window in most layers, and no next-sentence head: it needs --data.pairing none."""
    hidden_size: int = 768
    """Width of a token's vector."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads per layer; hidden_size / heads is 16, 32, 64, 96 or 128."""
    intermediate_size: int = 3072
    """Width of the feed-forward layer; that of modern has three matrices of it, not two."""
    max_positions: int = 512
    """Longest sequence the model can ever take, in tokens."""
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    """gelu is the erf form, as in transformers; gelu_tanh that of Google's code."""
    hidden_dropout: float = 0.1
    """Share of hidden values dropped in training; in modern only of those that attention gives."""
    attention_dropout: float = 0.1
    """Share of attention weights dropped in training; 0 in ModernBERT's recipe."""
    mlp_dropout: float = 0.0
    """modern: share of values dropped inside the feed-forward layer."""
    global_every: int = 3
    """modern: the first layer and every n-th after it see a whole sequence, the others a window."""
    window: int = 128
    """modern: tokens of the window, half on each side."""
    global_rotary_base: float = 10_000.0
    """modern: base of the angles in layers that see all; higher for long texts, 160000 for 8192
    tokens."""
    local_rotary_base: float = 10_000.0
    """modern: base of the angles in layers with a window."""
    init_std: float = 0.02
    """Matrices start as a normal of this deviation; narrow models learn sooner with more."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights change. Defaults: AdamW with a linear schedule."""

    kind: Literal["adamw", "bert", "muon"] = "adamw"
    """bert is the Adam of BERT's code, without the correction of its beginning; muon is for the
    matrices of the layers, with AdamW for the rest."""
    schedule: Literal["linear", "bert", "cosine", "wsd", "wsd_sqrt"] = "linear"
    """How the rate falls after the warm-up. bert: in a line that begins at the first step. wsd: it
    stays, and falls at the end, in a line or by a square root."""
    decay: float = 0.1
    """Share of the steps at the end in which the rate of wsd falls."""
    learning_rate: float = 1e-4
    """Its peak, at the end of the warm-up."""
    warmup: float = 0.01
    """Share of the steps in which the rate rises from zero."""
    weight_decay: float = 0.01
    """Decoupled; biases and norms do not decay."""
    beta1: float = 0.9
    """Memory of the gradient's mean."""
    beta2: float = 0.999
    """Memory of its square."""
    eps: float = 1e-6
    """Added to the root of the square, as in BERT's code."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float | None = None
    """Keep a moving average of the weights with this memory, such as 0.999; it is what is evaluated
    and saved as the model."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "eps", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"optimizer.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"optimizer.{name} is {getattr(self, name)}; it lies in [0, 1)")
        if not self.weight_decay >= 0:
            raise InputError(f"optimizer.weight_decay is {self.weight_decay}; at least 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"optimizer.warmup is {self.warmup}; it is a share, [0, 1)")
        if not 0 < self.decay <= 1:
            raise InputError(f"optimizer.decay is {self.decay}; it is a share, (0, 1]")
        if self.schedule in ("wsd", "wsd_sqrt") and self.warmup + self.decay > 1:
            raise InputError(
                f"optimizer.warmup {self.warmup} and decay {self.decay} are more than the whole run"
            )
        if self.average is not None and not 0 < self.average < 1:
            raise InputError(f"optimizer.average is {self.average}; it must lie in (0, 1)")


@dataclass(frozen=True, kw_only=True)
class TrainingPhase:
    """A stretch of a run, with batches and a learning rate of its own."""

    share: float
    """Of the run's steps, or of its time."""
    micro_batches: int | None = None
    """As of the run."""
    learning_rate: float = 1e-4
    """The peak that this phase would have; the schedule is that of the whole run."""
    data: DataConfig = field(default_factory=DataConfig)
    """How the corpus becomes batches."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"a phase's share is {self.share}; it must lie in (0, 1]")
        if self.learning_rate <= 0:
            raise InputError(f"a phase's learning_rate is {self.learning_rate}; it is above 0")
        if self.micro_batches is not None:
            _check_micro_batches(self.data, self.micro_batches)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One pretraining run."""

    vocab: Path
    """Vocabulary folder."""
    corpus: Path
    """Corpus folder, built with that vocabulary."""
    out: Path
    """Run folder to make: config.toml, metrics.jsonl, model/, report.html."""
    from_: Annotated[str | None, arg(name="from")] = None
    """Model to go on from, a folder or a name on the Hugging Face hub: BERT, RoBERTa, XLM-R,
    CamemBERT, ELECTRA or ModernBERT. Its shape is taken; the vocabulary is its own, or extends it.
    Without it the weights are new."""
    steps: int | None = None
    """Batches to train on; or give --budget."""
    budget: str | None = None
    """Time to train for, as 24h, 90m or 30s: the schedule ends when the time does."""
    seed: int = 0
    """Names the weights at the start, the order of the text, masks and dropout."""
    micro_batches: int | None = None
    """Parts that each batch is worked on in, one after another or on several devices: a multiple of
    their number, which it is if not given. More parts take less memory."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several devices share the work (torchrun): each has the whole model, or a part of it."""
    loaders: int = 1
    """Processes that make batches ahead; with 0 each is made when it is needed."""
    bad_step: Literal["stop", "skip", "roll_back"] = "stop"
    """What to do when the loss or the gradient is not a number, or the loss leaps: stop, leave the
    batch out, or go back to the last checkpoint and leave it out from there."""
    leap: float | None = None
    """A loss so many nats above the mean of the last 100 steps is a bad step; none if not given."""
    evaluate_every: int = 1000
    """Steps between evaluations on the held-out documents, with a checkpoint each."""
    evaluate_sequences: int = 32
    """Held-out sequences per language."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products in training; weights and optimiser state stay in fp32."""
    recompute: bool = False
    """Compute each layer again in the backward pass: less memory, a third more work."""
    compile: bool = False
    """Let torch.compile fuse what stands between the kernels of each layer."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a CUDA device where there is one."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where the metrics go as well as to metrics.jsonl; each needs the extra of its name."""
    license: str | None = None
    """Of the model, for its card: as the Hugging Face hub spells it, apache-2.0 say. Nobody but who
    publishes the model can choose it, so there is none by default."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = OptimizerConfig()
    phases: Annotated[tuple[TrainingPhase, ...], Suppress] = ()
    """One after the other, from [[phase]] tables of a file; without any the run is one."""

    def __post_init__(self) -> None:
        for name, value in (
            ("steps", self.steps),
            ("evaluate_every", self.evaluate_every),
            ("evaluate_sequences", self.evaluate_sequences),
        ):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        if (self.steps is None) == (self.budget is None):
            raise InputError("give --steps or --budget, and not both: one of them ends the run")
        if self.budget is not None:
            seconds_of(self.budget)
        if self.seed.bit_length() > 63:
            raise InputError(f"seed is {self.seed}; it must lie between -2^63 and 2^63")
        if not self.model.init_std > 0:
            raise InputError(f"model.init_std is {self.model.init_std}; it must be above 0")
        if self.loaders < 0:
            raise InputError(f"loaders is {self.loaders}; it must be at least 0")
        if self.leap is not None and self.leap <= 0:
            raise InputError(f"leap is {self.leap}; it must be above 0")
        if self.micro_batches is not None:
            _check_micro_batches(self.data, self.micro_batches)
        if self.license is not None and not LICENSE.fullmatch(self.license):
            raise InputError(
                f"license is {self.license!r}; write it as the Hugging Face hub does: apache-2.0, "
                "cc-by-sa-4.0, other"
            )
        if self.from_ is None:  # else the shape is known when that is read
            check_phases(self.all_phases, self.model)
        else:
            check_shape_of_from(self.model)

    @property
    def all_phases(self) -> tuple[TrainingPhase, ...]:
        """The phases, of which there is at least one."""
        whole = TrainingPhase(
            share=1.0,
            micro_batches=self.micro_batches,
            learning_rate=self.optimizer.learning_rate,
            data=self.data,
        )
        return self.phases or (whole,)


def check_phases(phases: Sequence[TrainingPhase], model: ModelConfig) -> None:
    """See whether phases make a whole run, which the model can learn from.

    Raises:
        InputError: they do not.
    """
    if abs(sum(phase.share for phase in phases) - 1) > 1e-6:
        shares = " + ".join(f"{phase.share:g}" for phase in phases)
        raise InputError(f"the shares of the phases are {shares}; together they are to be 1")
    for phase in phases:
        if phase.data.length > model.max_positions:
            raise InputError(
                f"data.length is {phase.data.length}; the model has only model.max_positions "
                f"({model.max_positions})"
            )
        if model.family == "modern" and phase.data.pairing != "none":
            raise InputError(
                f"data.pairing is {phase.data.pairing!r}; model.family modern has no "
                "next-sentence head, so it must be 'none'"
            )


def check_shape_of_from(model: ModelConfig) -> None:
    """See that no shape is given beside a model to go on from.

    Raises:
        InputError: one is.
    """
    if model != ModelConfig():
        raise InputError("the settings of [model] come from the model of --from; leave them out")


def _check_micro_batches(data: DataConfig, micro_batches: int) -> None:
    if micro_batches < 1:
        raise InputError(f"micro_batches is {micro_batches}; it must be at least 1")
    smallest = data.first_windows or data.windows
    if data.windows % micro_batches or smallest * micro_batches % data.windows:
        raise InputError(
            f"a batch of {data.windows} windows"
            + (f" that begins with {data.first_windows}" if data.first_windows else "")
            + f" cannot be shared out to {micro_batches} equal parts (micro_batches)"
        )


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(budget: str) -> float:
    """The seconds of ``24h``, ``90m``, ``30s`` or ``2d``.

    Raises:
        InputError: it is no such time, or none at all.
    """
    number, unit = budget[:-1], budget[-1:]
    try:
        seconds = float(number) * UNITS[unit]
    except (KeyError, ValueError) as error:
        raise InputError(f"budget is {budget!r}; write it as 24h, 90m or 30s") from error
    if not 0 < seconds < float("inf"):
        raise InputError(f"budget is {budget!r}; it must be above 0")
    return seconds
