"""`BertForPreTraining`, `BertForMaskedLM`, `BertModel`: configuration and tensor names."""

from pathlib import Path

from kobert_kit.encoder.config import ROBERTA, EncoderConfig, first_position
from kobert_kit.encoder.huggingface.config_json import Raw, activation, activation_name, require
from kobert_kit.encoder.huggingface.tensor_names import TensorNames, Theirs

ENCODER: dict[str, Theirs] = {
    "encoder.embeddings.words": "embeddings.word_embeddings",
    "encoder.embeddings.positions": "embeddings.position_embeddings",
    "encoder.embeddings.segments": "embeddings.token_type_embeddings",
    "encoder.embeddings.norm": "embeddings.LayerNorm",
    "encoder.layers.{}.qkv": (
        "encoder.layer.{}.attention.self.query",
        "encoder.layer.{}.attention.self.key",
        "encoder.layer.{}.attention.self.value",
    ),
    "encoder.layers.{}.attention_out": "encoder.layer.{}.attention.output.dense",
    "encoder.layers.{}.attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
    "encoder.layers.{}.feed_forward_in": "encoder.layer.{}.intermediate.dense",
    "encoder.layers.{}.feed_forward_out": "encoder.layer.{}.output.dense",
    "encoder.layers.{}.feed_forward_norm": "encoder.layer.{}.output.LayerNorm",
    "encoder.pooler": "pooler.dense",
}
# Buffers of older versions, and heads of other tasks.
NOT_OURS = ("embeddings.position_ids", "embeddings.token_type_ids", "classifier.", "qa_outputs.")

BERT = TensorNames(
    prefix="bert.",
    encoder=ENCODER,
    heads={
        "masked_language.dense": "cls.predictions.transform.dense",
        "masked_language.norm": "cls.predictions.transform.LayerNorm",
        "masked_language": "cls.predictions",
        "next_sentence": "cls.seq_relationship",
    },
    copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    not_ours=NOT_OURS,
)


def to_json(config: EncoderConfig) -> dict[str, object]:
    """What ``config.json`` says of any classic encoder."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions + config.first_position,
        "type_vocab_size": config.segments,
        "hidden_act": activation_name(config.activation),
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "layer_norm_eps": config.norm_eps,
        "initializer_range": config.init_std,
        "pad_token_id": config.pad_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
        **({"embedding_size": config.embedding_width} if config.model_type == "electra" else {}),
    }


def from_json(raw: Raw, path: Path) -> EncoderConfig:
    """The configuration in the ``config.json`` of any classic encoder.

    What older files leave out has the value that `transformers` gives it.

    Raises:
        InputError: a setting that we do not have.
        KeyError: a size is missing.
    """
    only = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    }
    require(raw, path, only)
    if raw["model_type"] != "bert":
        require(raw, path, {"hidden_act": "gelu"})  # the head's, whatever that of the layers is
    pad = raw.get("pad_token_id", 1 if raw["model_type"] in ROBERTA else 0)
    return EncoderConfig(
        vocab_size=raw["vocab_size"],
        model_type=raw["model_type"],
        hidden_size=raw["hidden_size"],
        layers=raw["num_hidden_layers"],
        heads=raw["num_attention_heads"],
        intermediate_size=raw["intermediate_size"],
        max_positions=raw["max_position_embeddings"] - first_position(raw["model_type"], pad),
        segments=raw.get("type_vocab_size", 2),
        activation=activation(raw, path, "hidden_act"),
        hidden_dropout=raw.get("hidden_dropout_prob", 0.1),
        attention_dropout=raw.get("attention_probs_dropout_prob", 0.1),
        norm_eps=raw.get("layer_norm_eps", 1e-12),
        init_std=raw.get("initializer_range", 0.02),
        pad_id=pad,
        embedding_size=raw.get("embedding_size", 128) if raw["model_type"] == "electra" else 0,
    )
