"""Names of tensors, ours and Hugging Face's, by a table of both."""

import re
from collections.abc import Mapping

from torch import Tensor

Weights = dict[str, Tensor]


def split_name(name: str) -> tuple[str, str, str]:
    """``a.3.b.weight`` as ``a.{}.b``, ``3``, ``weight``."""
    stem, _, kind = name.rpartition(".")
    numbered = re.sub(r"\.\d+(?=\.)", ".{}", stem, count=1)
    number = re.search(r"\.(\d+)(?=\.)", stem)
    return numbered, number[1] if number else "", kind


def renamed(weights: Weights, names: Mapping[str, str]) -> Weights:
    """Those of ``weights`` whose stem is in ``names``, by the names there."""
    split = {name: split_name(name) for name in weights}
    return {
        f"{names[stem].format(number)}.{kind}": weights[name]
        for name, (stem, number, kind) in split.items()
        if stem in names
    }


def prefixed(weights: Weights, prefix: str) -> Weights:
    """``weights`` as the model with heads names them: bare encoders leave the prefix out."""
    if any(name.startswith(prefix) for name in weights):
        return weights
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}
