"""`ModernBertForMaskedLM`, `ModernBertModel`: configuration and tensor names.

Version 5 says the kind of each layer (``layer_types``) and the angles of each kind
(``rope_parameters``); older ones say ``global_attn_every_n_layers``, ``global_rope_theta`` and
``local_rope_theta``. Both are written and both are read; where a file has both, the new ones hold,
as in `transformers`.
"""

from pathlib import Path

from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.huggingface.config_json import Raw, activation, activation_name, require
from kobert_kit.encoder.huggingface.tensor_names import TensorNames
from kobert_vocab.errors import InputError

MODERNBERT = TensorNames(
    prefix="model.",
    encoder={
        "encoder.embeddings.words": "embeddings.tok_embeddings",
        "encoder.embeddings.norm": "embeddings.norm",
        "encoder.layers.{}.attention_norm": "layers.{}.attn_norm",
        "encoder.layers.{}.qkv": "layers.{}.attn.Wqkv",
        "encoder.layers.{}.attention_out": "layers.{}.attn.Wo",
        "encoder.layers.{}.feed_forward_norm": "layers.{}.mlp_norm",
        "encoder.layers.{}.feed_forward_in": "layers.{}.mlp.Wi",
        "encoder.layers.{}.feed_forward_out": "layers.{}.mlp.Wo",
        "encoder.final_norm": "final_norm",
    },
    heads={
        "masked_language.dense": "head.dense",
        "masked_language.norm": "head.norm",
        "masked_language": "decoder",
    },
    copies={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    not_ours=("classifier.",),
)

_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
# The old key of each kind, and what `transformers` takes where a file has neither key.
_OLD_BASES = {_GLOBAL: ("global_rope_theta", 160_000.0), _LOCAL: ("local_rope_theta", 10_000.0)}
# Theirs drops attention's weights and what attention gives at one rate, ours at two.
_OUTPUT_DROPOUT = "attention_output_dropout"


def to_json(config: EncoderConfig) -> dict[str, object]:
    """What ``config.json`` says."""
    activation = activation_name(config.activation)
    bases = {_GLOBAL: config.global_rotary_base, _LOCAL: config.local_rotary_base}
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "hidden_activation": activation,
        "classifier_activation": activation,
        "attention_dropout": config.attention_dropout,
        _OUTPUT_DROPOUT: config.hidden_dropout,
        "embedding_dropout": 0.0,
        "mlp_dropout": config.mlp_dropout,
        "layer_types": _layer_types(config.layers, config.global_every),
        "global_attn_every_n_layers": config.global_every,
        "local_attention": config.window,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()
        },
        **{_OLD_BASES[kind][0]: base for kind, base in bases.items()},
        "norm_eps": config.norm_eps,
        "initializer_range": config.init_std,
        "pad_token_id": config.pad_id,
        # Else `transformers` takes those of the released vocabulary, beyond the end of most others.
        **{
            name: config.others.get(name)
            for name in ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
        },
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def from_json(raw: Raw, path: Path) -> EncoderConfig:
    """The configuration in a ``config.json``.

    Raises:
        InputError: a setting that we do not have.
        KeyError: a setting is missing.
    """
    biases = ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")
    only = {"decoder_bias": True, "tie_word_embeddings": True, "embedding_dropout": 0.0}
    form = activation(raw, path, "hidden_activation")
    require(raw, path, only | dict.fromkeys(biases, False) | {"rope_scaling": None})
    if activation(raw, path, "classifier_activation") != form:
        raise InputError(
            f"{path}: classifier_activation is another than hidden_activation; "
            "only equal ones can be loaded"
        )
    attention_dropout = raw.get("attention_dropout", 0.0)
    return EncoderConfig(
        family="modern",
        vocab_size=raw["vocab_size"],
        hidden_size=raw["hidden_size"],
        layers=raw["num_hidden_layers"],
        heads=raw["num_attention_heads"],
        intermediate_size=raw["intermediate_size"],
        max_positions=raw["max_position_embeddings"],
        activation=form,
        hidden_dropout=raw.get(_OUTPUT_DROPOUT, attention_dropout),
        attention_dropout=attention_dropout,
        mlp_dropout=raw.get("mlp_dropout", 0.0),
        global_every=_global_every(raw, path),
        window=raw["local_attention"],
        global_rotary_base=_base(raw, path, _GLOBAL),
        local_rotary_base=_base(raw, path, _LOCAL),
        norm_eps=raw["norm_eps"],
        init_std=raw["initializer_range"],
        pad_id=raw["pad_token_id"],
    )


def _layer_types(layers: int, every: int) -> list[str]:
    return [_LOCAL if number % every else _GLOBAL for number in range(layers)]


def _global_every(raw: Raw, path: Path) -> int:
    layers, kinds = raw["num_hidden_layers"], raw.get("layer_types")
    old: int = raw.get("global_attn_every_n_layers", 3)
    if kinds is None:
        return old
    second = kinds.index(_GLOBAL, 1) if _GLOBAL in kinds[1:] else layers
    # The old number first: where only the first layer sees all, many numbers fit.
    for every in (old, second):
        if every >= 1 and kinds == _layer_types(len(kinds), every) and len(kinds) == layers:
            return every
    raise InputError(
        f"{path}: layer_types is {kinds!r}; only {layers} layers can be loaded of which the first "
        f"and every n-th after it is {_GLOBAL!r} and the others are {_LOCAL!r}"
    )


def _base(raw: Raw, path: Path, kind: str) -> float:
    angles = (raw.get("rope_parameters") or {}).get(kind) or {}
    other = {key: value for key, value in angles.items() if key != "rope_theta"}
    if other not in ({}, {"rope_type": "default"}):
        raise InputError(
            f"{path}: rope_parameters of {kind} has {other!r}; only rope_type 'default' can be "
            "loaded, without settings of its own"
        )
    old, default = _OLD_BASES[kind]
    base: float = angles["rope_theta"] if "rope_theta" in angles else raw.get(old, default)
    return base
