"""Classic BERT's configuration and tensor names, as `transformers` has them.

Hugging Face keeps query, key and value apart, we keep them in one matrix.
"""

from pathlib import Path

import torch

from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.config_json import Raw, activation, activation_name, require
from kobert_kit.encoder.tensor_names import Weights, prefixed, renamed, split_name

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


def to_json(config: EncoderConfig) -> dict[str, object]:
    """The ``config.json`` of `BertForPreTraining`."""
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
        "hidden_act": activation_name(config.activation),
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "layer_norm_eps": config.norm_eps,
        "initializer_range": config.init_std,
        "pad_token_id": config.pad_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def from_json(raw: Raw, path: Path) -> EncoderConfig:
    """The configuration in a ``config.json``.

    Raises:
        InputError: a setting that we do not have.
        KeyError: a setting is missing.
    """
    only = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "tie_word_embeddings": True,
    }
    require(raw, path, only)
    return EncoderConfig(
        vocab_size=raw["vocab_size"],
        hidden_size=raw["hidden_size"],
        layers=raw["num_hidden_layers"],
        heads=raw["num_attention_heads"],
        intermediate_size=raw["intermediate_size"],
        max_positions=raw["max_position_embeddings"],
        segments=raw["type_vocab_size"],
        activation=activation(raw, path, "hidden_act"),
        hidden_dropout=raw["hidden_dropout_prob"],
        attention_dropout=raw["attention_probs_dropout_prob"],
        norm_eps=raw["layer_norm_eps"],
        init_std=raw["initializer_range"],
        pad_id=raw.get("pad_token_id", 0),
    )


def to_theirs(weights: Weights) -> Weights:
    """Our weights by Hugging Face's names."""
    theirs = renamed(weights, _THEIRS)
    for name, tensor in weights.items():
        stem, number, kind = split_name(name)
        if stem == "encoder.layers.{}.qkv":
            for part, value in zip(_PARTS, tensor.chunk(3), strict=True):
                theirs[f"{_QKV.format(number, part)}.{kind}"] = value
    return theirs


def to_ours(theirs: Weights, layers: int) -> Weights:
    """Hugging Face's weights by our names; tensors that we do not have are left out."""
    # Checkpoints of 2018-2019 say gamma and beta.
    today = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
            "LayerNorm.beta", "LayerNorm.bias"
        ): tensor
        for name, tensor in theirs.items()
    }
    today = prefixed(today, "bert.")
    ours = renamed(today, _NAMES)
    for layer in range(layers):
        for kind in ("weight", "bias"):
            names = [f"{_QKV.format(layer, part)}.{kind}" for part in _PARTS]
            if all(name in today for name in names):
                joined = torch.cat([today[name] for name in names])
                ours[f"encoder.layers.{layer}.qkv.{kind}"] = joined
    return ours
