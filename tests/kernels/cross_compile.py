"""Compile the shipped kernels for GPUs that are not here and print what came out, one JSON line each.

Run as a program, in a process without TRITON_INTERPRET: the interpreter replaces the compiler.
Usage: cross_compile.py '[{"op": "attention", "dtype": "fp16", "size": 64, "dropout": true, "arch": 90}, ...]'
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from kobert_kernels import attention as _  # noqa: F401 - the package first, then its modules
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

att = sys.modules["kobert_kernels.attention"]
ln = sys.modules["kobert_kernels.layer_norm"]

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
FP32 = {
    "lse_ptr",
    "delta_ptr",
    "mean_ptr",
    "rstd_ptr",
    "dweight_ptr",
    "dbias_ptr",
    "weight_ptr",
    "bias_ptr",
}
FP32 |= {"dweight_sum_ptr", "dbias_sum_ptr"}
FLOATS = {"eps", "scale", "scale_log2", "keep_scale"}


def kernels(op, dtype, size, dropout):
    """(name, kernel, constants, options, absent pointers) of every kernel that a call launches."""
    absent = [] if dropout else ["seed_ptr"]
    if op == "layer_norm":
        launch = ln.layer_norm_launch(size)
        common = {"N": size, "RESIDUAL": True, "DROPOUT": dropout, "BLOCK_N": launch.block_n}
        options = {"num_warps": launch.num_warps}
        yield (
            "fwd",
            ln._layer_norm_fwd_kernel,
            common | {"BLOCK_R": launch.forward_rows},
            options,
            absent,
        )
        constants = common | {"BLOCK_R": launch.backward_rows, "DRESIDUAL": True}
        yield "bwd", ln._layer_norm_bwd_kernel, constants, options, absent
        constants = {"N": size, "BLOCK_P": launch.sum_p, "BLOCK_N": launch.sum_n}
        yield "sum", ln._layer_norm_sum_kernel, constants, {"num_warps": 4}, []
        return
    launch = att.attention_launch(size, DTYPES[dtype])
    for name, kernel, tiling in (
        ("fwd", att._attention_fwd_kernel, launch.forward),
        ("bwd_q", att._attention_bwd_q_kernel, launch.backward_q),
        ("bwd_kv", att._attention_bwd_kv_kernel, launch.backward_kv),
    ):
        constants = att._constants(tiling, launch.block_d) | {"D": size, "DROPOUT": dropout}
        options = {key: constants.pop(key) for key in ("num_warps", "num_stages")}
        yield name, kernel, constants, options, absent


def argument_type(name, dtype):
    if name == "seed_ptr":
        return "*i64"
    if name == "cu_seqlens_ptr":
        return "*i32"
    if name.endswith("_ptr"):
        return "*fp32" if name in FP32 else "*" + dtype
    return "fp32" if name in FLOATS else "i32"


def compile_kernel(kernel, dtype, constants, options, absent, arch):
    constants = constants | dict.fromkeys(absent)
    signature, attributes = {}, {}
    for i, name in enumerate(kernel.arg_names):
        signature[name] = "constexpr" if name in constants else argument_type(name, dtype)
        if name not in constants and (name.endswith("_ptr") or name.startswith("stride_")):
            attributes[(i,)] = [["tt.divisibility", 16]]  # as torch allocates, at BERT's widths
    source = ASTSource(kernel, signature, constants, attributes)
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def measure(compiled, arch):
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder, "kernel.ptx")
        ptx.write_text(compiled.asm["ptx"])
        target = re.search(r"^\.target (\S+?),?(?:\s|$)", compiled.asm["ptx"], re.MULTILINE)[1]
        log = subprocess.run(
            [
                TOOLS / "ptxas",
                "-v",
                f"--gpu-name={target}",
                ptx,
                "-o",
                Path(folder, "kernel.cubin"),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    return {
        "registers": int(re.search(r"Used (\d+) registers", log)[1]),
        "spilled_bytes": int(re.search(r"(\d+) bytes spill stores", log)[1]),
        "shared_bytes": compiled.metadata.shared,
        "wgmma": compiled.asm["ptx"].count("wgmma.mma_async"),
        "serialized": "C7510" in log or "C7511" in log or "serializ" in log,
        "vector_loads": len(
            re.findall(r"ld\.global\S*\.v[24]|cp\.async\S* .*, 16", compiled.asm["ptx"])
        ),
        "int64_offsets": bool(re.search(r"arith\.muli .*i64", compiled.asm["ttir"])),
    }


def main():
    for case in json.loads(sys.argv[1]):
        for name, kernel, constants, options, absent in kernels(
            case["op"], case["dtype"], case["size"], case["dropout"]
        ):
            compiled = compile_kernel(
                kernel, case["dtype"], constants, options, absent, case["arch"]
            )
            print(json.dumps(case | {"kernel": name} | measure(compiled, case["arch"])), flush=True)


if __name__ == "__main__":
    main()
