"""What a run would take before it starts: parameters, operations, memory, time and cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kobert_kit.batches.options import DataConfig
from kobert_kit.batches.ramp import Ramp
from kobert_kit.pretraining.config import ModelConfig, TrainingPhase
from kobert_vocab.errors import InputError

# Dense bf16 operations a second of the matrix units, without sparsity, by the makers' data sheets,
# and memory in GiB.
GPUS = {
    "H200": (989e12, 141),
    "H100": (989e12, 80),
    "A100": (312e12, 80),
    "L40S": (362e12, 48),
    "RTX4090": (165e12, 24),
    "L4": (121e12, 24),
    "RTX3090": (71e12, 24),
}
SEGMENTS = 2


def peak_of(device: str) -> float | None:
    """Operations a second of a GPU by the name its driver gives it, if it is one of `GPUS`."""
    words = device.replace("RTX ", "RTX").replace("-", " ").split()
    return next((peak for name, (peak, _) in GPUS.items() if name in words), None)


FILLED = 0.95  # of a GPU's memory: the rest is the allocator's and CUDA's own


@dataclass(frozen=True, kw_only=True)
class PlannedPhase:
    """A phase, counted."""

    length: int
    steps: int
    tokens: int
    """Of all its steps, padding included: at most what it reads."""
    operations: float
    """Of a token's matrix products, forward and backward."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run, counted."""

    parameters: dict[str, int]
    """By part; the masked-language head shares the words' matrix."""
    phases: tuple[PlannedPhase, ...]
    memory: dict[str, float]
    """Bytes by part, in training, in the phase that takes the most."""

    @property
    def tokens(self) -> int:
        """Of all phases."""
        return sum(phase.tokens for phase in self.phases)

    @property
    def operations(self) -> float:
        """Of the whole run."""
        return sum(phase.operations * phase.tokens for phase in self.phases)


def make_plan(
    model: ModelConfig,
    phases: Sequence[TrainingPhase],
    *,
    vocabulary: int,
    steps: int,
    bf16: bool = True,
    recompute: bool = False,
) -> Plan:
    """Count a run.

    Args:
        model: shape of the encoder.
        phases: of the run.
        vocabulary: pieces.
        steps: batches.
        bf16: whether what the backward pass needs is kept in bf16, or in fp32.
        recompute: whether of a layer only its input is kept.

    Raises:
        InputError: a number makes no sense.
    """
    counts = {"steps": steps, "vocab_size": vocabulary}
    for name in ("layers", "hidden_size", "global_every", "window"):
        counts[f"model.{name}"] = getattr(model, name)
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")
    kept = [
        memory_of(
            *(model, phase.data),
            vocabulary=vocabulary,
            micro_batches=phase.micro_batches or 1,
            bf16=bf16,
            recompute=recompute,
        )
        for phase in phases
    ]
    return Plan(
        parameters=_parameters(model, vocabulary),
        phases=tuple(_planned(model, phase, vocabulary, steps) for phase in phases),
        memory=max(kept, key=lambda memory: sum(memory.values())),
    )


def _planned(model: ModelConfig, phase: TrainingPhase, vocabulary: int, steps: int) -> PlannedPhase:
    data, steps = phase.data, round(phase.share * steps)
    ramp = Ramp(data.windows, data.first_windows or data.windows, data.ramp_steps)
    return PlannedPhase(
        length=data.length,
        steps=steps,
        tokens=ramp.before(steps) * data.length,
        operations=operations_of_a_token(model, data.length, vocabulary, data.masking.highest_rate),
    )


def memory_of(
    model: ModelConfig,
    data: DataConfig,
    *,
    vocabulary: int,
    micro_batches: int = 1,
    bf16: bool = True,
    recompute: bool = False,
) -> dict[str, float]:
    """Bytes that training takes, by part; see `make_plan`."""
    count = sum(_parameters(model, vocabulary).values())
    together = data.windows * data.length / micro_batches  # tokens between the two passes
    number = 2 if bf16 else 4  # bytes
    of_token = _kept_by_a_token(model)
    if recompute:  # the input of each layer, and all of one
        of_token = of_token // model.layers + model.layers * model.hidden_size
    masked = data.masking.highest_rate
    return {
        "weights": 4.0 * count,
        "gradients": 4.0 * count,
        "optimiser": 8.0 * count,
        "activations": float(number * together * of_token),
        # The head's input and what it is made of, and one slice of logits.
        "head": float(number * together * masked * 3 * model.hidden_size),
    }


def fitting_micro_batches(
    model: ModelConfig,
    data: DataConfig,
    room: float,
    *,
    vocabulary: int,
    bf16: bool = True,
    recompute: bool = False,
) -> int | None:
    """The fewest micro-batches with which a batch fits into ``room`` bytes, if any do."""
    smallest = data.first_windows or data.windows
    for count in range(1, smallest + 1):
        if smallest % count or data.windows % (smallest // count):
            continue
        micro_batches = data.windows // (smallest // count)
        memory = memory_of(
            *(model, data),
            vocabulary=vocabulary,
            micro_batches=micro_batches,
            bf16=bf16,
            recompute=recompute,
        )
        if sum(memory.values()) <= FILLED * room:
            return micro_batches
    return None


def _parameters(model: ModelConfig, vocabulary: int) -> dict[str, int]:
    h, inner = model.hidden_size, model.intermediate_size
    if model.family == "modern":  # no biases but the decoder's; the first layer has one norm less
        return {
            "embeddings": vocabulary * h + h,
            "layers": _matrices(model) + 2 * model.layers * h,  # the last norm among them
            "heads": h * h + h + vocabulary,
        }
    norm, square = 2 * h, h * h + h
    return {
        "embeddings": (vocabulary + model.max_positions + SEGMENTS) * h + norm,
        "layers": model.layers * (4 * square + 2 * h * inner + inner + h + 2 * norm),
        "pooler": square,
        "heads": square + norm + vocabulary + 2 * h + 2,
    }


def operations_of_a_token(model: ModelConfig, length: int, vocabulary: int, masked: float) -> float:
    """Of its matrix products: a multiplication and an addition are two, backward is twice forward.

    Args:
        model: shape of the encoder.
        length: tokens of its sequence.
        vocabulary: pieces.
        masked: share of the tokens that the head computes.
    """
    h = model.hidden_size
    attention = 2 * h * _keys_seen(model, length)  # scores and their product with the values
    head = masked * (h * h + h * vocabulary)
    return 6.0 * (_matrices(model) + attention + head)


def _matrices(model: ModelConfig) -> int:
    """Numbers in the matrices of the layers. GeGLU is given two rows where GELU is given one."""
    h, feed_forward = model.hidden_size, 3 if model.family == "modern" else 2
    return model.layers * (4 * h * h + feed_forward * h * model.intermediate_size)


def _keys_seen(model: ModelConfig, length: int) -> float:
    """How many keys a token looks at in all layers, on average over a sequence."""
    if model.family == "bert":
        return model.layers * length
    seeing_all = len(range(0, model.layers, model.global_every))
    reach = min(model.window // 2, length - 1)
    within = 2 * reach + 1 - reach * (reach + 1) / length  # a sequence's ends see less
    return seeing_all * length + (model.layers - seeing_all) * within


def _kept_by_a_token(model: ModelConfig) -> int:
    """Numbers that the backward pass needs of a token.

    Of a layer: query, key and value, what attention gives, the two sums before the norms and what
    the norms give, and the feed-forward layer before GELU and after it; GeGLU halves the width.
    """
    feed_forward = 3 if model.family == "modern" else 2
    return model.layers * (8 * model.hidden_size + feed_forward * model.intermediate_size)


def render(
    plan: Plan,
    *,
    gpu: str,
    gpus: int,
    mfu: float,
    tokens_per_second: float | None,
    dollars: float | None,
    won: float,
) -> str:
    """The plan as text.

    Args:
        plan: what `make_plan` has counted.
        gpu: a name of `GPUS`.
        gpus: how many.
        mfu: share of the GPU's peak that is reached.
        tokens_per_second: of one GPU, as it was measured; then ``mfu`` is not used.
        dollars: price of one GPU for an hour.
        won: price of a dollar.

    Raises:
        InputError: the GPU is not known, or a number makes no sense.
    """
    if gpu not in GPUS:
        raise InputError(f"--gpu {gpu}: not known; one of {', '.join(GPUS)}")
    if gpus < 1 or not 0 < mfu <= 1:
        raise InputError("--gpus is at least 1, and --mfu above 0 and at most 1")
    if (tokens_per_second is not None and tokens_per_second <= 0) or (dollars or 0) < 0:
        raise InputError("--tokens-per-second is above 0, and --dollars not below 0")
    peak, room = GPUS[gpu]
    speeds = [tokens_per_second or mfu * peak / phase.operations for phase in plan.phases]
    seconds = sum(p.tokens / speed for p, speed in zip(plan.phases, speeds, strict=True)) / gpus
    count = sum(plan.parameters.values())
    parts = ", ".join(f"{name} {n / 1e6:.1f} M" for name, n in plan.parameters.items())
    bytes_ = sum(plan.memory.values())
    of_memory = ", ".join(f"{name} {n / 2**30:.1f}" for name, n in plan.memory.items())
    basis = "as measured" if tokens_per_second else f"if it reaches {mfu:.0%} of its peak"
    lines = [
        f"parameters   {count / 1e6:,.2f} M ({parts})",
        f"tokens       {plan.tokens:,}",
        *(
            f"phase {number}      {phase.steps:,} steps of length {phase.length}: "
            f"{phase.tokens:,} tokens, {phase.tokens / speed / gpus / seconds:.0%} of the time"
            for number, (phase, speed) in enumerate(zip(plan.phases, speeds, strict=True), 1)
            if len(speeds) > 1
        ),
        f"operations   {plan.operations / plan.tokens / 1e6:,.0f} M a token, "
        f"{plan.operations:.2e} in all",
        f"memory       {bytes_ / 2**30:,.1f} GiB of {room} on a GPU ({of_memory})",
        f"speed        {plan.tokens / seconds / gpus:,.0f} tokens/s on one {gpu}, {basis}",
        f"time         {_time(seconds)} on {gpus} x {gpu}",
    ]
    if dollars is not None:
        cost = dollars * gpus * seconds / 3600
        lines.append(f"cost         ${cost:,.0f}, {cost * won:,.0f} won")
    if bytes_ > FILLED * room * 2**30:
        fits = bytes_ - plan.memory["activations"] - plan.memory["head"]
        share = (FILLED * room * 2**30 - fits) / (bytes_ - fits)
        lines.append(
            f"too large: {share:.0%} of a micro-batch would fit; make {math.ceil(1 / share)} times "
            "as many or more (--micro-batches), or try --recompute"
            if share > 0
            else "too large: not even the weights and their optimiser fit"
        )
    return "\n".join(lines) + "\n"


def _time(seconds: float) -> str:
    hours = seconds / 3600
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
