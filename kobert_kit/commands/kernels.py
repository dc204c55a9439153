"""``kobert kernels``: check, inspect, bench, tune, report."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import arg
from tyro.extras import SubcommandApp

app = SubcommandApp()


@app.command(name="check")
def check(
    *,
    ops: tuple[str, ...] = (),
    dtypes: tuple[str, ...] = (),
    small: bool = False,
    out: Path | None = None,
) -> None:
    """Compare every kernel with PyTorch in fp64, on the GPU or without one in the interpreter.

    Args:
        ops: Ops to check; all if not given.
        dtypes: fp32, fp16, bf16; all that can be tested here if not given.
        small: On a GPU too only the cases that the interpreter takes.
        out: JSON file for every number.
    """
    from kobert_kit.kernel_commands import check

    if not check(ops, dtypes, small=small, out=out):
        sys.exit(1)


@app.command(name="inspect")
def inspect(
    *,
    ops: tuple[str, ...] = (),
    archs: tuple[str, ...] = (),
    fresh: bool = False,
    write: bool = False,
) -> None:
    """Compile every kernel for four GPUs that need not be here: registers, spills, bytes moved.

    Args:
        ops: Ops to audit; all if not given.
        archs: sm_80, sm_90, sm_100, gfx942; all if not given.
        fresh: Compile also what has not changed since the committed audit.
        write: Replace the committed audit.
    """
    from kobert_kit.kernel_commands import inspect

    if not inspect(ops, archs, fresh=fresh, write=write):
        sys.exit(1)


@app.command(name="bench")
def bench(
    *,
    ops: tuple[str, ...] = (),
    out: Path = Path("benchmarks/results"),
    dispatch: Annotated[bool, arg(name="update-dispatch")] = False,
) -> None:
    """Time every implementation of every op, and write the tables.

    Args:
        ops: Ops to time; all if not given.
        out: Folder for <device>.json and <device>.md.
        dispatch: Let these times decide what runs on this kind of device from now on.
    """
    from kobert_kit.kernel_commands import bench

    bench(ops, out, dispatch=dispatch)


@app.command(name="tune")
def tune(*, ops: tuple[str, ...] = ()) -> None:
    """Find the launch parameters that are fastest on this GPU, and put them in the table.

    Args:
        ops: Ops to tune; all if not given.
    """
    from kobert_kit.kernel_commands import tune

    tune(ops)


@app.command(name="report")
def report() -> None:
    """Say for each kind of call which implementation runs, why, and why not the others."""
    from kobert_kit.kernel_commands import report

    report()
