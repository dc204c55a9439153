"""What a run would take before it starts: parameters, operations, memory, time and cost."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kobert_kit.batches.options import DataConfig
from kobert_kit.batches.ramp import Ramp
from kobert_kit.pretraining.config import ModelConfig, TrainingPhase, seconds_of
from kobert_kit.pretraining.gpus import FILLED, Gpus, Parallel
from kobert_kit.pretraining.progress import beginnings
from kobert_vocab.errors import InputError

SEGMENTS = 2
GATHERED = 2  # layers that FSDP has whole at a time: the one at work, and the next on its way


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
    """Bytes of a GPU by part, in training, in the phase that takes the most."""
    fitting: int | None
    """The fewest micro-batches with which that phase fits on the GPUs, if any do."""
    gpus: Gpus

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def tokens(self) -> int:
        """Of all phases."""
        return sum(phase.tokens for phase in self.phases)

    @property
    def operations(self) -> float:
        """Of the whole run."""
        return sum(phase.operations * phase.tokens for phase in self.phases)

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(map(self.seconds_of, self.phases))

    def seconds_of(self, phase: PlannedPhase) -> float:
        """Of one phase, on all GPUs together."""
        return phase.tokens / self.gpus.speed(phase.operations) / self.gpus.count


def make_plan(
    model: ModelConfig,
    phases: Sequence[TrainingPhase],
    *,
    vocabulary: int,
    steps: int | None = None,
    budget: str | None = None,
    gpus: Gpus | None = None,
    bf16: bool = True,
    recompute: bool = False,
) -> Plan:
    """Count a run.

    Args:
        model: shape of the encoder.
        phases: of the run.
        vocabulary: pieces.
        steps: batches; or give ``budget``.
        budget: time, such as ``24h``; each phase gets its share of it.
        gpus: what it runs on; one H100 if not given.
        bf16: whether what the backward pass needs is kept in bf16, or in fp32.
        recompute: whether of a layer only its input is kept.

    Raises:
        InputError: a number makes no sense, or the GPUs cannot share a batch.
    """
    gpus = gpus or Gpus()
    if (steps is None) == (budget is None):
        raise InputError("give --steps or --budget, and not both: one of them ends the run")
    counts = {"steps": 1 if steps is None else steps, "vocab_size": vocabulary}
    for name in ("layers", "hidden_size", "global_every", "window"):
        counts[f"model.{name}"] = getattr(model, name)
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")
    for phase in phases:
        if phase.micro_batches is not None and phase.micro_batches % gpus.count:
            raise InputError(
                f"micro_batches is {phase.micro_batches}; {gpus.count} GPUs need a multiple of "
                f"their number: --micro-batches {gpus.count}, say"
            )
    kept = [
        memory_of(
            *(model, phase.data),
            vocabulary=vocabulary,
            micro_batches=phase.micro_batches,
            gpus=gpus.count,
            parallel=gpus.parallel,
            bf16=bf16,
            recompute=recompute,
        )
        for phase in phases
    ]
    memory, largest = max(zip(kept, phases, strict=True), key=lambda found: sum(found[0].values()))
    fitting = fitting_micro_batches(
        *(model, largest.data, gpus.memory * 2**30),
        vocabulary=vocabulary,
        gpus=gpus.count,
        parallel=gpus.parallel,
        bf16=bf16,
        recompute=recompute,
    )
    return Plan(
        parameters=_parameters(model, vocabulary),
        phases=_planned(model, phases, vocabulary, steps, budget, gpus),
        memory=memory,
        fitting=fitting,
        gpus=gpus,
    )


def _planned(
    model: ModelConfig,
    phases: Sequence[TrainingPhase],
    vocabulary: int,
    steps: int | None,
    budget: str | None,
    gpus: Gpus,
) -> tuple[PlannedPhase, ...]:
    operations = [
        operations_of_a_token(model, phase.data.length, vocabulary, phase.data.masking.highest_rate)
        for phase in phases
    ]
    if steps is None:
        seconds = seconds_of(budget or "")
        each = [
            _steps_within(phase.data, phase.share * seconds * gpus.count * gpus.speed(of_token))
            for phase, of_token in zip(phases, operations, strict=True)
        ]
        if not any(each):
            raise InputError(f"budget is {budget!r}; not one step fits into it")
    else:
        first = [*beginnings([phase.share for phase in phases], steps), steps]
        each = [end - begin for begin, end in pairwise(first)]
    return tuple(
        PlannedPhase(
            length=phase.data.length,
            steps=count,
            tokens=_ramp(phase.data).before(count) * phase.data.length,
            operations=of_token,
        )
        for phase, count, of_token in zip(phases, each, operations, strict=True)
    )


def _ramp(data: DataConfig) -> Ramp:
    return Ramp(data.windows, data.first_windows or data.windows, data.ramp_steps)


def _steps_within(data: DataConfig, tokens: float) -> int:
    """The most steps of a phase that read no more than so many tokens."""
    windows = tokens / data.length
    smallest = data.first_windows or data.windows
    most = int(windows / smallest) + 1
    return bisect_right(range(1, most + 1), windows, key=_ramp(data).before)


def memory_of(
    model: ModelConfig,
    data: DataConfig,
    *,
    vocabulary: int,
    micro_batches: int | None = None,
    gpus: int = 1,
    parallel: Parallel = "ddp",
    bf16: bool = True,
    recompute: bool = False,
) -> dict[str, float]:
    """Bytes of each GPU that training takes, by part; see `make_plan`.

    Activations are those of one micro-batch. DDP sends gradients from a second copy of them. FSDP
    shares weights, gradients and optimiser out, but has whole in turn what it works with; and until
    a GPU has been through all of its micro-batches, its gradients are whole.
    """
    micro_batches = micro_batches or gpus
    parameters = _parameters(model, vocabulary)
    count = sum(parameters.values())
    together = data.windows * data.length / micro_batches  # tokens between the two passes
    number = 2 if bf16 else 4  # bytes
    of_token = _kept_by_a_token(model)
    if recompute:  # the input of each layer, and all of one
        of_token = of_token // model.layers + model.layers * model.hidden_size
    masked = data.masking.highest_rate
    own = count / gpus if parallel == "fsdp" else float(count)
    memory = {
        "weights": 4 * own,
        "gradients": 4.0 * count if micro_batches > gpus else 4 * own,
        "optimiser": 8 * own,
        "activations": float(number * together * of_token),
        # The head's input and what it is made of, and one slice of logits.
        "head": float(number * together * masked * 3 * model.hidden_size),
    }
    if gpus > 1 and parallel == "ddp":
        memory["buckets"] = 4.0 * count
    if gpus > 1 and parallel == "fsdp":
        others = count - parameters["layers"]
        layers = min(GATHERED, model.layers) * parameters["layers"] / model.layers
        memory["gathered"] = number * (others + layers)
    return memory


def fitting_micro_batches(
    model: ModelConfig,
    data: DataConfig,
    room: float,
    *,
    vocabulary: int,
    gpus: int = 1,
    parallel: Parallel = "ddp",
    bf16: bool = True,
    recompute: bool = False,
) -> int | None:
    """The fewest micro-batches with which a batch fits into ``room`` bytes of each GPU, if any."""
    smallest = data.first_windows or data.windows
    for count in range(1, smallest + 1):
        if smallest % count or data.windows % (smallest // count):
            continue
        micro_batches = data.windows // (smallest // count)
        if micro_batches % gpus:
            continue
        memory = memory_of(
            *(model, data),
            vocabulary=vocabulary,
            micro_batches=micro_batches,
            gpus=gpus,
            parallel=parallel,
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
