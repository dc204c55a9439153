"""Where the metrics of a run can be followed from afar: TensorBoard, Weights & Biases, trackio.

They get the numbers of ``metrics.jsonl`` as these are written. Of the user's places they get the
name of the run's folder alone: settings that are paths stay here, and so does what a tracker would
gather by itself about the program, its folder, its repository and its machine.
"""

import importlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from kobert_kit.pretraining.config import PretrainConfig
from kobert_vocab.errors import InputError

PROJECT = "kobert-kit"
IDENTITY = "trackers.json"  # in the run's folder: what a run that goes on is known by
# Of a language; what the others say of its text does not change as training goes on.
OF_LANGUAGES = ("loss", "accuracy", "bits_per_character")
FLUSH = 10  # seconds after which TensorBoard's file is written, so that a kill loses little

Row = Mapping[str, Any]  # of metrics.jsonl
Send = Callable[[int, dict[str, float]], None]


@contextmanager
def tracking(config: PretrainConfig, step: int) -> Iterator[Callable[[Row], None]]:
    """Open the trackers that a run asks for, and close them when the block ends, however it does.

    Args:
        config: of the run; its folder is there.
        step: batches done. Above 0 the run goes on in the trackers as well: TensorBoard drops what
            came after, Weights & Biases keeps what it has, trackio shows it twice.

    Yields:
        What each row of ``metrics.jsonl`` is to be given to.

    Raises:
        InputError: Weights & Biases cannot begin, for want of a login, say.
    """
    with ExitStack() as opened:
        sends = [opened.enter_context(_OPENERS[name](config, step)) for name in config.trackers]

        def track(row: Row) -> None:
            values = scalars(row)
            for send in sends:
                send(row["step"], values)

        yield track


def check_installed(config: PretrainConfig) -> None:
    """To be called before a run makes its folder.

    Raises:
        InputError: a tracker is asked for whose package is not installed.
    """
    for name in config.trackers:
        _package(name, name)


def scalars(row: Row) -> dict[str, float]:
    """The numbers of a row by the names that trackers show.

    They are ``train/masked_loss``, ``held_out/loss``, ``held_out/ko/loss`` and so on.
    """
    if "evaluation" not in row:
        return _numbers("train", {name: row[name] for name in row if name != "step"})
    evaluation = row["evaluation"]
    found = _numbers("held_out", evaluation)
    for code, scores in evaluation["languages"].items():
        found |= _numbers(f"held_out/{code}", {name: scores.get(name) for name in OF_LANGUAGES})
    return found


def _numbers(prefix: str, values: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{prefix}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


@contextmanager
def _tensorboard(config: PretrainConfig, step: int) -> Iterator[Send]:
    _package("tensorboard", "tensorboard")
    writer = _package("torch.utils.tensorboard", "tensorboard").SummaryWriter(
        str(config.out / "tensorboard"), purge_step=step + 1, flush_secs=FLUSH
    )

    def send(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    try:
        yield send
    finally:
        writer.close()


@contextmanager
def _wandb(config: PretrainConfig, _step: int) -> Iterator[Send]:
    wandb = _package("wandb", "wandb")
    # By themselves they send the command line, paths, the repository, the host and the console.
    private = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_save_requirements=False,
    )
    try:
        run = wandb.init(
            project=PROJECT,
            name=config.out.name,
            id=_identity(config.out),
            resume="allow",
            dir=config.out,
            config=settings_sent(config),
            settings=private,
        )
    except wandb.errors.Error as error:
        line = str(error).strip().splitlines()[0]
        raise InputError(
            f"Weights & Biases cannot begin ({line}); log in with: wandb login, or set "
            "WANDB_MODE=offline; then run the same with --resume"
        ) from error

    def send(step: int, values: dict[str, float]) -> None:
        if step >= run.step:  # it takes no step twice
            run.log(values, step=step)

    try:
        yield send
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


@contextmanager
def _trackio(config: PretrainConfig, _step: int) -> Iterator[Send]:
    run = _package("trackio", "trackio").init(
        project=PROJECT,
        # It knows runs by their names alone.
        name=f"{config.out.name}-{_identity(config.out)}",
        resume="allow",
        config=settings_sent(config),
        embed=False,
    )

    def send(step: int, values: dict[str, float]) -> None:
        run.log(values, step=step)

    try:
        yield send
    finally:
        run.finish()


_OPENERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}


def settings_sent(config: PretrainConfig) -> dict[str, Any]:
    """The settings of a run, without those that are paths."""
    sent = _without_paths(asdict(config))
    if config.from_ is not None and Path(config.from_).exists():  # else it is a name on the hub
        del sent["from_"]
    return sent


def _without_paths(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_paths(value) if isinstance(value, dict) else value
        for name, value in table.items()
        if not isinstance(value, Path)
    }


def _identity(run: Path) -> str:
    path = run / IDENTITY
    if not path.exists():
        path.write_text(json.dumps({"id": uuid4().hex[:12]}) + "\n", encoding="utf-8")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not what the trackers know the run by; delete it, and they begin a new run"
        ) from error


def _package(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the tracker {extra} needs {error.name}: pip install 'kobert-kit[{extra}]'"
        ) from error
