"""Every tensor of a checkpoint as a variable of BERT, or one line that says which is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from kobert_kit.tensorflow1.bert_config import BertConfig
from kobert_kit.tensorflow1.variable_names import (
    NEXT_SENTENCE,
    POOLER,
    Shape,
    Side,
    Variable,
    encoder_variables,
    head_variables,
)
from kobert_vocab.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Match:
    """The variables of a checkpoint."""

    variables: tuple[Variable, ...]
    """In the order of the model."""
    absent: tuple[str, ...]
    """Parts that it lacks."""


def match(
    shapes: Mapping[str, Shape], config: BertConfig, config_path: Path, side: Side, path: Path
) -> Match:
    """Find the variable of each tensor, and a tensor for each variable of the parts that are there.

    Args:
        shapes: of all tensors of the model, by their names on ``side``.
        config: what they should be.
        config_path: the file that says so.
        side: whose names and shapes they are.
        path: the file that they are in.

    Raises:
        InputError: a tensor is missing, has another shape, or is none of BERT's.
    """
    heads = list(head_variables(config))
    present = {variable.part for variable in heads if variable.name(side) in shapes}
    if NEXT_SENTENCE in present:
        present.add(POOLER)  # which it reads
    parts = dict.fromkeys(variable.part for variable in heads)
    expected = (variable for variable in heads if variable.part in present)
    variables = tuple(
        _checked(variable, shapes, config_path, side, path)  # stops at the first of too many layers
        for variable in chain(encoder_variables(config), expected)
    )
    known = {variable.name(side) for variable in variables}
    for name in shapes:
        if name not in known:
            raise InputError(
                f"{path}: {name!r} is no tensor of a BERT of {config.num_hidden_layers} layers "
                f"({config_path.name}); only the encoder and the heads of pretraining can be "
                "converted"
            )
    absent = tuple(part for part in parts if part not in present)
    return Match(variables=variables, absent=absent)


def _checked(
    variable: Variable, shapes: Mapping[str, Shape], config_path: Path, side: Side, path: Path
) -> Variable:
    name, expected = variable.name(side), variable.shape(side)
    if name not in shapes:
        raise InputError(
            f"{path}: no {name!r}, which the {variable.part} has by {config_path.name}; "
            "take the whole checkpoint, or mend the configuration"
        )
    if shapes[name] != expected:
        raise InputError(
            f"{path}: {name!r} is {list(shapes[name])}, and {config_path.name} asks for "
            f"{list(expected)}; take the configuration of this checkpoint"
        )
    return variable
