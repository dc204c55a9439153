"""The shipped launch parameters, compiled for sm_80 (A100) and sm_90 (H100, H200) without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}  # per block, from the CUDA programming guide
SIXTEEN_BITS = ("fp16", "bf16")


def cases(arch):
    for dtype in ("fp16", "bf16", "fp32"):
        yield {"op": "attention", "dtype": dtype, "size": 64, "dropout": True, "arch": arch}
        yield {"op": "layer_norm", "dtype": dtype, "size": 768, "dropout": True, "arch": arch}
    for size in (16, 32, 96, 128):
        yield {"op": "attention", "dtype": "bf16", "size": size, "dropout": True, "arch": arch}
    for size in (128, 1024, 8192):
        yield {"op": "layer_norm", "dtype": "bf16", "size": size, "dropout": True, "arch": arch}
    for op, size in (("attention", 64), ("layer_norm", 768)):
        yield {"op": op, "dtype": "bf16", "size": size, "dropout": False, "arch": arch}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What `cross_compile.py` prints, from one process for each chip."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    program = Path(__file__).with_name("cross_compile.py")
    children = [
        subprocess.Popen(
            [sys.executable, program, json.dumps(list(cases(arch)))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arch in (80, 90)
    ]
    kernels = []
    for child in children:
        out, log = child.communicate()
        assert child.returncode == 0, log
        kernels += [json.loads(line) for line in out.splitlines()]
    return kernels


def offenders(kernels, wrong):
    return [k for k in kernels if wrong(k)]


def test_every_kernel_compiles_for_both_chips(compiled):
    expected = [c for arch in (80, 90) for c in cases(arch)]
    assert len(compiled) == 3 * len(expected)


def test_sixteen_bit_kernels_spill_nothing(compiled):
    kernels = [k for k in compiled if k["dtype"] in SIXTEEN_BITS]
    assert offenders(kernels, lambda k: k["spilled_bytes"] > 0) == []


def test_shared_memory_fits_the_chip(compiled):
    assert offenders(compiled, lambda k: k["shared_bytes"] > SHARED_LIMIT[k["arch"]]) == []


def test_sixteen_bit_attention_runs_on_wgmma_without_waiting_for_each(compiled):
    kernels = [k for k in compiled if (k["op"], k["arch"]) == ("attention", 90)]
    kernels = [k for k in kernels if k["dtype"] in SIXTEEN_BITS]
    assert len(kernels) >= 3 * 6
    assert offenders(kernels, lambda k: k["wgmma"] == 0 or k["wgmma_serialised"]) == []


def test_fp32_attention_is_not_rounded_to_tf32(compiled):
    kernels = [k for k in compiled if (k["op"], k["dtype"]) == ("attention", "fp32")]
    assert offenders(kernels, lambda k: k["tf32"] > 0) == []


def test_loads_are_vectorised(compiled):
    assert offenders(compiled, lambda k: k["vector_loads"] == 0) == []


def test_row_offsets_are_64_bit(compiled):
    """A row times its stride passes 2^31 from 700 thousand tokens of BERT-large on.

    Judged without dropout, as Philox multiplies 32-bit words. The kernel over partial sums is left
    out: its rows are no more than a few for each multiprocessor.
    """
    kernels = [k for k in compiled if k["kernel"] != "sum" and not k["dropout"]]
    assert len(kernels) == 2 * (3 + 2)
    wrong = offenders(kernels, lambda k: k["row_products"]["i32"] or not k["row_products"]["i64"])
    assert wrong == []
