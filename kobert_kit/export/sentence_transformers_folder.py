"""A model folder that `sentence_transformers.SentenceTransformer` loads.

The names in these files are those of sentence-transformers 2 to 6; the newest read the old ones,
and only they are read by all.
"""

import json
from pathlib import Path

from kobert_kit.encoder import Encoder, EncoderConfig
from kobert_kit.encoder.huggingface.hub import local_folder
from kobert_kit.export.model_card import carry_card
from kobert_kit.export.tokenizer_files import copy_tokenizer
from kobert_kit.inference.text_encoder import Pooling
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder, refuse_existing

SHORTEST = 3  # [CLS], a piece, [SEP]
_MODULES = ("Transformer", "Pooling", "Normalize")
_POOLINGS = {"mean": "mean_tokens", "first": "cls_token"}
_SECTION = """
## With sentence-transformers

```python
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer(".").encode(["오늘은 날씨가 좋다.", "오늘 날씨가 참 좋네요."])
```

This folder holds the encoder alone: what is said above of filled masks is true of the model that it was made from.
"""  # noqa: E501  # a paragraph of Markdown


def export_sentence_transformers(
    model: str | Path,
    out: Path,
    *,
    pooling: Pooling = "mean",
    normalise: bool = False,
    longest: int | None = None,
) -> None:
    """Write the encoder, the tokenizer and how a text's vector is made, into a new folder.

    The vectors are those of `kobert_kit.inference.TextEncoder`.

    Args:
        model: a model folder, or a name on the hub.
        out: folder to make.
        pooling: the mean of the vectors of all tokens, or that of the first one.
        normalise: whether each vector gets the length 1.
        longest: tokens after which a text is cut off; what the model takes if not given.

    Raises:
        InputError: no model of ours, no tokenizer, a ``longest`` that the model does not take, or
            ``out`` exists.
    """
    refuse_existing(out)
    folder = local_folder(model)
    encoder = Encoder.from_pretrained(folder)
    config = encoder.config
    most = config.max_positions
    if longest is not None and not SHORTEST <= longest <= most:
        raise InputError(f"max-length is {longest}; it must lie between {SHORTEST} and {most}")
    with new_folder(out) as partial:
        encoder.save_pretrained(partial)
        copy_tokenizer(folder, config.vocab_size, partial)
        modules = _MODULES if normalise else _MODULES[:2]
        _write(partial / "modules.json", [_module(*one) for one in enumerate(modules)])
        _write(partial / "sentence_bert_config.json", _transformer(encoder, longest or most))
        _write(partial / "1_Pooling" / "config.json", _pooling(config, pooling))
        if normalise:
            _write(partial / "2_Normalize" / "config.json", {})
        _write(partial / "config_sentence_transformers.json", _whole())
        carry_card(
            *(folder, partial),
            section=_SECTION,
            library_name="sentence-transformers",
            pipeline_tag="sentence-similarity",
            tags=("sentence-transformers", "feature-extraction"),
            mask_token=None,
            widget=None,
        )


def _module(number: int, name: str) -> dict[str, object]:
    return {
        "idx": number,
        "name": str(number),
        "path": f"{number}_{name}" if number else "",
        "type": f"sentence_transformers.models.{name}",
    }


def _transformer(encoder: Encoder, longest: int) -> dict[str, object]:
    settings: dict[str, object] = {"max_seq_length": longest, "do_lower_case": False}
    # Else `transformers` makes a pooler of random numbers, and warns of it, for nothing.
    if encoder.pooler is None and encoder.config.model_type not in ("electra", "modernbert"):
        settings["model_args"] = {"add_pooling_layer": False}
    return settings


def _pooling(config: EncoderConfig, pooling: Pooling) -> dict[str, object]:
    kinds = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    return {
        "word_embedding_dimension": config.hidden_size,
        **{f"pooling_mode_{kind}": kind == _POOLINGS[pooling] for kind in kinds},
    }


def _whole() -> dict[str, object]:
    return {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
