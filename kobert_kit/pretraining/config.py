"""What a pretraining run is made of, and the TOML file that says it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from kobert_kit.batches.options import DataConfig
from kobert_kit.settings_file import check_key, read_toml
from kobert_vocab.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the encoder; the vocabulary gives its size. Defaults: BERT-Base."""

    # The fields of `EncoderConfig` that a run may choose. That one lives beside torch, which
    # `--help` must not wait for.

    hidden_size: int = 768
    """Width of a token's vector."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads per layer; hidden_size / heads is 16, 32, 64, 96 or 128."""
    intermediate_size: int = 3072
    """Width of the feed-forward layer."""
    max_positions: int = 512
    """Longest sequence the model can ever take, in tokens."""
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    """gelu is the erf form, as in transformers; gelu_tanh that of Google's code."""
    hidden_dropout: float = 0.1
    """Share of hidden values dropped in training."""
    attention_dropout: float = 0.1
    """Share of attention weights dropped in training."""
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


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One pretraining run."""

    vocab: Path
    """Vocabulary folder."""
    corpus: Path
    """Corpus folder, built with that vocabulary."""
    out: Path
    """Run folder to make: config.toml, metrics.jsonl, model/, report.html."""
    steps: int
    """Batches to train on."""
    seed: int = 0
    """Names the weights at the start, the order of the text, masks and dropout."""
    accumulate: int = 1
    """Parts that each batch is worked on in, one after another, to take less memory."""
    loaders: int = 1
    """Processes that make batches ahead; with 0 each is made when it is needed."""
    bad_step: Literal["stop", "skip"] = "stop"
    """What to do when the loss or the gradient is not a number: stop, or leave the batch out."""
    evaluate_every: int = 1000
    """Steps between evaluations on the held-out documents."""
    evaluate_sequences: int = 32
    """Held-out sequences per language."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products in training; weights and optimiser state stay in fp32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a CUDA device where there is one."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = OptimizerConfig()

    def __post_init__(self) -> None:
        for name, value in (
            ("steps", self.steps),
            ("accumulate", self.accumulate),
            ("evaluate_every", self.evaluate_every),
            ("evaluate_sequences", self.evaluate_sequences),
        ):
            if value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        if self.loaders < 0:
            raise InputError(f"loaders is {self.loaders}; it must be at least 0")
        if self.data.windows % self.accumulate:
            raise InputError(
                f"data.windows is {self.data.windows}, which cannot be shared out to "
                f"{self.accumulate} parts (accumulate)"
            )
        if self.data.length > self.model.max_positions:
            raise InputError(
                f"data.length is {self.data.length}; the model has only model.max_positions "
                f"({self.model.max_positions})"
            )
        if self.optimizer.learning_rate <= 0:
            raise InputError("optimizer.learning_rate must be above 0")
        if not 0 <= self.optimizer.warmup < 1:
            raise InputError(f"optimizer.warmup is {self.optimizer.warmup}; it is a share, [0, 1)")
        if not 0 < self.optimizer.decay <= 1:
            raise InputError(f"optimizer.decay is {self.optimizer.decay}; it is a share, (0, 1]")


def flags_from_toml(path: Path, only: Collection[str] | None = None) -> list[str]:
    """The settings of a TOML file as command-line flags, to go before the user's own.

    Args:
        path: the file.
        only: settings and tables to take, where a command needs some of a run's alone.

    Raises:
        InputError: the file is missing or not TOML, or a key does not exist.
    """
    table = read_toml(path)
    if only is not None:
        table = {key: value for key, value in table.items() if key in only}
    return list(_flags(table, PretrainConfig, path, prefix=""))


def _flags(table: dict[str, Any], kind: type, path: Path, prefix: str) -> Iterator[str]:
    known = get_type_hints(kind)
    for key, value in table.items():
        check_key(key, known, path, f" in [{prefix[:-1]}]" if prefix else "")
        if is_dataclass(known[key]):
            if not isinstance(value, dict):
                raise InputError(f"{path}: {prefix}{key} is a table: write [{prefix}{key}]")
            yield from _flags(value, known[key], path, f"{prefix}{key}.")
        elif isinstance(value, bool):
            yield from (f"--{prefix}{key}".replace("_", "-"),) if value else ()
        elif isinstance(value, dict | list):
            yield f"--{prefix}{key}".replace("_", "-")
            items = value.items() if isinstance(value, dict) else ((item,) for item in value)
            yield from (str(part) for item in items for part in item)
        else:
            yield from (f"--{prefix}{key}".replace("_", "-"), str(value))


def to_toml(config: PretrainConfig) -> str:
    """The resolved configuration, which `flags_from_toml` reads back."""
    return "\n".join(_toml_lines(config, "")) + "\n"


def _toml_lines(config: Any, prefix: str) -> Iterator[str]:  # noqa: ANN401  # any config above
    tables: list[tuple[str, Any]] = []
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value) or isinstance(value, dict):
            tables.append((item.name, value))
        elif value is not None:  # TOML has no word for none
            yield f"{item.name} = {_toml(value)}"
    for name, value in tables:
        if isinstance(value, dict):
            rows = [f"{key} = {_toml(number)}" for key, number in value.items()]
        else:
            rows = list(_toml_lines(value, f"{prefix}{name}."))
        yield from ["", f"[{prefix}{name}]", *rows] if rows else []


def _toml(value: Any) -> str:  # noqa: ANN401  # any setting above
    if isinstance(value, str | Path):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
