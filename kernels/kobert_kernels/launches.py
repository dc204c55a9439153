"""How each kernel is cut into programs: a table, `launches.json`, and nothing computed.

A row belongs to one kernel, one size (a head size, or a width rounded up to a power of two), one
number of bits per element and one architecture; `any` serves those without a row of their own. Its
capital names are the kernel's block sizes. `source` says where the numbers are from: "compiler" for
the compiler's report (no spills, wgmma not serialised), or the GPU they were tuned on.

`kobert kernels inspect` compiles every row; `kobert kernels tune` measures and writes rows.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TABLE = Path(__file__).with_name("launches.json")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One row of the table."""

    kernel: str
    """Such as `attention.forward`."""
    size: int
    bits: int
    """Of one element: 16 or 32. fp64, which only the interpreter runs, takes the rows of 32."""
    arch: str
    """`sm_90`, `gfx942` or `any`."""
    blocks: Mapping[str, int]
    num_warps: int
    num_stages: int
    source: str

    @property
    def options(self) -> dict[str, int]:
        """Keyword arguments of the kernel call."""
        return {**self.blocks, "num_warps": self.num_warps, "num_stages": self.num_stages}


@functools.cache
def rows() -> tuple[Launch, ...]:
    """The whole table."""
    return tuple(_row(dict(entry)) for entry in json.loads(TABLE.read_text("utf-8")))


def _row(entry: dict[str, Any]) -> Launch:
    blocks = {name: entry.pop(name) for name in list(entry) if name.isupper()}
    return Launch(blocks=blocks, **entry)


def launch(kernel: str, *, size: int, dtype: torch.dtype, device: torch.device) -> Launch:
    """The row of a kernel for one size and dtype on one device.

    Raises:
        KeyError: there is none. An op says in its own words what it cannot do before it asks.
    """
    bits = 16 if dtype.itemsize == 2 else 32
    found = _replacing.get((kernel, size, bits))
    found = found or _find(kernel, size, bits, _pretended or architecture(device))
    for notes in _noting:
        if found not in notes:
            notes.append(found)
    return found


def power_of_two(width: int) -> int:
    """The smallest power of two that is at least 16 and `width`: a tile's side."""
    return max(16, 1 << (width - 1).bit_length()) if width > 0 else 16


@functools.cache
def architecture(device: torch.device) -> str:
    """`sm_90`, `gfx942`, or `cpu`."""
    if device.type != "cuda":
        return "cpu"
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip is not None:
        return str(properties.gcnArchName).partition(":")[0]
    return f"sm_{properties.major}{properties.minor}"


_pretended: str | None = None
_replacing: dict[tuple[str, int, int], Launch] = {}
_noting: list[list[Launch]] = []


@contextmanager
def pretend(arch: str) -> Iterator[None]:
    """Inside, the rows of `arch` are found whatever the device: for compiling without that GPU."""
    global _pretended
    previous, _pretended = _pretended, arch
    try:
        yield
    finally:
        _pretended = previous


@contextmanager
def replaced(*by: Launch) -> Iterator[None]:
    """Inside, these rows stand for those of the same kernel, size and bits."""
    before = dict(_replacing)
    _replacing.update({(row.kernel, row.size, row.bits): row for row in by})
    try:
        yield
    finally:
        _replacing.clear()
        _replacing.update(before)


@contextmanager
def noted() -> Iterator[list[Launch]]:
    """The rows that are asked for inside, in order."""
    notes: list[Launch] = []
    _noting.append(notes)
    try:
        yield notes
    finally:
        _noting.remove(notes)


@functools.cache
def _find(kernel: str, size: int, bits: int, arch: str) -> Launch:
    found = [r for r in rows() if (r.kernel, r.size, r.bits) == (kernel, size, bits)]
    for wanted in (arch, "any"):
        for row in found:
            if row.arch == wanted:
                return row
    raise KeyError(f"launches.json has no row for {kernel}, size {size}, {bits} bits, {arch}")


def write(table: list[Launch]) -> None:
    """Replace the table; one row per line, sorted, so that a diff shows what changed."""
    lines = [
        json.dumps(
            {"kernel": r.kernel, "size": r.size, "bits": r.bits, "arch": r.arch}
            | dict(r.blocks)
            | {"num_warps": r.num_warps, "num_stages": r.num_stages, "source": r.source}
        )
        for r in sorted(table, key=lambda r: (r.kernel, r.bits, r.size, r.arch))
    ]
    TABLE.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    rows.cache_clear()
    _find.cache_clear()
