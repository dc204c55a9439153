"""Kernels that each break one rule of the audit, measured by it; prints a JSON object by name.

Run as a program: `code` without TRITON_INTERPRET compiles each for four architectures, `traffic`
with it counts the bytes of a copy done well and badly.
"""

import json
import sys
from dataclasses import dataclass

import torch

from kobert_kernels import parity
from kobert_kernels._triton import jit, offset, tl
from kobert_kernels.cases import Case
from kobert_kernels.launches import Launch


@jit("rows")
def good(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    tile = offset(row, stride)[:, None] + tl.arange(0, BLOCK_N)[None, :]
    inside = (row < rows)[:, None]
    tl.store(y_ptr + tile, tl.load(x_ptr + tile, mask=inside), mask=inside)


@jit("rows")
def short_product(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    tile = (row * stride).to(tl.int64)[:, None] + tl.arange(0, BLOCK_N)[None, :]
    inside = (row < rows)[:, None]
    tl.store(y_ptr + tile, tl.load(x_ptr + tile, mask=inside), mask=inside)


@jit("rows")
def short_constant(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    tile = tl.program_id(0) * 768 + tl.arange(0, BLOCK_N)
    tl.store(y_ptr + tile, tl.load(x_ptr + tile))


@jit("rows", "stride")
def narrow(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    tile = offset(row, stride)[:, None] + tl.arange(0, BLOCK_N)[None, :]
    tl.store(y_ptr + tile, tl.load(x_ptr + tile))


@jit("rows")
def atomic(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    column = tl.arange(0, BLOCK_N)
    tile = offset(tl.program_id(0), stride) + column
    tl.atomic_add(y_ptr + column, tl.load(x_ptr + tile))


@jit("rows")
def spilling(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    column = tl.arange(0, 256 * BLOCK_N)  # of one warp, 1024 numbers in each thread
    row = offset(tl.program_id(0), stride) + column
    x = tl.load(x_ptr + row).to(tl.float32)
    tl.store(y_ptr + row, x - tl.max(x * x, 0))


@jit("rows")
def product(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    """Fine in 16 bits; of fp32 it makes tf32."""
    row, column = tl.arange(0, 64), tl.arange(0, 64)
    tile = offset(row, stride)[:, None] + column[None, :]
    x = tl.load(x_ptr + tile)
    tl.store(y_ptr + tile, tl.dot(x, x).to(x.dtype))


@jit("rows")
def copy_again(x_ptr, y_ptr, rows, stride, BLOCK_R: tl.constexpr, BLOCK_N: tl.constexpr):
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    tile = offset(row, stride)[:, None] + tl.arange(0, BLOCK_N)[None, :]
    tl.store(y_ptr + tile, tl.load(x_ptr + tile) - tl.max(tl.load(x_ptr + tile), 1)[:, None])


@dataclass(frozen=True, kw_only=True)
class CopyCase(Case):
    """y = x, and dx = dy."""

    op = "layer_norm"  # one of those whose bytes are judged

    @property
    def shape(self):
        return "64x128"

    @property
    def summed_rows(self):
        return 0

    def draw(self, generator):
        return {"x": torch.randn(64, 128, generator=generator)}

    def call(self, op, inputs):
        return (op(inputs["x"]),)

    def fewest_bytes(self):
        return (2 * 64 * 128 * self.dtype.itemsize,) * 2


def launched(kernel, x):
    row = Launch(
        kernel=f"bad.{kernel.__name__}",
        size=128,
        bits=8 * x.itemsize,
        arch="any",
        blocks={"BLOCK_R": 16, "BLOCK_N": 128},
        num_warps=1 if kernel is spilling else 4,
        num_stages=1,
        source="test",
    )
    y = torch.empty_like(x)
    kernel[(4,)](x, y, x.shape[0], x.stride(0), **row.options)
    return y


class Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernels):
        ctx.kernels = kernels
        for kernel in kernels:
            y = launched(kernel, x)
        return y

    @staticmethod
    def backward(ctx, dy):
        return launched(ctx.kernels[0], dy), None


KERNELS = (good, short_product, short_constant, narrow, atomic, spilling, product)


def code():
    from kobert_kernels.audit import compiled

    def every_kernel(x):
        for kernel in KERNELS if x.itemsize == 2 else (product,):
            launched(kernel, x)
        y = torch.empty_like(x)
        good[(4,)](x, y, 64, 128, BLOCK_R=16, BLOCK_N=128)  # not by way of a row
        return x * 1.0

    parity.implementation = lambda op, name: every_kernel
    compiled.triton.knobs.compilation.always_compile = True
    compiled.triton.knobs.nvidia.dump_ptxas_log = True
    cases = [CopyCase(dtype=dtype) for dtype in (torch.bfloat16, torch.float32)]
    for rows in compiled.grouped(compiled.record(compiled.TARGETS, cases)).values():
        kernel, bits, size, arch, row = rows[0].key
        line = {"kernel": kernel, "bits": bits, "size": size, "arch": arch, "row": row}
        yield line | compiled.worst([(k.case.name, compiled.measure(k)) for k in rows])


def traffic():
    from kobert_kernels.audit import traffic as counter

    for name, kernels in {
        "good": [good],
        "again": [copy_again],
        "twice": [good, good],
    }.items():
        parity.implementation = lambda op, which, kernels=kernels: lambda x: Copy.apply(x, kernels)
        for line in counter.count(CopyCase(dtype=torch.float16)):
            yield line | {"case": name}


if __name__ == "__main__":
    for line in {"code": code, "traffic": traffic}[sys.argv[1]]():
        sys.stdout.write(json.dumps(line) + "\n")
