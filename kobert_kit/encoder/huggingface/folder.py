"""Model folders as `transformers` reads and writes them: ``config.json`` + ``model.safetensors``.

The kit has no format of its own. The names on both sides stand beside this file, in one table for
each architecture.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.huggingface import bert, modernbert
from kobert_kit.encoder.huggingface.bert import BERT
from kobert_kit.encoder.huggingface.config_json import Raw, require
from kobert_kit.encoder.huggingface.electra import ELECTRA
from kobert_kit.encoder.huggingface.hub import local_folder
from kobert_kit.encoder.huggingface.modernbert import MODERNBERT
from kobert_kit.encoder.huggingface.roberta import ROBERTA
from kobert_kit.encoder.huggingface.tensor_names import TensorNames
from kobert_kit.encoder.huggingface.weights import WHOLE, Stored, StoredTensor, open_weights
from kobert_vocab.disk_errors import errors_of_the_disk
from kobert_vocab.errors import InputError

CONFIG = "config.json"
Module = TypeVar("Module", bound=nn.Module)
# Quantised weights mean nothing without their scales.
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Architecture:
    """One of `transformers`."""

    classes: str
    """How the names of its classes begin."""
    names: TensorNames
    from_json: Callable[[Raw, Path], EncoderConfig] = bert.from_json
    to_json: Callable[[EncoderConfig], dict[str, object]] = bert.to_json


ARCHITECTURES = {
    "bert": Architecture("Bert", BERT),
    "roberta": Architecture("Roberta", ROBERTA),
    "xlm-roberta": Architecture("XLMRoberta", ROBERTA),
    "camembert": Architecture("Camembert", ROBERTA),
    "electra": Architecture("Electra", ELECTRA),
    "modernbert": Architecture("ModernBert", MODERNBERT, modernbert.from_json, modernbert.to_json),
}
# Which class a model is, by the first of these parts that it has.
_KINDS = {
    "next_sentence": "ForPreTraining",
    "discriminator": "ForPreTraining",
    "masked_language": "ForMaskedLM",
    "encoder": "Model",
}
# Where a file came from and what ran it, not what the model is; or code.
_LEFT_BEHIND = ("_name_or_path", "auto_map", "transformers_version", "torch_dtype", "architectures")


def write_folder(folder: Path, config: EncoderConfig, weights: Mapping[str, Tensor]) -> None:
    """Write ``config.json`` and ``model.safetensors`` of the class that has such weights.

    Args:
        folder: exists.
        config: of the encoder.
        weights: by our names, those of the encoder after ``encoder.``.
    """
    architecture = ARCHITECTURES[config.model_type]
    settings = {
        **config.others,
        **architecture.to_json(config),
        "architectures": [class_of(config, weights)],
        "model_type": config.model_type,
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    bare = all(name.startswith("encoder.") for name in weights)
    theirs = architecture.names.renamed(weights, bare=bare)
    parts = {name: tensor.contiguous() for name, tensor in theirs.items()}
    with errors_of_the_disk(folder / WHOLE):
        save_file(parts, folder / WHOLE, metadata={"format": "pt"})


def class_of(config: EncoderConfig, weights: Iterable[str]) -> str:
    """The class of `transformers` that has weights of these names of ours."""
    first = {name.partition(".")[0] for name in weights}
    kind = next(kind for part, kind in _KINDS.items() if part in first)
    return ARCHITECTURES[config.model_type].classes + kind


@contextmanager
def open_folder(model: str | Path) -> Iterator["OpenFolder"]:
    """A model folder, or a model of the hub, for reading.

    Raises:
        InputError: not a model, an architecture that we do not have, or broken weights.
    """
    folder = local_folder(model)
    config = _read_config(folder / CONFIG)
    with open_weights(folder) as stored:
        yield OpenFolder(folder, config, stored)


def _read_config(path: Path) -> EncoderConfig:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path.parent}: not a model folder (no {CONFIG})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        hint = "; files of 2019 name none: add what it is" if kind is None else ""
        raise InputError(f"{path}: model_type is {kind!r}; what can be loaded is {known}{hint}")
    require(raw, path, {"quantization_config": None})
    try:
        config = ARCHITECTURES[kind].from_json(raw, path)
    except KeyError as error:
        raise InputError(f"{path}: no key {error}") from error
    except (AttributeError, TypeError) as error:  # a number written as a string, say
        raise InputError(f"{path}: a value of the wrong type ({error})") from error
    others = {name: value for name, value in raw.items() if name not in _LEFT_BEHIND}
    return replace(config, others=others)


class OpenFolder:
    """A model folder of which the weights can be read.

    Args:
        path: the folder.
        config: what its ``config.json`` says.
        stored: its tensors.
    """

    def __init__(self, path: Path, config: EncoderConfig, stored: Stored) -> None:
        self.path, self.config, self._stored = path, config, stored
        self._names = ARCHITECTURES[config.model_type].names
        self._bare = not any(name.startswith(self._names.prefix) for name in stored)

    def has(self, ours: str) -> bool:
        """Whether a tensor of ours is there."""
        return self._names.know(ours) and all(map(self._found, self._theirs(ours)))

    def load(
        self, make: Callable[[], Module], *, within: str = "", fresh: tuple[str, ...] = ()
    ) -> Module:
        """What ``make`` makes, with the weights of the folder; they are in memory once.

        Args:
            make: a module, on whatever device it is told.
            within: how our names of its tensors begin.
            fresh: how names begin that may be missing; their tensors are left as memory was.

        Raises:
            InputError: a tensor is missing, has another shape, or is one too many.
        """
        if self.config.layers > len(self._stored):  # before that many are made
            raise InputError(
                f"{self.path}: config.json says {self.config.layers} layers, the weights have less"
            )
        with torch.device("meta"):
            module = make()
        tensors = {f"{within}{name}": tensor for name, tensor in module.state_dict().items()}
        wanted = [name for name in tensors if not name.startswith(fresh) or self.has(name)]
        for name in wanted:
            self._check(name, tensors[name].shape)
        self._check_rest({theirs for name in wanted for theirs in self._theirs(name)})
        module.to_empty(device="cpu")
        tensors = {f"{within}{name}": tensor for name, tensor in module.state_dict().items()}
        for name in wanted:
            self._read(name, tensors[name])
        return module

    def _theirs(self, ours: str) -> tuple[str, ...]:
        return self._names.theirs(ours, bare=self._bare)

    def _found(self, theirs: str) -> StoredTensor | None:
        copies = (copy for copy, first in self._names.copies.items() if first == theirs)
        return next(
            (self._stored[name] for name in (theirs, *copies) if name in self._stored), None
        )

    def _check(self, ours: str, shape: torch.Size) -> None:
        names = self._theirs(ours)
        asked = (shape[0] // len(names), *shape[1:])
        for name in names:
            found = self._found(name)
            if found is None:
                raise InputError(f"{self.path}: the weights lack {name}")
            if found.shape != asked:
                raise InputError(f"{self.path}: {name} is {found.shape}, config.json asks {asked}")

    def _check_rest(self, used: set[str]) -> None:
        """That no tensor would be lost which belongs to the model."""
        for name in sorted(self._stored.keys() - used):
            first = self._names.copies.get(name, "")
            first = first.removeprefix(self._names.prefix) if self._bare else first
            original = self._stored.get(first)
            if original is not None:
                if not torch.equal(original.read(), self._stored[name].read()):
                    raise InputError(
                        f"{self.path}: {name} is not {first}; "
                        "only models can be loaded in which they are one"
                    )
            elif name not in self._names.copies and not self._names.may_leave(name):
                raise InputError(
                    f"{self.path}: {name} has no place in a {self.config.model_type} of "
                    f"{self.config.layers} layers"
                )

    def _read(self, ours: str, tensor: Tensor) -> None:
        names = self._theirs(ours)
        for name, part in zip(names, tensor.chunk(len(names)), strict=True):
            found = self._found(name)
            assert found is not None  # it was checked
            given = found.read()
            if given.dtype not in _DTYPES:
                raise InputError(
                    f"{self.path}: {name} is of {given.dtype}; only floats of 16, 32 or 64 "
                    "bits can be loaded: save the model in float32"
                )
            part.copy_(given)
