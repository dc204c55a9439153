"""Checkpoints: everything a run needs to go on as if it had never stopped.

The data, the masks and the dropout are functions of (seed, step), so weights, optimiser state and
one integer are all there is. A checkpoint is written beside its place and moved there whole; its
files are known by their hashes, so that one that is damaged later is passed over.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from kobert_kit.encoder import PretrainingModel
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder

KEPT = 2  # the newest, and one more should the newest be damaged
STATE, OPTIMIZER = "state.json", "optimizer.safetensors"

log = logging.getLogger(__name__)


def save_checkpoint(
    run: Path,
    step: int,
    model: PretrainingModel,
    optimizers: Sequence[Optimizer],
    identity: Mapping[str, object],
    made_with: Mapping[str, object],
) -> None:
    """Write ``checkpoints/step-N`` whole, then drop all but the newest two.

    Args:
        run: the run's folder.
        step: batches done.
        model: its weights are written as a Hugging Face folder.
        optimizers: their states are written by the numbers of optimiser and parameter.
        identity: what must be the same for the run to go on (seed, fingerprints ...).
        made_with: what must be the same for it to go on bit for bit (versions, kernels ...).
    """
    target = run / "checkpoints" / f"step-{step:08d}"
    if not target.exists():
        with new_folder(target) as partial:
            model.save_pretrained(partial)
            save_file(_flat(optimizers), partial / OPTIMIZER)
            state = {
                "step": step,
                "identity": identity,
                "made_with": made_with,
                "files": _hashes(partial),
            }
            _write_state(partial / STATE, state)
            _to_disk(partial)
        _to_disk(target.parent)
    for old in _checkpoints(run)[KEPT:]:
        rmtree(old)


def remove_unfinished(run: Path) -> None:
    """Remove what a run that was killed while it saved has left behind."""
    for unfinished in run.glob("checkpoints/.step-*"):
        rmtree(unfinished)


def has_barely_begun(run: Path) -> bool:
    """Whether a run was stopped before its first checkpoint; it then begins again."""
    return run.exists() and not any(run.glob("checkpoints/*step-*"))


def load_checkpoint(
    run: Path,
    model: PretrainingModel,
    optimizers: Sequence[Optimizer],
    identity: Mapping[str, object],
    made_with: Mapping[str, object],
) -> int:
    """Read the newest whole checkpoint of a run into ``model`` and ``optimizers``.

    Damaged ones are put aside.

    Returns:
        Its step.

    Raises:
        InputError: there is none, or it is of another run.
    """
    folder, state = _newest(run)
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise InputError(
                f"{folder}: its {name} is {state['identity'].get(name)!r}, this run's is {value!r}"
            )
    for name, value in made_with.items():
        if state["made_with"].get(name) != value:
            log.warning(
                "the run began with %s %s and goes on with %s: the last bits of its results may "
                "differ from those of a run that never stopped",
                *(name, state["made_with"].get(name), value),
            )
    model.load_state_dict(PretrainingModel.from_pretrained(folder).state_dict())
    _unflatten(optimizers, load_file(folder / OPTIMIZER))
    return int(state["step"])


def _newest(run: Path) -> tuple[Path, dict[str, Any]]:
    for folder in _checkpoints(run):
        fault = _fault(folder)
        if fault is None:
            return folder, _read_state(folder / STATE)
        aside = folder.with_name(f"damaged-{folder.name}")
        rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        log.warning("%s: %s; put aside as %s", folder, fault, aside.name)
    raise InputError(f"{run}: no checkpoint to resume from; start without --resume")


def _fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint's files."""
    try:
        expected = _read_state(folder / STATE)["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return f"{STATE} is damaged or missing"
    found = _hashes(folder)
    for name, digest in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != digest:
            return f"{name} is damaged (its hash is another)"
    return None


def _write_state(path: Path, state: dict[str, Any]) -> None:
    content = {"hash": _hash(state), "state": state}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _read_state(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    state: dict[str, Any] = content["state"]
    if content["hash"] != _hash(state):
        raise ValueError("its hash is another")
    return state


def _hash(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file but `STATE`, which holds them."""
    hashes = {}
    for path in sorted(folder.iterdir()):
        if path.name != STATE:
            with path.open("rb") as file:
                hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _to_disk(folder: Path) -> None:
    """Wait until a folder and its files are on the disk, not in memory only."""
    for path in (*filter(Path.is_file, folder.iterdir()), folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _checkpoints(run: Path) -> list[Path]:
    """Newest first."""
    return sorted((run / "checkpoints").glob("step-*"), reverse=True)


def _flat(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    return {
        f"{number}.{parameter}.{name}": value
        for number, optimizer in enumerate(optimizers)
        for parameter, row in optimizer.state_dict()["state"].items()
        for name, value in row.items()
    }


def _unflatten(optimizers: Sequence[Optimizer], flat: Mapping[str, Tensor]) -> None:
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    for key, value in flat.items():
        number, parameter, name = key.split(".")
        states[int(number)].setdefault(int(parameter), {})[name] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
