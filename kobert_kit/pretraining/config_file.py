"""The TOML file of a run: settings as command-line flags, phases, and the file a run leaves."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from kobert_kit.pretraining.config import PretrainConfig, TrainingPhase
from kobert_kit.settings_file import check_key, read_toml
from kobert_vocab.errors import InputError

PHASES = "phase"  # each phase is a table [[phase]]
Flag = tuple[str, ...]  # its name, and its values


def flags_from_toml(path: Path, only: Collection[str] | None = None) -> list[str]:
    """The settings of a TOML file as command-line flags, to go before the user's own.

    Args:
        path: the file.
        only: settings and tables to take, where a command needs some of a run's alone.

    Raises:
        InputError: the file is missing or not TOML, or a key does not exist.
    """
    table = read_toml(path)
    table.pop(PHASES, None)  # `read_phases` has them
    if only is not None:
        table = {key: value for key, value in table.items() if key in only}
    flags = _flags(table, PretrainConfig, path, prefix="")
    return [part for flag in flags for part in flag]


def read_phases(
    path: Path, settings: TrainingPhase, given: Sequence[str] = ()
) -> tuple[TrainingPhase, ...]:
    """The ``[[phase]]`` tables of a run's file.

    Args:
        path: the file.
        settings: what holds where a table does not say otherwise.
        given: the user's own flags, which win over the tables too.

    Raises:
        InputError: a key does not exist, or a phase cannot be.
    """
    tables = read_toml(path).get(PHASES, [])
    if not isinstance(tables, list):
        raise InputError(f"{path}: a phase is one of several tables: write [[{PHASES}]]")
    names = {argument.split("=")[0].replace("_", "-") for argument in given}
    names = {name.replace("--optimizer.learning-rate", "--learning-rate") for name in names}
    phases = []
    for table in tables:
        if "share" not in table:
            raise InputError(f"{path}: each [[{PHASES}]] has a share of the run, such as 0.9")
        flags = _flags(table, TrainingPhase, path, prefix="")
        args = [part for flag in flags if flag[0] not in names for part in flag]
        phases.append(tyro.cli(TrainingPhase, default=settings, args=args))
    return tuple(phases)


def with_phases(
    settings: PretrainConfig, path: Path | None, given: Sequence[str]
) -> PretrainConfig:
    """A run's settings with the phases of its file, if it has one; see `read_phases`."""
    if path is None:
        return settings
    [whole] = settings.all_phases
    return replace(settings, phases=read_phases(path, whole, given))


def _flags(table: dict[str, Any], kind: type, path: Path, prefix: str) -> Iterator[Flag]:
    # A field may not be called `from`; it is `from_`.
    known = {name.rstrip("_"): hint for name, hint in get_type_hints(kind).items()}
    known.pop("phases", None)
    for key, value in table.items():
        check_key(key, known, path, f" in [{prefix[:-1]}]" if prefix else "")
        flag = f"--{prefix}{key}".replace("_", "-")
        if is_dataclass(known[key]):
            if not isinstance(value, dict):
                raise InputError(f"{path}: {prefix}{key} is a table: write [{prefix}{key}]")
            yield from _flags(value, known[key], path, f"{prefix}{key}.")
        elif isinstance(value, bool):
            yield from ((flag,),) if value else ()
        elif isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else ((item,) for item in value)
            yield flag, *(str(part) for item in items for part in item)
        else:
            yield flag, str(value)


def to_toml(config: PretrainConfig) -> str:
    """The resolved configuration, which `flags_from_toml` and `read_phases` read back."""
    return "\n".join(_toml_lines(config, "")) + "\n"


def _toml_lines(config: Any, prefix: str) -> Iterator[str]:  # noqa: ANN401  # any config
    tables: list[tuple[str, Any]] = []
    for item in fields(config):
        value = getattr(config, item.name)
        if item.name == "phases" or (item.name == "model" and config.from_ is not None):
            continue
        if is_dataclass(value) or isinstance(value, dict):
            tables.append((item.name, value))
        elif value is not None:  # TOML has no word for none
            yield f"{item.name.rstrip('_')} = {_toml(value)}"
    for name, value in tables:
        if isinstance(value, dict):
            rows = [f"{key} = {_toml(number)}" for key, number in value.items()]
        else:
            rows = list(_toml_lines(value, f"{prefix}{name}."))
        yield from ["", f"[{prefix}{name}]", *rows] if rows else []
    for phase in config.phases if isinstance(config, PretrainConfig) else ():
        yield from ["", f"[[{PHASES}]]", *_toml_lines(phase, f"{PHASES}.")]


def _toml(value: Any) -> str:  # noqa: ANN401  # any setting
    if isinstance(value, str | Path):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
