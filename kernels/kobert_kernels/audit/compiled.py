"""What the compiler makes of the kernels, for GPUs that are not here.

Nothing is described twice. The ops run on CPU tensors under a driver that claims to be the GPU:
Triton looks at the arguments and decides what to compile, as it would there, and is stopped before
it does. What it decided is then compiled. So the audit sees the types, alignments and block sizes
of real calls, and cannot drift from them.

Run as a program, without TRITON_INTERPRET: the interpreter replaces the compiler. The argument is a
JSON object, see `main`; the answer is a JSON line for each row of the audit's table.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITCallable

from .. import launches, parity
from ..cases import Case
from .calls import calls

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
FEWEST_IS_WORST = {"product_rows", "tensor_core", "wide_loads", "long_offsets"}

# Recording


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What Triton would compile for one launch."""

    function: Any
    arch: str
    row: launches.Launch | None
    """Where its block sizes are from; None if not from the table."""
    case: Case
    signature: dict[str, str]
    constants: dict[tuple[int, ...], Any]
    attributes: dict[tuple[int, ...], Any]
    options: dict[str, Any]
    fingerprint: str
    """Of all that determines its code."""

    @property
    def key(self) -> tuple[str, int, int, str, str]:
        """Of the audit's row: kernel, bits, size, architecture, and that of the table's row."""
        row = self.row
        if row is None:
            return self.function.__name__, 8 * self.case.dtype.itemsize, 0, self.arch, ""
        return row.kernel, row.bits, row.size, self.arch, row.arch

    @property
    def unaligned(self) -> list[str]:
        """Addresses of numbers, and strides, of which Triton does not know that 16 divides them."""
        return [
            name
            for number, (name, kind) in enumerate(self.signature.items())
            if re.match(r"\*(?!i)", kind) or (kind[0] == "i" and name.startswith("stride"))
            if ["tt.divisibility", 16] not in self.attributes.get((number,), [])
        ]


@dataclass(frozen=True)
class _Driver:
    """What Triton asks a GPU before it compiles."""

    arch: str

    def get_current_target(self) -> GPUTarget:
        return TARGETS[self.arch]

    def get_current_device(self) -> str:
        return self.arch

    def get_current_stream(self, device: str) -> int:
        return 0


@dataclass
class _Recorder:
    kernels: list[Kernel] = field(default_factory=list)
    case: Case | None = None
    row: launches.Launch | None = None

    def __call__(self, *, fn: Any, key: str, compile: Any, **_: object) -> bool:  # noqa: ANN401
        """Triton's hook before it compiles; True keeps it from that, and from launching."""
        arch, function = compile["device"], fn.jit_function
        options = json.loads(compile["specialization_data"])["options"]
        assert self.case is not None
        kernel = Kernel(
            function=function,
            arch=arch,
            row=self.row,
            case=self.case,
            signature=compile["signature"],
            constants=compile["constants"],
            attributes=compile["configs"][0],
            options={k: tuple(v) if isinstance(v, list) else v for k, v in options.items()},
            fingerprint=_hash([arch, key, *sources(function), *_measuring()]),
        )
        self.kernels.append(kernel)
        self.row = None
        return True


def record(archs: Iterable[str], cases: Iterable[Case]) -> list[Kernel]:
    """What forward and backward of the cases launch, in their order."""
    with _recording() as recorder:
        for case in cases:
            recorder.case, inputs = case, case.inputs("cpu")
            for arch in archs:
                triton.runtime.driver.set_active(_Driver(arch))
                with launches.pretend(arch):
                    case.run(parity.implementation(case.op, "triton"), inputs)
    return recorder.kernels


@contextmanager
def _recording() -> Iterator[_Recorder]:
    recorder, options = _Recorder(), launches.Launch.options

    def read(row: launches.Launch) -> dict[str, int]:
        recorder.row = row  # the last thing before `kernel[grid](..., **row.options)`
        return options.__get__(row)  # type: ignore[no-any-return]

    triton.knobs.runtime.jit_cache_hook = recorder
    launches.Launch.options = property(read)  # type: ignore[method-assign, assignment]
    try:
        yield recorder
    finally:
        launches.Launch.options = options  # type: ignore[method-assign]
        triton.knobs.runtime.jit_cache_hook = None


@functools.cache
def sources(function: Any) -> list[str]:  # noqa: ANN401
    """The code of a kernel and of every function that it calls, and the constants they read.

    Comments, layout and docstrings are left out: they change no instruction.
    """
    found: dict[str, str] = {}

    def visit(function: Any) -> None:  # noqa: ANN401
        tree = ast.parse(function.src)
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        if ast.get_docstring(definition) is not None:
            del definition.body[0]
        found[function.__name__] = ast.unparse(tree)
        for node in ast.walk(tree):
            value = function.__globals__.get(node.id) if isinstance(node, ast.Name) else None
            if isinstance(value, JITCallable) and value.__name__ not in found:
                visit(value)
            elif isinstance(value, triton.language.constexpr):
                found[node.id] = repr(value.value)  # type: ignore[attr-defined]

    visit(function)
    return [f"{name} = {found[name]}" for name in sorted(found)]


@functools.cache
def _measuring() -> list[str]:
    """What else determines a measurement."""
    functions = (measure, _measure_nvidia, _measure_amd, count_offsets, _is_small, worst)
    return [triton.__version__, *(inspect.getsource(function) for function in functions)]


def _hash(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


# Measuring


def measure(kernel: Kernel) -> dict[str, Any]:
    """Compile a kernel and read its assembly."""
    source = ASTSource(kernel.function, kernel.signature, kernel.constants, kernel.attributes)
    log = StringIO()
    with redirect_stdout(log):  # where Triton prints what ptxas reports
        compiled = triton.compile(source, target=TARGETS[kernel.arch], options=kernel.options)
    ttir = compiled.asm["ttir"]
    if "amdgcn" in compiled.asm:
        result = _measure_amd(compiled.asm["amdgcn"])
    else:
        result = _measure_nvidia(compiled.asm["ptx"], log.getvalue())
    instructions = result.pop("instructions")
    rows = [int(m) for m in re.findall(r"\btt\.dot .*-> tensor<(\d+)x", ttir)]
    # A head size times the number of heads is far below 2^31, like a block size times a program.
    sizes = {"size": kernel.row.size, **kernel.row.blocks} if kernel.row else {}
    long_offsets, short_products = count_offsets(ttir, sizes)
    return result | {
        "shared_bytes": compiled.metadata.shared,
        "products": "+".join(sorted(instructions)) or "fma" * (len(rows) > 0),
        "product_rows": min(rows, default=0),
        "tensor_core": sum(instructions.values()),
        "atomics": ttir.count("tt.atomic"),
        "long_offsets": long_offsets,
        "short_products": short_products,
    }


def _measure_nvidia(ptx: str, log: str) -> dict[str, Any]:
    product = r"\b(mma\.sync|tcgen05\.mma|wgmma)\.(?:aligned|cta_group|mma_async)"
    wide_load = r"ld\.global\S*\.(?:v4\.\w32|v2\.\w64|v8)|cp\.async\.cg"
    return {
        "registers": int(_find(r"Used (\d+) registers", log)),
        "spilled_bytes": int(_find(r"(\d+) bytes spill stores", log)),
        "instructions": Counter(re.findall(product, ptx)),
        "serialised": "wgmma.mma_async instructions are serialized" in log,
        "tf32": ptx.count("tf32"),
        "wide_loads": len(re.findall(wide_load, ptx)),
    }


def _measure_amd(asm: str) -> dict[str, Any]:
    return {
        "registers": int(_find(r"\.vgpr_count: +(\d+)", asm)),
        "spilled_bytes": int(_find(r"\.private_segment_fixed_size: +(\d+)", asm)),
        "instructions": Counter(re.findall(r"\b(v_mfma)_\w", asm)),
        "serialised": False,
        "tf32": len(re.findall(r"\bv_mfma_\w*xf32", asm)),
        "wide_loads": len(re.findall(r"\b(?:buffer|global)_load_dwordx4", asm)),
    }


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, f"the compiler's report has no {pattern}"
    return found[1]


_DEFINITION = re.compile(r"^\s*(%[\w.-]+)(?::\d+)? = ([\w.]+) (.*?)(?: loc\(.*)?$")
_OPAQUE = {"tt.load", "arith.divsi", "arith.remsi", "scf.for", "scf.while", "scf.if"}


def count_offsets(ttir: str, blocks: Mapping[str, int]) -> tuple[int, int]:
    """How many addresses are computed in 64 bits, and how many 32-bit products are in addresses.

    A row times its stride passes 2^31 in large batches. In 32 bits there may only be the number of
    a row or column, which is that of a program times a block size, and what is below 2^31 by the
    limits of a GPU: of the grid's second and third side there are at most 65535 programs.
    """
    definitions = {m[1]: (m[2], m[3]) for m in map(_DEFINITION.match, ttir.splitlines()) if m}

    def products(name: str) -> set[str]:
        operation, rest = definitions.get(name, ("tt.load", ""))  # else an argument
        if operation in _OPAQUE:
            return set()
        operands = re.findall(r"%[\w.-]+", rest)
        if operation == "arith.muli":
            factors = [definitions.get(operand, ("", "")) for operand in operands]
            small = _is_long(rest) or any(_is_small(*factor, blocks) for factor in factors)
            return set() if small else {name}
        return set().union(*map(products, operands))

    offsets = [rest for operation, rest in definitions.values() if operation == "tt.addptr"]
    found = [products(re.findall(r"%[\w.-]+", rest)[1]) for rest in offsets]
    return sum(map(_is_long, offsets)), len(set().union(*found))


def _is_long(rest: str) -> bool:
    return rest.endswith(("i64", "i64>"))


SMALL_TILE = 16  # rows of tiles that are in no table: tokens after the last sequence are zeroed so


def _is_small(operation: str, rest: str, blocks: Mapping[str, int]) -> bool:
    if operation in ("tt.get_program_id", "tt.get_num_programs"):
        return rest.startswith(("y", "z"))
    constant = re.match(r"(?:dense<)?(\d+)>? :", rest) if operation == "arith.constant" else None
    return constant is not None and int(constant[1]) in {SMALL_TILE, *blocks.values()}


# Rows


def grouped(kernels: Iterable[Kernel]) -> dict[str, list[Kernel]]:
    """The different kernels of each row of the audit's table, by the row's fingerprint."""
    rows: dict[tuple[str, int, int, str, str], dict[str, Kernel]] = {}
    for kernel in kernels:
        rows.setdefault(kernel.key, {}).setdefault(kernel.fingerprint, kernel)
    return {_hash([*map(str, key), *sorted(row)]): [*row.values()] for key, row in rows.items()}


def worst(measured: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """What a row says of its kernels, given the case and the numbers of each."""
    numbers = [n for _, n in measured]
    result = {
        name: (min if name in FEWEST_IS_WORST else max)(n[name] for n in numbers)
        for name in numbers[0]
    }
    result["products"] = "+".join(sorted({n["products"] for n in numbers} - {""}))
    result["case"] = max(measured, key=lambda m: (m[1]["spilled_bytes"], m[1]["registers"]))[0]
    return result


def main() -> None:
    """Print a line for each row of the request.

    archs: which; measured: compile, or only record; only: fingerprints of rows, if not empty;
    shard, shards: a share of the rows.
    """
    request = json.loads(sys.argv[1])
    triton.knobs.compilation.always_compile = True  # what comes from the cache has no report
    triton.knobs.nvidia.dump_ptxas_log = True
    rows = grouped(record(request["archs"], calls()))
    chosen = [f for f in rows if not request["only"] or f in request["only"]]
    known: dict[str, dict[str, Any]] = {}  # rows with the same block sizes share kernels
    # By fingerprint, as neighbours differ in the architecture, and the slowest would share a shard.
    for fingerprint in sorted(chosen)[request["shard"] :: request["shards"]]:
        kernels = rows[fingerprint]
        line = dict(zip(("kernel", "bits", "size", "arch", "row"), kernels[0].key, strict=True))
        line |= {"fingerprint": fingerprint, "kernels": len(kernels), "case": kernels[0].case.name}
        line["unaligned"] = " ".join(sorted({name for k in kernels for name in k.unaligned}))
        if request["measured"]:
            for kernel in kernels:
                if kernel.fingerprint not in known:
                    known[kernel.fingerprint] = measure(kernel)
            line |= worst([(k.case.name, known[k.fingerprint]) for k in kernels])
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
