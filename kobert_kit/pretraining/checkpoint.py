"""Checkpoints: everything a run needs to go on as if it had never stopped.

The data, the masks and the dropout are functions of (seed, step), so weights, optimiser state and
one integer are all there is.
"""

import json
from pathlib import Path
from shutil import rmtree

import torch
from safetensors.torch import load_file, save_file

from kobert_kit.encoder import PretrainingModel
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder

KEPT = 2  # the newest, and one more should the machine die while the disk still writes it
STATE, OPTIMIZER = "state.json", "optimizer.safetensors"


def save_checkpoint(
    run: Path,
    step: int,
    model: PretrainingModel,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, object],
) -> None:
    """Write ``checkpoints/step-N`` whole, then drop all but the newest two.

    Args:
        run: the run's folder.
        step: batches done.
        model: its weights are written as a Hugging Face folder.
        optimizer: its state is written by the number of the parameter.
        identity: what must be the same for the run to go on (seed, fingerprints ...).
    """
    folder = run / "checkpoints"
    target = folder / f"step-{step:08d}"
    if not target.exists():
        with new_folder(target) as partial:
            model.save_pretrained(partial)
            save_file(_flat(optimizer), partial / OPTIMIZER)
            state = {"step": step, "identity": identity}
            (partial / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    for old in _checkpoints(run)[:-KEPT]:
        rmtree(old)


def load_checkpoint(
    run: Path,
    model: PretrainingModel,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, object],
) -> int:
    """Read the newest checkpoint of a run into ``model`` and ``optimizer``; returns its step.

    Raises:
        InputError: there is none, or it is of another run.
    """
    found = _checkpoints(run)
    if not found:
        raise InputError(f"{run}: no checkpoint to resume from; start without --resume")
    folder = found[-1]
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise InputError(
                f"{folder}: its {name} is {state['identity'].get(name)!r}, this run's is {value!r}"
            )
    model.load_state_dict(PretrainingModel.from_pretrained(folder).state_dict())
    _unflatten(optimizer, load_file(folder / OPTIMIZER))
    return int(state["step"])


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value for number, row in state.items() for name, value in row.items()
    }


def _unflatten(optimizer: torch.optim.Optimizer, flat: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in flat.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
