"""Which implementation of an op runs, and why.

Every implementation says what it cannot do; of those that remain, the one that was fastest at the
nearest measured shape runs (`measured.json`, which `kobert kernels bench --update-dispatch`
writes), and where nothing was measured the first registered. Nothing is timed at run time.

An override wins over both, and an override that cannot run raises with the reason. There are three,
the later ones stronger:

    KOBERT_KERNELS=attention=triton,layer_norm=torch     the environment
    configure(attention="triton")                        a program's configuration
    with use(attention="triton"):                        a block of code
"""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from .launches import architecture

TABLE = Path(__file__).with_name("measured.json")
VARIABLE = "KOBERT_KERNELS"


@dataclass(frozen=True, kw_only=True)
class Call:
    """What the choice depends on."""

    op: str
    device: torch.device
    dtype: torch.dtype
    size: int
    """Head size of attention, vocabulary of cross_entropy, else the width."""
    length: int = 0
    """The longest sequence, of attention."""
    dropout: float = 0.0
    ragged: bool = False
    """Sequences of several lengths, or tokens that belong to none."""
    window: bool = False
    rotary: bool = False
    deterministic: bool = field(default_factory=torch.are_deterministic_algorithms_enabled)
    """Equal inputs must give equal bits."""


class OverrideError(ValueError):
    """An override asks for what does not exist or cannot run."""


Rejects = Callable[[Call], str | None]


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One way to compute an op."""

    op: str
    name: str
    run: Callable[..., Any]
    rejects: Rejects
    """Why a call cannot run here, or None if it can."""


_registry: dict[str, dict[str, Implementation]] = {}
_environment: dict[str, str] = {}
_configured: dict[str, str] = {}
_used: dict[str, str] = {}


def register(
    op: str, name: str, run: Callable[..., Any], *, rejects: Rejects = lambda call: None
) -> None:
    """Add an implementation; the order of registration is the order of preference."""
    _registry.setdefault(op, {})[name] = Implementation(op=op, name=name, run=run, rejects=rejects)


def ops() -> tuple[str, ...]:
    """All ops."""
    return tuple(_registry)


def implementations(op: str) -> tuple[Implementation, ...]:
    """All implementations of an op, in the order of preference.

    Raises:
        ValueError: there is no such op.
    """
    if op not in _registry:
        raise ValueError(f"no op is called {op}: there are {', '.join(_registry)}")
    return tuple(_registry[op].values())


def configure(**implementation_of: str) -> None:
    """Force implementations by op until further notice; "auto" leaves the choice free again."""
    _replace(_configured, _configured | implementation_of)


@contextmanager
def use(**implementation_of: str) -> Iterator[None]:
    """Force implementations by op inside a block, in all threads; "auto" leaves the choice free."""
    before = dict(_used)
    _replace(_used, before | implementation_of)
    try:
        yield
    finally:
        _replace(_used, before)


def read_environment() -> None:
    """Take the overrides of the environment; once, when all ops are registered.

    Raises:
        ValueError: one names an op or implementation that does not exist.
    """
    for part in filter(None, os.environ.get(VARIABLE, "").replace(" ", "").split(",")):
        op, _, name = part.partition("=")
        try:
            _known(op, name)
        except ValueError as error:
            raise OverrideError(f"{VARIABLE}={part}: {error}") from None
        _environment[op] = name


def _replace(overrides: dict[str, str], by: dict[str, str]) -> None:
    for op, name in by.items():
        _known(op, name)
    overrides.clear()
    overrides.update(by)


def _known(op: str, name: str) -> None:
    names = [i.name for i in implementations(op)]
    if name != "auto" and name not in names:
        raise ValueError(f"{op} has no implementation {name}: there are {', '.join(names)}")


def forced(op: str) -> tuple[str, str] | None:
    """The implementation that an override asks for, and where the override stands."""
    for place, overrides in (
        ("kobert_kernels.use", _used),
        ("kobert_kernels.configure", _configured),
        (f"the environment's {VARIABLE}", _environment),
    ):
        name = overrides.get(op)
        if name is not None:
            return None if name == "auto" else (name, place)
    return None


def choose(call: Call) -> Callable[..., Any]:
    """What runs `call`.

    Raises:
        ValueError: an override names what does not exist or cannot run.
    """
    override = forced(call.op)
    if override is None:
        # A compiled model may have symbols for numbers. The range makes a number of a size; of the
        # dropout only whether there is any matters.
        dropout = 1.0 if call.dropout > 0.0 else 0.0
        name = _preferred(
            *(call.op, call.device, call.dtype, len(range(call.size)), _length_class(call.length)),
            *(dropout, bool(call.ragged), call.window, call.rotary, call.deterministic),
        )
        return _registry[call.op][name].run
    name, place = override
    _known(call.op, name)
    implementation = _registry[call.op][name]
    reason = implementation.rejects(call)
    if reason is not None:
        raise OverrideError(f"{call.op}: {place} asks for {name}, but {reason}")
    return implementation.run


# Classes of the longest sequence: a compiled model is compiled anew for each, not for each length.
LENGTHS = (32, 128, 512, 2048, 8192)


def _length_class(length: int) -> int:
    for bound in LENGTHS:
        if length <= bound:
            return bound
    return 2 * LENGTHS[-1]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An implementation, why it, and why not the others."""

    name: str
    reason: str
    rejected: dict[str, str]
    """Reasons by name."""


def explain(call: Call) -> Choice:
    """The choice without overrides."""
    rejected = {i.name: _reason_against(i, call) for i in implementations(call.op)}
    able = [name for name, reason in rejected.items() if reason is None]
    reasons = {name: reason for name, reason in rejected.items() if reason is not None}
    if not able:
        raise ValueError(f"{call.op}: nothing can compute this: {reasons}")
    row = _nearest(call)
    ms = {} if row is None else {name: row["ms"][name] for name in able if name in row["ms"]}
    if row is None or not ms:
        return Choice(name=able[0], reason="first that can, nothing measured", rejected=reasons)
    best = min(ms, key=lambda name: ms[name])
    reasons |= {name: f"takes {ms[name] / ms[best]:.2f}x the time" for name in ms if name != best}
    reasons |= {name: "not measured there" for name in able if name not in ms}
    at = f"{row['case']} on {row['device']}"
    return Choice(name=best, reason=f"fastest of {len(ms)} at {at}", rejected=reasons)


_ON_A_CPU_ONLY_IF_ASKED_FOR = {
    "triton": "on a CPU it runs in Triton's interpreter, for tests: only if asked for",
    "inductor": "on a CPU it compiles for many seconds at the first call: only if asked for",
}


def _reason_against(implementation: Implementation, call: Call) -> str | None:
    if call.device.type == "cpu" and implementation.name in _ON_A_CPU_ONLY_IF_ASKED_FOR:
        return _ON_A_CPU_ONLY_IF_ASKED_FOR[implementation.name]
    return implementation.rejects(call)


def register_inductor(op: str, reference: Callable[..., Any]) -> None:
    """Add `reference` as torch.compile compiles it.

    In a model that is itself compiled this is the reference: it becomes part of that graph.
    """

    @functools.cache
    def compiled() -> Callable[..., Any]:
        return torch.compile(reference, dynamic=True)  # not before the first call: 2 s of imports

    def run(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        if torch.compiler.is_compiling():
            return reference(*args, **options)
        return compiled()(*args, **options)

    register(op, "inductor", run, rejects=_inductor_rejects)


def _inductor_rejects(call: Call) -> str | None:
    if call.device.type == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        return "it needs a C++ compiler"
    return None


@functools.cache
def _measured() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(TABLE.read_text("utf-8"))
    return rows


def _nearest(call: Call) -> dict[str, Any] | None:
    """The measured row of the same kind whose shape is nearest, as a ratio."""
    kind = (call.op, architecture(call.device), str(call.dtype), call.dropout > 0.0)
    rows = [
        r
        for r in _measured()
        if (r["op"], r["arch"], r["dtype"], r["dropout"]) == kind
        and (r["ragged"], r["window"]) == (call.ragged, call.window)
    ]

    def distance(row: dict[str, Any]) -> float:
        sizes = abs(math.log2(max(row["size"], 1) / max(call.size, 1)))
        return sizes + abs(math.log2(max(row["length"], 1) / max(call.length, 1)))

    return min(rows, key=distance, default=None)


# A compiled model holds the choice as a constant. Overrides are read outside of this, so changing
# one compiles anew.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _preferred(*facts: Any) -> str:  # noqa: ANN401 - the fields of a call, in order
    if facts not in _choices:
        _choices[facts] = explain(Call(**dict(zip(_FACTS, facts, strict=True)))).name
    return _choices[facts]


_choices: dict[tuple[Any, ...], str] = {}
_FACTS = tuple(field.name for field in fields(Call))
