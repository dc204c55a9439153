"""``kobert kernels``: parity, benchmarks, audit and choices of the fused kernels, as tables.

These functions print; what they print is computed in `kobert_kernels`, imported when they run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from kobert_vocab.errors import InputError

if TYPE_CHECKING:
    import torch

    from kobert_kernels.audit import Compiled, Traffic
    from kobert_kernels.parity import Verdict

DTYPES = ("fp32", "fp16", "bf16")


def check(ops: Sequence[str], dtypes: Sequence[str], *, small: bool, out: Path | None) -> bool:
    """Print the parity of every case, of each its worst tensor; true if all pass.

    Args:
        ops: to check; all if empty.
        dtypes: of `DTYPES`; those that can be tested here if empty.
        small: on a GPU too only the cases that the interpreter takes.
        out: JSON file for all numbers.

    Raises:
        InputError: an op or dtype that does not exist or cannot be tested here.
    """
    device = _device()
    from kobert_kernels import parity
    from kobert_kernels.cases import cases

    can = DTYPES if device == "cuda" else DTYPES[:2]  # the interpreter's bf16 is wrong
    wanted = _known(dtypes, can, "--dtypes") or can
    large = device == "cuda" and not small
    chosen = [case for d in wanted for case in cases(_torch_dtype(d), large=large)]
    chosen = [case for case in chosen if case.op in _known_ops(ops)]
    print(_CHECK_HEADER)  # noqa: T201
    verdicts = []
    for case in tqdm(chosen, unit="case", desc="kernels check", disable=None):
        verdicts.append(parity.check(case, device))
        tqdm.write(_check_line(verdicts[-1]))
    failed = [v for v in verdicts if not v.passed]
    for problem in (f"{v.case.name}: {problem}" for v in failed for problem in v.problems):
        print(problem)  # noqa: T201
    teeth = sum(v.teeth for v in verdicts)
    where = "the GPU" if device == "cuda" else "Triton's interpreter (no GPU: no bf16, no races)"
    print(  # noqa: T201
        f"{len(verdicts) - len(failed)} of {len(verdicts)} cases pass on {where}; "
        f"{teeth:,} results that were wrong on purpose were rejected"
    )
    if out is not None:
        _write_json(out, [_check_record(verdict) for verdict in verdicts])
    return not failed


_CHECK_HEADER = (
    f"{'op':<14} {'dtype':<5} {'shape':<50} {'worst':<12} "
    f"{'error':>8} {'PyTorch':>8} {'ratio':>6} {'of limit':>8}  verdict"
)


def _check_line(verdict: Verdict) -> str:
    record = _check_record(verdict)
    worst = max(record["tensors"], key=lambda t: (not t["passed"], t["of_limit"]))
    ratio = worst["error"] / worst["plain_error"] if worst["plain_error"] > 0 else float("nan")
    shape = record["shape"] if len(record["shape"]) <= 50 else record["shape"][:49] + "…"
    return (
        f"{record['op']:<14} {record['dtype']:<5} {shape:<50} {worst['name']:<12} "
        f"{worst['error']:8.1e} {worst['plain_error']:8.1e} "
        f"{'' if ratio != ratio else format(ratio, '.2f'):>6} {worst['of_limit']:>8.0%}  "
        f"{'ok' if verdict.passed else 'FAILED'}"
    )


def _check_record(verdict: Verdict) -> dict:  # type: ignore[type-arg]
    case = verdict.case
    op, dtype = case.op, case.name.rpartition("-")[2]
    return {
        "op": op,
        "dtype": dtype,
        "shape": case.name.removeprefix(op + "-").removesuffix("-" + dtype),
        "passed": verdict.passed,
        "teeth": verdict.teeth,
        "problems": verdict.problems,
        "tensors": [
            asdict(c) | {"passed": c.passed, "of_limit": c.of_limit} for c in verdict.comparisons
        ],
    }


def inspect(ops: Sequence[str], archs: Sequence[str], *, fresh: bool, write: bool) -> bool:
    """Print what the compiler makes of every row of the launch table; true if no gate is broken.

    Args:
        ops: to audit; all if empty.
        archs: of `audit.ARCHITECTURES`; all if empty.
        fresh: compile also what has not changed since the committed audit.
        write: replace the committed audit; of all ops and architectures alone.

    Raises:
        InputError: an op or architecture that does not exist, or `write` for some of them only.
    """
    from kobert_kernels import audit

    if write and (ops or archs):
        raise InputError("--write takes the whole audit: leave --ops and --archs out")
    known = set(_known_ops(ops))
    wanted = _known(archs, audit.ARCHITECTURES, "--archs") or audit.ARCHITECTURES
    today = [row for row in audit.recorded(wanted) if not ops or row.kernel.split(".")[0] in known]
    committed, traffic = audit.read() if audit.TABLE.exists() else ([], [])
    kept = [] if fresh else audit.unchanged(committed, today)
    have = {row.key for row in kept}
    missing = [row for row in today if row.key not in have]
    compiling = audit.compile_rows(missing)
    progress = tqdm(compiling, total=len(missing), unit="row", desc="kernels inspect", disable=None)
    kernels = sorted([*kept, *progress], key=lambda row: row.key)
    if fresh or missing or not traffic:
        traffic = list(audit.count_traffic(sorted(known)))
    traffic = [row for row in traffic if row.op in known]
    for line in (*_kernel_lines(kernels), "", *_traffic_lines(traffic), ""):
        print(line)  # noqa: T201
    broken = audit.gates(kernels, traffic) + ([] if ops else audit.unreached(kernels))
    for line in broken:
        print(line)  # noqa: T201
    print(  # noqa: T201
        f"{len(kernels)} rows, {len(missing)} of them compiled now, the others as committed; "
        f"{len(broken) or 'no'} {'gate is' if len(broken) == 1 else 'gates are'} broken"
    )
    if write:
        audit.write(kernels, traffic)
        print(f"audit: {audit.TABLE}")  # noqa: T201
    return not broken


def _kernel_lines(kernels: Iterable[Compiled]) -> Iterator[str]:
    yield (
        f"{'kernel':<32} {'size':>6} {'bits':>4} {'arch':<6} {'registers':>9} {'spilled':>7} "
        f"{'shared':>7} {'products':<14} {'128-bit loads':>13}"
    )
    for k in kernels:
        products = f"{k.tensor_core} {k.products}" if k.tensor_core else k.products
        yield (
            f"{k.kernel:<32} {k.size:>6} {k.bits:>4} {k.arch:<6} {k.registers:>9} "
            f"{k.spilled_bytes:>7} {k.shared_bytes:>7} {products:<14} {k.wide_loads:>13}"
        )


def _traffic_lines(traffic: Iterable[Traffic]) -> Iterator[str]:
    yield f"{'bytes moved':<78} {'fewest':>10} {'moved':>10} {'ratio':>6}"
    for t in traffic:
        yield f"{t.name:<78} {t.fewest:>10} {t.moved:>10} {t.ratio:>6.3f}"


def bench(ops: Sequence[str], out: Path, *, dispatch: bool) -> None:
    """Time every implementation and write `<device>.json` and `<device>.md` into `out`.

    Args:
        ops: to time; all if empty.
        out: folder for the results.
        dispatch: whether these times shall decide what runs on this kind of device from now on.

    Raises:
        InputError: an op that does not exist.
    """
    from kobert_kernels import bench as benchmark

    device = benchmark.device_here()
    known = _known_ops(ops)
    machine = benchmark.describe(device)
    cases = [case for case in benchmark.timed_cases(device) if case.op in known]
    progress = tqdm(cases, unit="case", desc="kernels bench", disable=None)
    rows = [benchmark.measure(case, device) for case in progress]
    results = benchmark.Results(machine=machine, rows=rows)
    path, table = benchmark.write(results, out)
    print(table.read_text("utf-8"))  # noqa: T201
    print(f"results: {path} and {table}")  # noqa: T201
    if dispatch:
        print(f"dispatch: {benchmark.update_dispatch(path)}")  # noqa: T201


def tune(ops: Sequence[str]) -> None:
    """Find the launch parameters that are fastest on this GPU and write them to the table.

    Args:
        ops: to tune; all if empty.

    Raises:
        InputError: an op that does not exist, or no GPU.
    """
    if _device() == "cpu":
        raise InputError("kernels tune: there is no GPU here to tune for")
    import torch

    from kobert_kernels import tune as tuning
    from kobert_kernels.cases import benchmarks
    from kobert_kernels.launches import Launch

    known = _known_ops(ops)
    cases = [case for case in benchmarks(torch.bfloat16) if case.op in known]
    best: dict[tuning.Key, Launch] = {}
    for case in tqdm(cases, unit="case", desc="kernels tune", disable=None):
        # Of several cases with one row the first, BERT's own, decides.
        for row, gain in tuning.tune(case, torch.device("cuda"), done=best):
            best[tuning.key(row)] = row
            tqdm.write(f"{row.kernel} {row.size}: {gain:.2f}x with {row.options}")
            tuning.write(best.values())  # what was found stays, even if the time runs out


def report() -> None:
    """Print for each op and kind of call what runs, why, and why not the others."""
    import torch

    from kobert_kernels import dispatch
    from kobert_kernels.cases import benchmarks
    from kobert_kernels.launches import architecture

    here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if here.type == "cuda" else torch.float32
    print(f"{architecture(here)}, {str(dtype).removeprefix('torch.')}")  # noqa: T201
    for case in benchmarks(dtype):
        call = case.facts(here)
        override = dispatch.forced(case.op)
        choice = dispatch.explain(call)
        runs, why = override or (choice.name, choice.reason)
        why = f"asked for by {why}" if override else why
        print(f"\n{case.name}\n  runs {runs}: {why}")  # noqa: T201
        for name, reason in choice.rejected.items():
            print(f"  not {name}: {reason}")  # noqa: T201


def _device() -> str:
    """The GPU, "cuda", or "cpu", where the kernels run in Triton's interpreter.

    Triton reads its variable when a kernel is defined: before anything imports the kernels.
    """
    import torch

    if torch.cuda.is_available():
        return "cuda"
    os.environ["TRITON_INTERPRET"] = "1"
    return "cpu"


def _known_ops(ops: Sequence[str]) -> Sequence[str]:
    from kobert_kernels import dispatch

    return _known(ops, dispatch.ops(), "--ops") or dispatch.ops()


def _known(given: Sequence[str], can: Iterable[str], flag: str) -> Sequence[str]:
    for name in given:
        if name not in can:
            raise InputError(f"{flag} {name}: here it can be {', '.join(can)}")
    return given


def _torch_dtype(name: str) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[name]


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
