"""Which implementation of an op runs, and why.

Every implementation says what it cannot do; of those that remain, the one that was fastest at the
nearest measured shape runs (`measured.json`, written by `kobert kernels bench`), and where nothing was
measured the first registered. Nothing is timed at run time.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

    @property
    def deterministic(self) -> bool:
        """Equal inputs must give equal bits."""
        return torch.are_deterministic_algorithms_enabled()


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
_configured: dict[str, str] = {}
_used: dict[str, str] = {}


def register(
    op: str, name: str, run: Callable[..., Any], *, rejects: Rejects = lambda call: None
) -> None:
    """Add an implementation; the order of registration is the order of preference."""
    _registry.setdefault(op, {})[name] = Implementation(
        op=op, name=name, run=run, rejects=rejects
    )


def implementations(op: str) -> tuple[Implementation, ...]:
    """All implementations of an op, in the order of preference."""
    return tuple(_registry[op].values())


def ops() -> tuple[str, ...]:
    """All ops."""
    return tuple(_registry)


def choose(call: Call) -> Callable[..., Any]:
    """What runs `call`.

    Raises:
        ValueError: an override names what does not exist or cannot run.
    """
    forced = _used.get(call.op) or _configured.get(call.op) or _environment().get(call.op)
    if forced is None:
        return explain(call).chosen.run
    implementation = _named(call.op, forced)
    reason = implementation.rejects(call)
    if reason is not None:
        raise ValueError(f"{call.op}: {forced} was asked for, but {reason}")
    return implementation.run


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An implementation, why it, and why not the others."""

    chosen: Implementation
    reason: str
    rejected: dict[str, str]
    """Reasons by name."""


def explain(call: Call) -> Choice:
    """The choice without overrides."""
    able, rejected = [], {}
    for implementation in implementations(call.op):
        reason = implementation.rejects(call)
        if reason is None:
            able.append(implementation)
        else:
            rejected[implementation.name] = reason
    row = _nearest(call)
    times = {i.name: row["ms"][i.name] for i in able if i.name in row["ms"]} if row else {}
    if not times or row is None:
        return Choice(chosen=able[0], reason="first of those that can", rejected=rejected)
    best = min(times, key=lambda name: times[name])
    rejected |= {
        name: f"{time / times[best]:.2f} x the time" for name, time in times.items() if name != best
    }
    reason = f"fastest of {len(times)} measured at {row['shape']} on {row['device']}"
    return Choice(chosen=_registry[call.op][best], reason=reason, rejected=rejected)
