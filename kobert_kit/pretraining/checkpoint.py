"""Checkpoints: everything a run needs to go on as if it had never stopped.

The data, the masks and the dropout are functions of (seed, step), so weights, optimiser state and
a few numbers of progress are all there is. A checkpoint is written beside its place and moved there
whole; its files are known by their hashes, so that one that is damaged later is passed over. It
does not know how many processes there were: each tensor is in it as a whole.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from kobert_kit.encoder import PretrainingModel
from kobert_kit.encoder.huggingface.folder import write_folder
from kobert_kit.pretraining.moving_average import MovingAverage
from kobert_kit.pretraining.processes import like, whole
from kobert_vocab.disk_errors import errors_of_the_disk
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder

KEPT = 2  # the newest, and one more should the newest be damaged
STATE, OPTIMIZER, AVERAGE = "state.json", "optimizer.safetensors", "average.safetensors"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """All tensors that training changes."""

    model: PretrainingModel
    optimizers: Sequence[Optimizer]
    average: MovingAverage | None


class Saver:
    """Writes checkpoints of a run while it goes on. One process of a run writes.

    Args:
        run: the run's folder.
        identity: what must be the same for the run to go on (seed, fingerprints ...).
        made_with: what must be the same for it to go on bit for bit (versions, kernels ...).
        writes: whether it is this process that writes.
    """

    def __init__(
        self,
        run: Path,
        identity: Mapping[str, object],
        made_with: Mapping[str, object],
        *,
        writes: bool,
    ) -> None:
        self._run, self._identity, self._made_with = run, identity, made_with
        self._writes = writes
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._written: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exception: type[BaseException] | None, *traceback: object) -> None:
        self._thread.shutdown(wait=True)
        failed = self._written.exception() if self._written else None
        if failed is not None and exception is not None:  # else `finish` has raised it
            log.warning("the last checkpoint could not be written: %s", failed)

    def save(self, trained: Trained, progress: Mapping[str, Any]) -> None:
        """Copy what is trained, and write ``checkpoints/step-N`` from the copy.

        All processes of a run must call this. The folder appears whole when it is written; then all
        but the newest two go.

        Args:
            trained: as it is now.
            progress: with the ``step``, which names the checkpoint.

        Raises:
            OSError: this one's folder, or the one before it, could not be written.
        """
        keep = self._writes
        weights = copied(trained.model.state_dict(), keep=keep)
        states = copied(_flat(trained.optimizers), keep=keep)
        average = copied(trained.average.values, keep=keep) if trained.average else None
        if self._writes:
            self.finish()
            self._written = self._thread.submit(
                self._write, trained.model, weights, states, average, dict(progress)
            )

    def check(self) -> None:
        """See whether the checkpoint that is being written still can be.

        Raises:
            OSError: it could not be.
        """
        if self._written is not None and self._written.done():
            self.finish()

    def finish(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            OSError: it could not be.
        """
        if self._written is not None:
            written, self._written = self._written, None
            written.result()

    def _write(
        self,
        model: PretrainingModel,
        weights: Mapping[str, Tensor],
        states: Mapping[str, Tensor],
        average: Mapping[str, Tensor] | None,
        progress: dict[str, Any],
    ) -> None:
        target = self._run / "checkpoints" / f"step-{progress['step']:08d}"
        if not target.exists():
            with new_folder(target) as partial:
                write_folder(partial, model.config, dict(weights))
                with errors_of_the_disk(partial):
                    save_file(dict(states), partial / OPTIMIZER)
                    if average is not None:
                        save_file(dict(average), partial / AVERAGE)
                state = {
                    "progress": progress,
                    "identity": self._identity,
                    "made_with": self._made_with,
                    "files": _hashes(partial),
                }
                _write_state(partial / STATE, state)
                _to_disk(partial)
            _to_disk(target.parent)
        for old in _checkpoints(self._run)[KEPT:]:
            rmtree(old)


def copied(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Whole, on the CPU, and no longer what training changes.

    All processes must call this; those that do not ``keep`` the copies get none.
    """
    copies = {}
    for name, tensor in tensors.items():
        one = whole(tensor.detach())
        if keep:
            copies[name] = one.to("cpu", copy=True).contiguous()
    return copies


def remove_unfinished(run: Path) -> None:
    """Remove what a run that was killed while it saved has left behind."""
    for unfinished in run.glob("checkpoints/.step-*"):
        rmtree(unfinished)


def has_barely_begun(run: Path) -> bool:
    """Whether a run was stopped before its first checkpoint; it then begins again."""
    # A name with a dot before it is one that was being written.
    found = run.glob("checkpoints/*step-*")
    return run.exists() and all(path.name.startswith(".") for path in found)


def load_checkpoint(
    run: Path,
    trained: Trained,
    identity: Mapping[str, object],
    made_with: Mapping[str, object],
) -> dict[str, Any]:
    """Read the newest whole checkpoint of a run into ``trained``.

    Returns:
        Its progress.

    Raises:
        InputError: there is none, or it is of another run.
    """
    folder, state = _newest(run)
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise InputError(
                f"{folder}: its {name} is {state['identity'].get(name)!r}, this run's is "
                f"{value!r}; go on with the settings of {run / 'config.toml'}, or choose another "
                "--out"
            )
    for name, value in made_with.items():
        if state["made_with"].get(name) != value:
            log.warning(
                "the run began with %s %s and goes on with %s: the last bits of its results may "
                "differ from those of a run that never stopped",
                *(name, state["made_with"].get(name), value),
            )
    weights = PretrainingModel.from_pretrained(folder).state_dict()
    copy_into(weights, trained.model.state_dict())
    if trained.average is not None:
        copy_into(load_file(folder / AVERAGE), trained.average.values)
    _unflatten(trained.optimizers, load_file(folder / OPTIMIZER))
    progress: dict[str, Any] = state["progress"]
    return progress


@torch.no_grad()
def copy_into(tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    """Copy whole tensors to where they are trained: whole too, or a process's share of them."""
    for name, target in targets.items():
        target.copy_(like(tensors[name].to(target.device), target))


def put_damaged_aside(run: Path) -> None:
    """Rename the newest checkpoints that are damaged, down to the first that is whole."""
    for folder in _checkpoints(run):
        fault = _fault(folder)
        if fault is None:
            return
        aside = folder.with_name(f"damaged-{folder.name}")
        rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        log.warning("%s: %s; put aside as %s", folder, fault, aside.name)


def _newest(run: Path) -> tuple[Path, dict[str, Any]]:
    for folder in _checkpoints(run)[:1]:
        return folder, _read_state(folder / STATE)
    elsewhere = ", with another --out" if run.exists() else ""
    raise InputError(f"{run}: no checkpoint to resume from; start without --resume{elsewhere}")


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
    parameters = [[p for g in o.param_groups for p in g["params"]] for o in optimizers]
    for key, value in flat.items():
        number, parameter, name = key.split(".")
        owner = parameters[int(number)][int(parameter)]
        row = states[int(number)].setdefault(int(parameter), {})
        row[name] = like(value.to(owner.device), owner)
    for optimizer, state in zip(optimizers, states, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
