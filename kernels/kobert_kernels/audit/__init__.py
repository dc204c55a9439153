"""The kernels audited without a GPU: what the compiler makes of them, and how many bytes they move.

Every row of `launches.json` is compiled for four architectures with the arguments of real calls
(`compiled.py`), and the bytes of the timed calls are counted in Triton's interpreter
(`traffic.py`). `gates` says what is wrong with the result. The result is committed as `audit.json`,
so that a change of a kernel, of the launch table or of the compiler shows in review; `stale` says
which rows are no longer of today's code, and only those need compiling again.

Both run in processes of their own, one without TRITON_INTERPRET and one with it, and neither
touches a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from .. import launches

TABLE = Path(__file__).with_name("audit.json")
SHARED_LIMIT = {  # bytes for one program, from the CUDA programming guide and the CDNA 3 manual
    "sm_80": 163 * 1024,  # A100
    "sm_90": 227 * 1024,  # H100, H200
    "sm_100": 227 * 1024,  # B200
    "gfx942": 64 * 1024,  # MI300
}
ARCHITECTURES = tuple(SHARED_LIMIT)
MEMORY_BOUND = {"layer_norm", "bias_gelu", "geglu", "embedding", "cross_entropy"}
# Of the fewest bytes: how many may move, and how many may be read again by the same program.
MOST = (1.05, 0.01)
MOST_ELSEWHERE = {
    # The gradient of the sum is written, and read for each table, in the order of its sorted ids.
    ("embedding", "backward"): (1.25, 0.06),
    # Two sweeps over a row of logits, for the sum and for the gradient. The second finds the row in
    # the L2 cache: 256 KB for each multiprocessor are two thirds of it.
    ("cross_entropy", "forward"): (1.05, 0.51),
}
# What no tiling tried gets rid of, and costs next to nothing: a few bytes in the widest rows and in
# fp32, whose exact products run unrolled and without tensor cores.
SPILLED = {
    ("attention.backward_kv", 16, 32, "sm_90"): 16,
    ("attention.backward_kv", 64, 32, "sm_100"): 8,
    ("attention.backward_kv", 96, 32, "sm_80"): 16,
    ("layer_norm.backward", 8192, 16, "sm_100"): 4,
    ("embedding.backward", 8192, 32, "sm_100"): 8,
}
# One row of dz at a time, of which a wavefront of 64 has four numbers for each thread.
NARROW = {("embedding.backward_sum", 256, 16, "gfx942")}
NARROWEST_WIDE = 128  # of a smaller tile a thread may have less than 128 bits
COMMAND = "kobert kernels inspect --write"


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What the compiler makes of one row of the launch table on one architecture.

    A row serves several kernels, one for each combination of options; each number here is that of
    the worst of them.
    """

    kernel: str
    size: int
    bits: int
    arch: str
    row: str
    """The row's own architecture: `any`, or `arch`."""
    fingerprint: str
    """Of all that determines the rest: code, constants, argument types, architecture, Triton."""
    kernels: int
    case: str
    """The call that spills most or else has the most registers."""
    unaligned: str = ""
    """Addresses and strides not known to be multiples of 16, without which no load has 128 bits."""
    registers: int = 0
    spilled_bytes: int = 0
    shared_bytes: int = 0
    products: str = ""
    """The instructions that compute matrix products; fma is one number at a time."""
    product_rows: int = 0
    """Of one product: wgmma takes 64 or more."""
    tensor_core: int = 0
    """How many there are of these instructions, fma apart."""
    serialised: bool = False
    """Every wgmma waits for the one before."""
    tf32: int = 0
    """Instructions that round fp32 to 10 bits of mantissa."""
    wide_loads: int = 0
    """Loads of 128 bits for each thread."""
    atomics: int = 0
    long_offsets: int = 0
    """Addresses computed in 64 bits."""
    short_products: int = 0
    """Products in 32 bits within addresses, other than of a program's number and a block size."""

    @property
    def key(self) -> tuple[str, int, int, str, str]:
        """What it is of; the order of the table."""
        return self.kernel, self.bits, self.size, self.arch, self.row

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kernel}, size {self.size}, {self.bits} bits, on {self.arch} ({self.case})"


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes that one direction of one call moves."""

    op: str
    case: str
    direction: str
    fewest: int
    """Each input, each result and each saved tensor once."""
    moved: int
    read_again: int = 0
    """Read twice by one program and by no other."""

    @property
    def ratio(self) -> float:
        """1 is the least."""
        return self.moved / self.fewest

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.case} {self.direction}"


# Running


def recorded(archs: Collection[str] = ARCHITECTURES) -> list[Compiled]:
    """Every row with nothing measured: in seconds, and enough for `unreached` and `stale`."""
    return sorted(_compiled(archs, (), measured=False, workers=1), key=lambda row: row.key)


def compile_rows(rows: Collection[Compiled], *, workers: int = 2) -> Iterator[Compiled]:
    """Compile some of the rows that were `recorded`; yields each as it is done.

    Raises:
        RuntimeError: the code of some has changed since they were recorded.
    """
    if not rows:
        return
    archs = [arch for arch in ARCHITECTURES if arch in {row.arch for row in rows}]
    missing = {row.fingerprint: row.kernel for row in rows}
    for row in _compiled(archs, list(missing), measured=True, workers=min(workers, len(rows))):
        del missing[row.fingerprint]
        yield row
    if missing:
        names = ", ".join(sorted(set(missing.values())))
        raise RuntimeError(f"{names}: the code was changed during the audit")


def count_traffic(ops: Collection[str] = ()) -> Iterator[Traffic]:
    """Count the bytes of the timed calls of some ops, of all if none is named."""
    for line in _lines("traffic", list(ops), {"TRITON_INTERPRET": "1"}):
        yield Traffic(**line)


def _compiled(
    archs: Collection[str], only: Collection[str], *, measured: bool, workers: int
) -> Iterator[Compiled]:
    request = {"archs": list(archs), "only": list(only), "measured": measured, "shards": workers}
    with tempfile.TemporaryDirectory() as cache:
        environment = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": cache}
        children = [
            _lines("compiled", request | {"shard": shard}, environment) for shard in range(workers)
        ]
        # In turns: so the order is always the same, and what a child is ahead waits in its pipe.
        for line in chain.from_iterable(zip_longest(*children)):
            if line is not None:
                yield Compiled(**line)


def _lines(program: str, request: object, variables: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What a program of this package prints. It has started when this returns."""
    hidden = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
    child = subprocess.Popen(
        [sys.executable, "-m", f"{__name__}.{program}", json.dumps(request)],
        env={**os.environ, **hidden, **variables},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )

    def lines() -> Iterator[dict[str, Any]]:
        assert child.stdout is not None
        with log, child:
            try:
                yield from map(json.loads, child.stdout)
            except GeneratorExit:
                child.kill()  # nobody wants the rest
                raise
            if child.wait() != 0:
                log.seek(0)
                raise RuntimeError(f"{program} ended with {child.returncode}:\n{log.read()}")

    return lines()


# Judging


def gates(kernels: Iterable[Compiled] = (), traffic: Iterable[Traffic] = ()) -> list[str]:
    """What must not be, one line each."""
    of_kernels = [f"{k.name}: {reason}" for k in kernels for reason in _wrong_code(k)]
    bound = [t for t in traffic if t.op in MEMORY_BOUND]
    return of_kernels + [f"{t.name}: {reason}" for t in bound for reason in _wrong_traffic(t)]


def _wrong_code(kernel: Compiled) -> Iterator[str]:
    limit = SHARED_LIMIT[kernel.arch]
    place = (kernel.kernel, kernel.size, kernel.bits, kernel.arch)
    if not kernel.row:
        yield "launched without reading the options of a row of launches.json"
    if kernel.unaligned:
        yield f"16 is not known to divide {kernel.unaligned}"
    if kernel.spilled_bytes > SPILLED.get(place, 0):
        yield f"{kernel.spilled_bytes} bytes of registers spilled"
    if kernel.shared_bytes > limit:
        yield f"{kernel.shared_bytes} bytes of shared memory, there are {limit}"
    if kernel.short_products:
        yield f"{kernel.short_products} products in addresses are in 32 bits"
    if kernel.tf32:
        yield f"{kernel.tf32} instructions round fp32 to tf32"
    if kernel.atomics:
        yield f"{kernel.atomics} atomics, with which equal inputs may give other bits"
    if not kernel.wide_loads and kernel.size >= NARROWEST_WIDE and place not in NARROW:
        yield "no load of 128 bits"
    if kernel.bits == 16 and "fma" in kernel.products.split("+"):
        yield "matrix products without tensor cores"
    can_wgmma = kernel.bits == 16 and kernel.arch == "sm_90" and kernel.product_rows >= 64
    if can_wgmma and kernel.products != "wgmma":
        yield f"matrix products by {kernel.products}, not by wgmma"
    if kernel.serialised:
        yield "every wgmma waits for the one before"


def _wrong_traffic(traffic: Traffic) -> Iterator[str]:
    most, most_again = MOST_ELSEWHERE.get((traffic.op, traffic.direction), MOST)
    if traffic.ratio > most:
        yield f"moves {traffic.moved} bytes, {traffic.ratio:.3f} times the fewest"
    if traffic.read_again > most_again * traffic.fewest:
        yield f"reads {traffic.read_again} bytes again"


def unreached(kernels: Collection[Compiled]) -> list[str]:
    """Rows of the launch table that no audited call came by, of the architectures audited."""
    archs = {k.arch for k in kernels}
    reached = {(k.kernel, k.bits, k.size, k.row) for k in kernels}
    own: dict[tuple[str, int, int], set[str]] = {}  # architectures that do not use the row of `any`
    for r in launches.rows():
        own.setdefault((r.kernel, r.bits, r.size), set()).add(r.arch)
    return [
        f"{r.kernel}, size {r.size}, {r.bits} bits, {r.arch}: no audited call reaches this row"
        for r in launches.rows()
        if archs & {r.arch} or (r.arch == "any" and archs - own[r.kernel, r.bits, r.size])
        if (r.kernel, r.bits, r.size, r.arch) not in reached
    ]


def unchanged(committed: Iterable[Compiled], today: Iterable[Compiled]) -> list[Compiled]:
    """Committed rows that are still of the `recorded` code, which need no compiling again."""
    now = {row.key: row.fingerprint for row in today}
    return [row for row in committed if now.get(row.key) == row.fingerprint]


def stale(committed: Collection[Compiled], today: Collection[Compiled]) -> list[str]:
    """Kernels of which committed rows are not of today's code, or are missing or too many."""
    kept = {row.key for row in unchanged(committed, today)}
    names = {row.kernel for row in [*committed, *today] if row.key not in kept}
    return [f"{name} has changed since audit.json was written: {COMMAND}" for name in sorted(names)]


# The committed table


def read(path: Path = TABLE) -> tuple[list[Compiled], list[Traffic]]:
    """The table."""
    table = json.loads(path.read_text("utf-8"))
    return [Compiled(**row) for row in table["kernels"]], [Traffic(**t) for t in table["traffic"]]


def write(kernels: Iterable[Compiled], traffic: Iterable[Traffic], path: Path = TABLE) -> None:
    """Replace the table; one row per line, sorted: a change shows as the lines it touches."""
    rows = ",\n".join(_line(k) for k in sorted(kernels, key=lambda k: k.key))
    moved = ",\n".join(_line(t) for t in sorted(traffic, key=lambda t: t.name))
    path.write_text(f'{{"kernels": [\n{rows}\n],\n"traffic": [\n{moved}\n]}}\n', "utf-8")


# Of each op the size that BERT-Base has, with 32 thousand words.
SHOWN = {"attention": 64, "layer_norm": 1024, "embedding": 1024, "bias_gelu": 128, "geglu": 128}
SHOWN |= {"cross_entropy": 32768}


def markdown(kernels: Iterable[Compiled], traffic: Iterable[Traffic]) -> str:
    """The tables of docs/kernels.md: 16 bits and BERT's sizes, and all traffic."""
    chosen: dict[str, dict[str, Compiled]] = {}
    for k in kernels:
        if k.bits == 16 and SHOWN.get(k.kernel.split(".")[0]) == k.size:
            chosen.setdefault(k.kernel, {})[k.arch] = k
    lines = ["| 16 bits | " + " | ".join(ARCHITECTURES) + " |", "|---" * 5 + "|"]
    for kernel, of_arch in sorted(chosen.items()):
        cells = [_cell(of_arch[arch]) if arch in of_arch else "-" for arch in ARCHITECTURES]
        lines.append(f"| `{kernel}` | " + " | ".join(cells) + " |")
    lines += ["", "| bytes | fewest | moved | ratio |", "|---|---:|---:|---:|"]
    for t in sorted(traffic, key=lambda t: t.name):
        lines.append(f"| {t.name} | {t.fewest:,} | {t.moved:,} | {t.ratio:.3f} |")
    return "\n".join(lines) + "\n"


def _cell(kernel: Compiled) -> str:
    """Registers, shared memory, and the instructions for matrix products."""
    parts = [f"{kernel.registers} registers", f"{kernel.shared_bytes / 1024:.0f} KB"]
    parts += [f"{kernel.tensor_core} {kernel.products}"] * (kernel.tensor_core > 0)
    return ", ".join(parts + [f"{kernel.spilled_bytes} B spilled"] * (kernel.spilled_bytes > 0))


def _line(row: Compiled | Traffic) -> str:
    """A row without the fields at their default, which is most of them."""
    values = asdict(row)
    return json.dumps({f.name: values[f.name] for f in fields(row) if values[f.name] != f.default})
