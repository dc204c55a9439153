"""Benchmarks: every implementation of an op on the same inputs, in one process, turn by turn.

An implementation is timed only after it has met the rule of parity on the very inputs: there is no
speed-up on wrong results. Then the implementations take turns, round after round, so that a clock
that drifts drifts for all. Before each measurement the L2 cache is overwritten, and on a GPU a
long-running kernel is queued first, so that Python's time to launch is hidden and the kernels' own
time is measured.

Bytes are the fewest a direction must move, not those it did move, and shares are of the copy
bandwidth and the matrix rate measured in the same run. Slower cells stay in the table.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from . import dispatch, parity
from ._triton import INSTALLED
from .cases import Case, Op, Tensors, benchmarks
from .launches import architecture
from .peers import CannotDo, peers

ROUNDS = 15
WARM_UP = 2  # rounds
GPU_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
FLUSH_BYTES = 256 * 2**20  # five times the 50 MB of an H100's L2
# Cases beyond this take minutes on a CPU; a GPU takes them all.
CPU_BYTES, CPU_FLOPS = 400 * 2**20, 30e9


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds of one implementation: 20th percentile, median, 80th percentile."""

    forward: tuple[float, float, float]
    backward: tuple[float, float, float]
    both: tuple[float, float, float]
    """Of the sums, round by round."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case."""

    case: str
    facts: dict[str, Any]
    """What dispatch knows a case by."""
    fewest_bytes: tuple[int, int]
    flops: tuple[int, int]
    timings: dict[str, Timing]
    rejected: dict[str, str] = field(default_factory=dict)
    """Implementations that cannot run the case, or failed the rule of parity, and why: peers and
    ours alike."""
    kernels: dict[str, str] = field(default_factory=dict)
    """On a GPU, the kernel in which an implementation's forward pass spent the most time: for SDPA
    it tells which backend ran."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the numbers hold for."""

    device: str
    arch: str
    torch: str
    triton: str
    cuda: str | None
    cudnn: int | None
    driver: str | None
    copy_gb_s: float
    """Bytes read and written by a large copy."""
    matmul_tflop_s: dict[str, float]
    """By dtype, of a large square product."""


def device_here() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def describe(device: torch.device) -> Machine:
    """Measure the machine and note its versions."""
    import importlib.metadata

    is_gpu = device.type == "cuda"
    return Machine(
        device=device_name(device),
        arch=architecture(device),
        torch=torch.__version__,
        triton=importlib.metadata.version("triton") if INSTALLED else "none",
        cuda=torch.version.cuda,
        cudnn=_cudnn() if is_gpu else None,
        driver=_driver() if is_gpu else None,
        copy_gb_s=round(_copy_rate(device), 1),
        matmul_tflop_s={
            str(dtype): round(_matmul_rate(device, dtype), 3)
            for dtype in (GPU_DTYPES if is_gpu else (torch.float32,))
        },
    )


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's model and how many threads torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    model = platform.machine()
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text("utf-8").splitlines() if "model name" in line]
        model = named[0].partition(":")[2].strip() if named else model
    return f"{model}, {torch.get_num_threads()} threads"


def _cudnn() -> int | None:
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version


def _driver() -> str:
    import subprocess

    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return out.strip().splitlines()[0] if out.strip() else "unknown"


def _copy_rate(device: torch.device) -> float:
    """GB/s."""
    size = 2**30 if device.type == "cuda" else 2**27
    source = torch.zeros(size, dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source), device) / 1e9


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s on random numbers; zeros would run faster, at a higher clock."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / _seconds(lambda: a @ b, device) / 1e12


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Median of some runs."""
    stopwatch = Stopwatch(device)
    run()
    times = []
    for _ in range(7):
        stopwatch.start()
        run()
        times.append(stopwatch.laps()[0] / 1e3)
    return statistics.median(times)


class Stopwatch:
    """Milliseconds between marks: events on a GPU, the clock on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._is_gpu = device.type == "cuda"
        size = FLUSH_BYTES if self._is_gpu else 2**26  # more than a CPU core's cache
        self._cold = torch.empty(size, dtype=torch.int8, device=device)
        self._marks: list[Any] = []

    def start(self) -> None:
        """Overwrite the cache, keep the GPU busy while Python launches, and mark."""
        if self._is_gpu:
            torch.cuda._sleep(2_000_000)  # type: ignore[no-untyped-call]  # about 1 ms of cycles
        self._cold.zero_()
        self._marks = []
        self.mark()

    def mark(self) -> None:
        """End a lap and begin the next."""
        if not self._is_gpu:
            self._marks.append(time.perf_counter() * 1e3)
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._marks.append(event)

    def laps(self) -> list[float]:
        """All laps, the last one ending now."""
        self.mark()
        if not self._is_gpu:
            return [b - a for a, b in zip(self._marks, self._marks[1:], strict=False)]
        torch.cuda.synchronize()
        return [a.elapsed_time(b) for a, b in zip(self._marks, self._marks[1:], strict=False)]


def measure(case: Case, device: torch.device) -> Row:
    """Check and time every implementation of a case that can run it."""
    facts = case.facts(device)
    able: dict[str, Op] = dict(peers(case.op))
    rejected = {}
    for implementation in dispatch.implementations(case.op):
        reason = implementation.rejects(facts)
        if implementation.name == "triton" and device.type == "cpu":
            reason = "the interpreter's time says nothing"
        if reason is None:
            able[implementation.name] = implementation.run
        else:
            rejected[implementation.name] = reason

    inputs = case.inputs(device)
    known = parity.answers(case, inputs)
    for name, op in list(able.items()):
        try:
            wrong = [str(c) for c in known.compare(case.run(op, inputs)) if not c.passed]
        except (CannotDo, torch.OutOfMemoryError) as error:
            wrong = [str(error)]
        if wrong:
            rejected[name] = "; ".join(wrong)
            del able[name]
    del known

    stopwatch = Stopwatch(device)
    laps: dict[str, list[list[float]]] = {name: [] for name in able}
    for number in range(ROUNDS + WARM_UP):
        for name, op in able.items():
            lap = one_round(case, op, inputs, stopwatch)
            if number >= WARM_UP:
                laps[name].append(lap)
    is_gpu = device.type == "cuda"
    return Row(
        case=case.name,
        facts={k: _plain(v) for k, v in asdict(facts).items() if k != "device"},
        fewest_bytes=case.fewest_bytes(),
        flops=case.flops(),
        timings={name: _timing(times) for name, times in laps.items()},
        rejected=rejected,
        kernels={n: _longest_kernel(case, op, inputs) for n, op in able.items()} if is_gpu else {},
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    return str(value) if isinstance(value, torch.dtype) else value


def one_round(case: Case, op: Op, inputs: Tensors, stopwatch: Stopwatch) -> list[float]:
    """Milliseconds of forward and of backward."""
    leaves = case.leaves(inputs)
    arguments = case.arguments(leaves)
    wanted = [t for t in leaves.values() if t.requires_grad]
    # What arrives at the results is made outside of the time, so the first call shows their shapes.
    shapes = [t for t in case.call(op, case.arguments(leaves)) if t.requires_grad]
    incoming = case.incoming(shapes)
    del shapes
    stopwatch.start()
    results = [t for t in case.call(op, arguments) if t.requires_grad]
    stopwatch.mark()
    torch.autograd.grad(results, wanted, incoming, materialize_grads=True)
    return stopwatch.laps()


def _longest_kernel(case: Case, op: Op, inputs: Tensors) -> str:
    """The name of the kernel in which the forward pass spent the most time."""
    arguments = case.arguments(case.leaves(inputs))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        case.call(op, arguments)
        torch.cuda.synchronize()
    events = profile.key_averages()
    return str(max(events, key=lambda e: e.device_time_total).key) if events else ""


def _timing(laps: list[list[float]]) -> Timing:
    forward, backward = ([lap[i] for lap in laps] for i in (0, 1))
    return Timing(
        forward=_spread(forward),
        backward=_spread(backward),
        both=_spread([sum(lap) for lap in laps]),
    )


def _spread(times: list[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(times, n=10)
    return round(cuts[1], 5), round(statistics.median(times), 5), round(cuts[7], 5)


# What is kept and shown


@dataclass(frozen=True, kw_only=True)
class Results:
    """A whole run."""

    machine: Machine
    rows: list[Row]


def timed_cases(device: torch.device) -> list[Case]:
    """The cases that a run on `device` times: bf16 on a GPU, an eighth of each in fp32 on a CPU."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cuda":
        return benchmarks(dtype)
    smaller = dict.fromkeys(_an_eighth(case) for case in benchmarks(dtype))
    return [
        case
        for case in smaller
        if sum(case.fewest_bytes()) <= CPU_BYTES and sum(case.flops()) <= CPU_FLOPS
    ]


def _an_eighth(case: Case) -> Case:
    """Of the rows or sequences, with the same options and width."""
    sizes: dict[str, Any] = {field.name: getattr(case, field.name) for field in fields(case)}
    if "lengths" in sizes:
        fewer: dict[str, Any] = {"lengths": sizes["lengths"][: max(1, len(sizes["lengths"]) // 8)]}
    else:
        fewer = {"rows": sizes["rows"] // 8}
    return replace(case, **fewer)


def write(results: Results, folder: Path) -> tuple[Path, Path]:
    """Write `<device>.json` and `<device>.md`, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    words = "".join(c if c.isalnum() else " " for c in results.machine.device).split()
    path = folder / f"{'-'.join(words).lower()}.json"
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", "utf-8")
    table = path.with_suffix(".md")
    table.write_text(markdown(json.loads(path.read_text("utf-8"))), "utf-8")
    return path, table


def markdown(results: dict[str, Any]) -> str:
    """The tables of a results file."""
    machine = results["machine"]
    rates = ", ".join(
        f"{rate:g} TFLOP/s {dtype.removeprefix('torch.')}"
        for dtype, rate in machine["matmul_tflop_s"].items()
    )
    versions = ", ".join(
        f"{name} {machine[name]}"
        for name in ("torch", "triton", "cuda", "cudnn", "driver")
        if machine[name]
    )
    lines = [
        f"# {machine['device']}",
        "",
        f"{versions}. Copy {machine['copy_gb_s']:g} GB/s, matrix product {rates}, measured in the "
        "same run. Times are medians in milliseconds; the share is of the copy bandwidth, or of "
        "the matrix rate where there are matrix products. Written by `kobert kernels bench`.",
    ]
    head = "| case | implementation | forward | share | backward | share | both | to the fastest |"
    for op in dict.fromkeys(row["facts"]["op"] for row in results["rows"]):
        lines += ["", f"## {op}", "", head, "|---|---|---:|---:|---:|---:|---:|---:|"]
        for row in results["rows"]:
            if row["facts"]["op"] == op:
                lines += _cells(row, machine)
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any], machine: dict[str, Any]) -> Iterator[str]:
    """One line for each implementation of a case, the fastest first."""
    timings = sorted(row["timings"].items(), key=lambda item: item[1]["both"][1])
    for name, timing in timings:
        cells = [row["case"].removeprefix(row["facts"]["op"] + "-"), name]
        for direction in (0, 1):
            ms = timing[("forward", "backward")[direction]][1]
            cells += [f"{ms:.3f}", _share(row, machine, direction, ms)]
        both = timing["both"][1]
        cells += [f"{both:.3f}", f"{both / timings[0][1]['both'][1]:.2f}x"]
        yield "| " + " | ".join(cells) + " |"
    case = row["case"].removeprefix(row["facts"]["op"] + "-")
    for name, reason in row["rejected"].items():
        yield f"| {case} | {name} | {reason} | | | | | |"


def _share(row: dict[str, Any], machine: dict[str, Any], direction: int, ms: float) -> str:
    flops = row["flops"][direction]
    if flops:
        rate = machine["matmul_tflop_s"].get(row["facts"]["dtype"])
        tflop_s = flops / ms / 1e9
        return f"{tflop_s:.3g} TFLOP/s" + (f", {tflop_s / rate:.0%}" if rate else "")
    gb_s = row["fewest_bytes"][direction] / ms / 1e6
    return f"{gb_s:.0f} GB/s, {gb_s / machine['copy_gb_s']:.0%}"


def measured_table(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What dispatch keeps of a results file: the median of both directions of each case."""
    return [
        {
            "op": row["facts"]["op"],
            "arch": results["machine"]["arch"],
            "device": results["machine"]["device"],
            "case": row["case"],
            "dtype": row["facts"]["dtype"],
            "size": row["facts"]["size"],
            "length": row["facts"]["length"],
            "dropout": row["facts"]["dropout"] > 0,
            "ragged": row["facts"]["ragged"],
            "window": row["facts"]["window"],
            "ms": {
                i.name: row["timings"][i.name]["both"][1]
                for i in dispatch.implementations(row["facts"]["op"])
                if i.name in row["timings"]
            },
        }
        for row in results["rows"]
        if row["timings"]
    ]


def update_dispatch(path: Path) -> Path:
    """Put a results file in place of the rows of its architecture in dispatch's table."""
    results = json.loads(path.read_text("utf-8"))
    arch = results["machine"]["arch"]
    kept = [r for r in json.loads(dispatch.TABLE.read_text("utf-8")) if r["arch"] != arch]
    lines = [json.dumps(row) for row in kept + measured_table(results)]
    dispatch.TABLE.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    return dispatch.TABLE
