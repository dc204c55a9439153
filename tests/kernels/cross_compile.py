"""Compile the shipped kernels for GPUs that are not here; print one JSON line for each.

Run as a program, in a process without TRITON_INTERPRET: the interpreter replaces the compiler.
The argument is a JSON list of cases: {"op": "attention", "dtype": "fp16", "size": 64,
"dropout": true, "arch": 90}, where size is the head size or the width.
"""

import json
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

# Their names in the package belong to the functions, so they are not attributes of it.
att = import_module("kobert_kernels.attention")
ln = import_module("kobert_kernels.layer_norm")

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
STATISTICS = {"lse_ptr", "delta_ptr", "mean_ptr", "rstd_ptr"}
WEIGHTS = {f"d{name}{end}" for name in ("weight", "bias") for end in ("_ptr", "_sum_ptr")}
FP32 = STATISTICS | WEIGHTS | {"weight_ptr", "bias_ptr"}  # as in training with 16-bit activations
FLOATS = {"eps", "scale", "scale_log2", "keep_scale"}


def kernels(op, dtype, size, dropout):
    """(name, kernel, constants, options) of every kernel that a call launches."""
    absent = {} if dropout else {"seed_ptr": None}
    if op == "layer_norm":
        launch = ln.layer_norm_launch(size)
        common = {"N": size, "RESIDUAL": True, "DROPOUT": dropout, "BLOCK_N": launch.block_n}
        forward = common | absent | {"BLOCK_R": launch.forward_rows}
        backward = common | absent | {"BLOCK_R": launch.backward_rows, "DRESIDUAL": True}
        sums = {"N": size, "BLOCK_P": launch.sum_p, "BLOCK_N": launch.sum_n}
        options = {"num_warps": launch.num_warps}
        yield "fwd", ln._layer_norm_fwd_kernel, forward, options
        yield "bwd", ln._layer_norm_bwd_kernel, backward, options
        yield "sum", ln._layer_norm_sum_kernel, sums, {"num_warps": 4}
        return
    launch = att.attention_launch(size, DTYPES[dtype])
    for name, kernel, tiling in (
        ("fwd", att._attention_fwd_kernel, launch.forward),
        ("bwd_q", att._attention_bwd_q_kernel, launch.backward_q),
        ("bwd_kv", att._attention_bwd_kv_kernel, launch.backward_kv),
    ):
        constants = att._constants(tiling, launch.block_d) | absent
        constants |= {"D": size, "DROPOUT": dropout}
        options = {key: constants.pop(key) for key in ("num_warps", "num_stages")}
        yield name, kernel, constants, options


def argument_type(name, dtype):
    if name == "seed_ptr":
        return "*i64"
    if name == "cu_seqlens_ptr":
        return "*i32"
    if name.endswith("_ptr"):
        return "*fp32" if name in FP32 else "*" + dtype
    return "fp32" if name in FLOATS else "i32"


def compile_kernel(kernel, dtype, constants, options, arch):
    signature, attributes = {}, {}
    for i, name in enumerate(kernel.arg_names):
        signature[name] = "constexpr" if name in constants else argument_type(name, dtype)
        if name not in constants and (name.endswith("_ptr") or name.startswith("stride_")):
            attributes[(i,)] = [["tt.divisibility", 16]]  # as torch allocates, at BERT's widths
    source = ASTSource(kernel, signature, constants, attributes)
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def measure(compiled):
    ptx = compiled.asm["ptx"]
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)[1]
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        command = [TOOLS / "ptxas", "-v", f"--gpu-name={target}", source, "-o", cubin]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {
        "registers": int(re.search(r"Used (\d+) registers", log)[1]),
        "spilled_bytes": int(re.search(r"(\d+) bytes spill stores", log)[1]),
        "shared_bytes": compiled.metadata.shared,
        "wgmma": ptx.count("wgmma.mma_async"),
        "wgmma_serialised": "wgmma.mma_async instructions are serialized" in log,
        "tf32": ptx.count(".tf32"),
        "vector_loads": len(re.findall(r"ld\.global\S*\.v[24]|cp\.async\.cg", ptx)),
        "row_products": {
            bits: len(re.findall(rf"arith\.muli .*tensor<\d+x1x{bits}>", compiled.asm["ttir"]))
            for bits in ("i32", "i64")
        },
    }


def main():
    for case in json.loads(sys.argv[1]):
        shape = {key: case[key] for key in ("op", "dtype", "size", "dropout")}
        for name, kernel, constants, options in kernels(**shape):
            compiled = compile_kernel(kernel, case["dtype"], constants, options, case["arch"])
            line = json.dumps(case | {"kernel": name} | measure(compiled))
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
