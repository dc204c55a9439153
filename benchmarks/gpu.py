"""Everything that needs a GPU, in one command of under ten minutes: `make gpu`.

    parity       every case in fp32, fp16 and bf16, an op per process      parity-<op>.json
    tests        pytest -m gpu: no host synchronisation, CUDA graphs, inductor
    memcheck     compute-sanitizer over the small cases                    memcheck-<op>.txt
    racecheck    the same for data races in shared memory                  racecheck-<op>.txt
    tune         rows of this GPU in the launch table                      tune.txt, launches.json
    bench        every implementation of every op                          <device>.json, .md
    step         one step of BERT-Base against transformers                step.json

Each step has a time limit and the next one runs whatever became of it; the last lines say what
passed. Results go to --out, benchmarks/results by default.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kobert_kernels  # noqa: F401 - registers the ops
from kobert_kernels import dispatch

ROOT = Path(__file__).resolve().parent.parent
LAUNCHES = ROOT / "kernels" / "kobert_kernels" / "launches.json"
KOBERT = [sys.executable, "-m", "kobert_kit"]
STEPS = {"parity": 150, "tests": 120, "memcheck": 90, "racecheck": 90, "tune": 240, "bench": 180}
STEPS["step"] = 180
OPS = dispatch.ops()


def run(command: list[str], log: Path, limit: float) -> str:
    """Run a command into a log file; "passed", "failed" or "out of time"."""
    with log.open("w", encoding="utf-8") as out:
        try:
            code = subprocess.run(
                command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, timeout=limit, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return "out of time"
    return "passed" if code == 0 else "failed"


def each_op(command: list[str], suffix: str, out: Path, name: str, limit: float) -> str:
    """Run a command for every op at once: most of the time is compiling, on one core each."""

    def one(op: str) -> str:
        filled = [part.replace("{op}", op) for part in command]
        return run(filled, out / f"{name}-{op}.{suffix}", limit)

    with ThreadPoolExecutor(len(OPS)) as pool:
        outcomes = dict(zip(OPS, pool.map(one, OPS), strict=True))
    bad = [f"{op} {outcome}" for op, outcome in outcomes.items() if outcome != "passed"]
    return ", ".join(bad) or "passed"


def sanitizer(tool: str, out: Path, limit: float) -> str:
    """The small cases in fp16 under one of compute-sanitizer's tools."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return "not run: compute-sanitizer is not installed"
    check = [*KOBERT, "kernels", "check", "--small", "--dtypes", "fp16", "--ops", "{op}"]
    command = [
        program,
        "--tool",
        tool,
        "--error-exitcode",
        "9",
        "--target-processes",
        "all",
        *check,
    ]
    return each_op(command, "txt", out, tool, limit)


def perform(step: str, out: Path, limit: float) -> str:
    """One step of the plan."""
    if step == "parity":
        check = [*KOBERT, "kernels", "check", "--ops", "{op}"]
        check += ["--out", str(out / "parity-{op}.json")]
        return each_op(check, "txt", out, step, limit)
    if step in ("memcheck", "racecheck"):
        return sanitizer(step, out, limit)
    if step == "tune":
        outcome = run([*KOBERT, "kernels", "tune"], out / "tune.txt", limit)
        shutil.copy(LAUNCHES, out / "launches.json")
        return outcome
    commands = {
        "tests": [sys.executable, "-m", "pytest", "-m", "gpu", "tests/kernels", "-q"],
        "bench": [*KOBERT, "kernels", "bench", "--update-dispatch", "--out", str(out)],
        "step": [sys.executable, "benchmarks/bert_base_step.py", "--out", str(out / "step.json")],
    }
    return run(commands[step], out / f"{step}.txt", limit)


def main() -> None:
    """Perform the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for step in options.steps:
        started = time.monotonic()
        outcome = perform(step, out, STEPS[step])
        outcomes[step] = {"outcome": outcome, "seconds": round(time.monotonic() - started, 1)}
        print(f"{step:10} {outcomes[step]['seconds']:7.1f} s  {outcome}", flush=True)
        (out / "gpu.json").write_text(json.dumps(outcomes, indent=1) + "\n", "utf-8")
    sys.exit(any(done["outcome"] != "passed" for done in outcomes.values()))


if __name__ == "__main__":
    main()
