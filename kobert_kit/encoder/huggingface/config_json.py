"""What is asked of a ``config.json``, and errors that name the file and the key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from kobert_vocab.errors import InputError

Raw = Mapping[str, Any]
Activation = Literal["gelu", "gelu_tanh"]

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def require(raw: Raw, path: Path, only: Raw) -> None:
    """Raise an InputError where a key of ``only`` is given another value; it may be missing."""
    for key, value in only.items():
        if raw.get(key, value) != value:
            raise InputError(f"{path}: {key} is {raw[key]!r}; only {value!r} can be loaded")


def activation(raw: Raw, path: Path, key: str) -> Activation:
    """The form of GELU that ``key`` names; the erf form if it is missing."""
    name = raw.get(key, "gelu")
    if name not in ACTIVATIONS:
        raise InputError(f"{path}: {key} is {name!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def activation_name(value: Activation) -> str:
    """Hugging Face's word for a form of GELU."""
    return "gelu_new" if value == "gelu_tanh" else "gelu"
