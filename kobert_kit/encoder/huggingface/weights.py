"""The tensors in a model folder, by their names there; a tensor is read when it is asked for."""

import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kobert_vocab.errors import InputError

WHOLE, INDEX, OLD = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
# What torch's reader raises for a byte that is wrong: it trips over it wherever it stands.
_BROKEN_PICKLE = (
    *(AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError),
    *(UnpicklingError, ValueError, struct.error, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that was not read yet."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


Stored = dict[str, StoredTensor]


@contextmanager
def open_weights(folder: Path) -> Iterator[Stored]:
    """All tensors of ``model.safetensors``, of its parts, or of the older ``pytorch_model.bin``.

    Raises:
        InputError: there is none of these files, or it is broken, or it wants to run code.
    """
    with ExitStack() as files:
        if (folder / WHOLE).exists():
            yield _named_today(_of_safetensors(folder / WHOLE, files))
        elif (folder / INDEX).exists():
            yield _named_today(_of_parts(folder / INDEX, files))
        elif (folder / OLD).exists():
            yield _named_today(_of_pickle(folder / OLD))
        else:
            raise InputError(f"{folder}: no weights ({WHOLE} or {OLD})")


def _named_today(stored: Stored) -> Stored:
    """Checkpoints of 2018-2019 say gamma and beta."""
    old = {"gamma": "weight", "beta": "bias"}
    return {
        re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda found: old[found[1]], name): tensor
        for name, tensor in stored.items()
    }


def _of_safetensors(path: Path, files: ExitStack) -> Stored:
    try:
        file = files.enter_context(safe_open(path, "pt"))
        return {
            name: StoredTensor(
                tuple(file.get_slice(name).get_shape()), partial(file.get_tensor, name)
            )
            for name in file.keys()  # noqa: SIM118  # the file is no dict
        }
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: broken ({error}); copy it again") from error


def _of_parts(index: Path, files: ExitStack) -> Stored:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = set(places.values())
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{index}: not an index of weights ({error!r}); copy it again") from error
    stored: Stored = {}
    for name in sorted(map(str, names)):
        # The index comes from outside: it may name files of this folder alone.
        if not re.fullmatch(r"[\w-]+\.safetensors", name):
            raise InputError(f"{index}: {name!r} is not the name of a .safetensors file beside it")
        if not (index.parent / name).exists():
            raise InputError(f"{index.parent / name}: not there, but {index.name} names it")
        stored |= _of_safetensors(index.parent / name, files)
    if stored.keys() != places.keys():
        [first, *_] = sorted(stored.keys() ^ places.keys())
        raise InputError(f"{index}: {first} stands in it or in its files, not in both")
    return stored


def _of_pickle(path: Path) -> Stored:
    try:
        # Files from before torch 1.6 are no archives, and cannot be mapped into memory.
        weights = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except _BROKEN_PICKLE as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends too early"
        raise InputError(f"{path}: broken or not plain weights ({reason})") from error
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items()
    ):
        raise InputError(f"{path}: not a table of tensors by name")
    for name, tensor in weights.items():
        # A few bytes can claim to be a tensor of any size by repeating themselves. Rows and columns
        # may be the other way round: matrices that came from TensorFlow were stored so.
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise InputError(f"{path}: {name} is no plain tensor")
    return {
        name: StoredTensor(tuple(tensor.shape), tensor.detach) for name, tensor in weights.items()
    }
