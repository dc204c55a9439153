"""Model folders as `transformers` reads and writes them: ``config.json`` + ``model.safetensors``.

The kit has no format of its own. Here are the names and shapes on both sides: Hugging Face keeps
query, key and value apart, we keep them in one matrix.
"""

import json
import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kobert_kit.encoder.config import EncoderConfig
from kobert_vocab.errors import InputError

Weights = dict[str, Tensor]

CONFIG, WEIGHTS, OLD_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}

# Hugging Face's names, our names. `{}` is the number of a layer.
_NAMES = {
    "bert.embeddings.word_embeddings": "encoder.embeddings.words",
    "bert.embeddings.position_embeddings": "encoder.embeddings.positions",
    "bert.embeddings.token_type_embeddings": "encoder.embeddings.segments",
    "bert.embeddings.LayerNorm": "encoder.embeddings.norm",
    "bert.encoder.layer.{}.attention.output.dense": "encoder.layers.{}.attention_out",
    "bert.encoder.layer.{}.attention.output.LayerNorm": "encoder.layers.{}.attention_norm",
    "bert.encoder.layer.{}.intermediate.dense": "encoder.layers.{}.feed_forward_in",
    "bert.encoder.layer.{}.output.dense": "encoder.layers.{}.feed_forward_out",
    "bert.encoder.layer.{}.output.LayerNorm": "encoder.layers.{}.feed_forward_norm",
    "bert.pooler.dense": "encoder.pooler",
    "cls.predictions.transform.dense": "masked_language.dense",
    "cls.predictions.transform.LayerNorm": "masked_language.norm",
    "cls.predictions": "masked_language",
    "cls.seq_relationship": "next_sentence",
}
_THEIRS = {ours: theirs for theirs, ours in _NAMES.items()}
_QKV, _PARTS = "bert.encoder.layer.{}.attention.self.{}", ("query", "key", "value")


def write_folder(folder: Path, config: EncoderConfig, weights: Weights) -> None:
    """Write ``config.json`` and ``model.safetensors`` for `BertForPreTraining`."""
    text = json.dumps(_to_json(config), indent=2)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    save_file(_to_theirs(weights), folder / WEIGHTS, metadata={"format": "pt"})


def read_folder(folder: Path) -> tuple[EncoderConfig, Weights]:
    """The configuration and the weights of a BERT folder, by our names.

    Raises:
        InputError: not a model folder, another architecture, or weights that do not fit it.
    """
    config = _read_config(folder)
    return config, _to_ours(_read_weights(folder), config.layers)


def _to_json(config: EncoderConfig) -> dict[str, object]:
    return {
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.segments,
        "hidden_act": "gelu_new" if config.activation == "gelu_tanh" else "gelu",
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "layer_norm_eps": config.norm_eps,
        "initializer_range": config.init_std,
        "pad_token_id": config.pad_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def _read_config(folder: Path) -> EncoderConfig:
    path = folder / CONFIG
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: not a model folder (no {CONFIG})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if kind != "bert":
        raise InputError(f"{path}: model_type is {kind!r}; only 'bert' can be loaded")
    for key, only in (
        ("position_embedding_type", "absolute"),
        ("is_decoder", False),
        ("tie_word_embeddings", True),
    ):
        if raw.get(key, only) != only:
            raise InputError(f"{path}: {key} is {raw[key]!r}; only {only!r} can be loaded")
    activation = raw.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise InputError(
            f"{path}: hidden_act is {activation!r}; known are {', '.join(ACTIVATIONS)}"
        )
    try:
        return EncoderConfig(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=raw["num_attention_heads"],
            intermediate_size=raw["intermediate_size"],
            max_positions=raw["max_position_embeddings"],
            segments=raw["type_vocab_size"],
            activation=ACTIVATIONS[activation],  # type: ignore[arg-type]  # a Literal by value
            hidden_dropout=raw["hidden_dropout_prob"],
            attention_dropout=raw["attention_probs_dropout_prob"],
            norm_eps=raw["layer_norm_eps"],
            init_std=raw["initializer_range"],
            pad_id=raw.get("pad_token_id", 0),
        )
    except KeyError as error:
        raise InputError(f"{path}: no key {error}") from error
    except TypeError as error:  # a number written as a string, say
        raise InputError(f"{path}: a value of the wrong type ({error})") from error


def _read_weights(folder: Path) -> Weights:
    if (folder / WEIGHTS).exists():
        try:
            return load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise InputError(f"{folder / WEIGHTS}: broken ({error}); copy it again") from error
    if (folder / OLD_WEIGHTS).exists():  # checkpoints from before safetensors
        path = folder / OLD_WEIGHTS
        try:
            weights: Weights = torch.load(path, map_location="cpu", weights_only=True)
        except (EOFError, RuntimeError, UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else "it ends too early"
            raise InputError(f"{path}: broken or not plain weights ({reason})") from error
        return weights
    raise InputError(f"{folder}: no weights ({WEIGHTS} or {OLD_WEIGHTS})")


def _split_name(name: str) -> tuple[str, str, str]:
    """``a.3.b.weight`` as ``a.{}.b``, ``3``, ``weight``."""
    stem, _, kind = name.rpartition(".")
    numbered = re.sub(r"\.\d+(?=\.)", ".{}", stem, count=1)
    number = re.search(r"\.(\d+)(?=\.)", stem)
    return numbered, number[1] if number else "", kind


def _to_theirs(weights: Weights) -> Weights:
    theirs: Weights = {}
    for name, tensor in weights.items():
        stem, number, kind = _split_name(name)
        if stem == "encoder.layers.{}.qkv":
            for part, value in zip(_PARTS, tensor.chunk(3), strict=True):
                theirs[f"{_QKV.format(number, part)}.{kind}"] = value.contiguous()
        else:
            theirs[f"{_THEIRS[stem].format(number)}.{kind}"] = tensor.contiguous()
    return theirs


def _to_ours(theirs: Weights, layers: int) -> Weights:
    # Checkpoints of 2018-2019 say gamma and beta; bare encoders leave the prefix out.
    renamed = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
            "LayerNorm.beta", "LayerNorm.bias"
        ): tensor.float()
        for name, tensor in theirs.items()
    }
    if not any(name.startswith("bert.") for name in renamed):
        renamed = {f"bert.{name}": tensor for name, tensor in renamed.items()}
    ours: Weights = {}
    for name, tensor in renamed.items():
        stem, number, kind = _split_name(name)
        if stem in _NAMES:
            ours[f"{_NAMES[stem].format(number)}.{kind}"] = tensor
    for layer in range(layers):
        for kind in ("weight", "bias"):
            names = [f"{_QKV.format(layer, part)}.{kind}" for part in _PARTS]
            if all(name in renamed for name in names):
                joined = torch.cat([renamed[name] for name in names])
                ours[f"encoder.layers.{layer}.qkv.{kind}"] = joined
    return ours
