"""Model folders as `transformers` reads and writes them: ``config.json`` + ``model.safetensors``.

The kit has no format of its own. The names on both sides stand in `bert_folder` and
`modern_folder`.
"""

import json
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kobert_kit.encoder import bert_folder, modern_folder
from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.tensor_names import Weights
from kobert_vocab.errors import InputError

CONFIG, WEIGHTS, OLD_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"


def write_folder(folder: Path, config: EncoderConfig, weights: Weights) -> None:
    """Write ``config.json`` and ``model.safetensors``.

    They are those of `BertForPreTraining` or `ModernBertForMaskedLM`.
    """
    family = bert_folder if config.family == "bert" else modern_folder
    text = json.dumps(family.to_json(config), indent=2)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    theirs = {name: tensor.contiguous() for name, tensor in family.to_theirs(weights).items()}
    save_file(theirs, folder / WEIGHTS, metadata={"format": "pt"})


def read_folder(folder: Path) -> tuple[EncoderConfig, Weights]:
    """The configuration and the weights of a BERT or ModernBERT folder, by our names.

    Raises:
        InputError: not a model folder, another architecture, or weights that do not fit it.
    """
    config = _read_config(folder)
    theirs = {name: tensor.float() for name, tensor in _read_weights(folder).items()}
    if config.family == "bert":
        return config, bert_folder.to_ours(theirs, config.layers)
    return config, modern_folder.to_ours(theirs)


def _read_config(folder: Path) -> EncoderConfig:
    path = folder / CONFIG
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: not a model folder (no {CONFIG})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    readers = {"bert": bert_folder.from_json, "modernbert": modern_folder.from_json}
    if kind not in readers:
        known = " and ".join(map(repr, readers))
        raise InputError(f"{path}: model_type is {kind!r}; only {known} can be loaded")
    try:
        return readers[kind](raw, path)
    except KeyError as error:
        raise InputError(f"{path}: no key {error}") from error
    except (AttributeError, TypeError) as error:  # a number written as a string, say
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
