"""The committed audit passes every gate and is of today's code; and every gate can fail."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kobert_kernels import audit, launches


@pytest.fixture(scope="module")
def committed():
    return audit.read()


@pytest.fixture(scope="module")
def today():
    return audit.recorded()


def test_the_committed_kernels_and_their_traffic_pass_every_gate(committed):
    assert audit.gates(*committed) == []


def test_the_committed_table_is_of_todays_code(committed, today):
    assert audit.stale(committed[0], today) == []


def test_every_row_of_the_launch_table_is_audited_and_every_launch_has_a_row(today):
    assert audit.unreached(today) == []
    assert [k for k in today if not k.row] == []


@pytest.mark.slow
def test_kernels_compiled_anew_are_as_committed(committed, today):
    """One row of each kernel, on one architecture or another: all of them take many minutes."""
    sample = {k.kernel: k for k in sorted(today, key=lambda k: k.fingerprint)}
    then = {k.key: k for k in committed[0]}
    anew = list(audit.compile_rows(list(sample.values())))
    assert {k.key for k in anew} == {k.key for k in sample.values()}
    assert anew == [then[k.key] for k in anew]


def test_the_page_on_kernels_has_the_committed_numbers(committed):
    page = Path(__file__).parents[2] / "docs" / "kernels.md"
    assert audit.markdown(*committed) in page.read_text("utf-8"), audit.markdown(*committed)


@pytest.mark.slow
def test_bytes_counted_anew_are_as_committed(committed):
    """Two ops, for the counting: the kernels of all others are known by their code."""
    ops = ["cross_entropy", "layer_norm"]
    anew = sorted(audit.count_traffic(ops), key=lambda t: t.name)
    assert anew == [t for t in committed[1] if t.op in ops]
    assert {t.op for t in anew} == set(ops)


# The gates can fail.


def measured_bad_kernels(mode, interpret):
    environment = os.environ | {"TRITON_INTERPRET": interpret, "CUDA_VISIBLE_DEVICES": ""}
    program = Path(__file__).with_name("bad_kernels.py")
    command = [sys.executable, program, mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def bad_kernels():
    """What the compiler makes of each on the four architectures."""
    lines = measured_bad_kernels("code", interpret="0")
    return [audit.Compiled(fingerprint="", kernels=1, **line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "bits", "reason"),
    [
        ("good", 16, "launched without reading the options of a row"),
        ("bad.short_product", 16, "1 products in addresses are in 32 bits"),
        ("bad.short_constant", 16, "1 products in addresses are in 32 bits"),
        ("bad.narrow", 16, "no load of 128 bits"),
        ("bad.atomic", 16, "1 atomics"),
        ("bad.spilling", 16, "bytes of registers spilled"),
        ("bad.product", 32, "instructions round fp32 to tf32"),
    ],
)
def test_a_kernel_that_breaks_a_rule_is_found_on_every_architecture(
    bad_kernels, kernel, bits, reason
):
    rows = [row for row in bad_kernels if (row.kernel, row.bits) == (kernel, bits)]
    assert len(rows) == 4
    for row in rows:
        assert any(reason in line for line in audit.gates([row])), row


@pytest.mark.slow
def test_a_kernel_that_breaks_no_rule_passes(bad_kernels):
    fine = [row for row in bad_kernels if (row.kernel, row.bits) == ("bad.product", 16)]
    fine += [row for row in bad_kernels if row.kernel == "bad.good"]
    assert len(fine) == 8
    assert audit.gates(fine) == []
    instructions = {row.arch: row.products for row in fine if row.products}
    assert instructions == {
        "sm_80": "mma.sync",
        "sm_90": "wgmma",
        "sm_100": "tcgen05.mma",
        "gfx942": "v_mfma",
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"row": ""}, "launched without reading the options of a row"),
        ({"unaligned": "stride_x"}, "16 is not known to divide stride_x"),
        ({"spilled_bytes": 4}, "4 bytes of registers spilled"),
        ({"shared_bytes": 227 * 1024 + 1}, "232449 bytes of shared memory, there are 232448"),
        ({"short_products": 1}, "1 products in addresses are in 32 bits"),
        ({"tf32": 2}, "2 instructions round fp32 to tf32"),
        ({"atomics": 1}, "1 atomics"),
        ({"wide_loads": 0}, "no load of 128 bits"),
        ({"products": "fma", "tensor_core": 0}, "matrix products without tensor cores"),
        ({"products": "mma.sync"}, "matrix products by mma.sync, not by wgmma"),
        ({"products": "mma.sync+wgmma"}, "matrix products by mma.sync+wgmma, not by wgmma"),
        ({"serialised": True}, "every wgmma waits for the one before"),
    ],
)
def test_each_gate_names_what_is_wrong(change, reason):
    fine = audit.Compiled(
        kernel="attention.forward",
        size=128,
        bits=16,
        arch="sm_90",
        row="any",
        fingerprint="0",
        kernels=1,
        case="some call",
        registers=255,
        shared_bytes=227 * 1024,
        products="wgmma",
        product_rows=64,
        tensor_core=32,
        wide_loads=8,
    )
    assert audit.gates([fine]) == []
    name = "attention.forward, size 128, 16 bits, on sm_90 (some call)"
    assert f"{name}: {reason}" in " ".join(audit.gates([replace(fine, **change)]))


def test_no_exception_to_a_gate_is_wider_than_need_be(committed):
    kernels = {(k.kernel, k.size, k.bits, k.arch): k for k in committed[0]}
    assert {place: kernels[place].spilled_bytes for place in audit.SPILLED} == audit.SPILLED
    assert all(kernels[place].wide_loads == 0 for place in audit.NARROW)


def test_bytes_that_need_not_move_are_found():
    lines = measured_bad_kernels("traffic", interpret="1")
    counted = {(line["case"], line["direction"]): audit.Traffic(**line) for line in lines}
    assert audit.gates((), [counted["good", "forward"], counted["good", "backward"]]) == []
    assert audit.gates((), [counted["again", "forward"]]) == [
        "again forward: reads 16384 bytes again"
    ]
    assert audit.gates((), [counted["twice", "forward"]]) == [
        "twice forward: moves 65536 bytes, 2.000 times the fewest"
    ]


def test_a_row_that_no_call_reaches_is_named(today):
    lost = next(row for row in launches.rows() if row.arch == "any")
    reached = [
        k for k in today if (k.kernel, k.size, k.bits) != (lost.kernel, lost.size, lost.bits)
    ]
    assert audit.unreached(reached) == [
        f"{lost.kernel}, size {lost.size}, {lost.bits} bits, any: no audited call reaches this row"
    ]


def test_rows_of_architectures_that_were_not_audited_are_not_missed(today):
    assert audit.unreached([k for k in today if k.arch == "sm_90"]) == []


def test_a_change_a_loss_and_an_addition_are_stale(today):
    first, *rest = today
    message = f"{first.kernel} has changed since audit.json was written: {audit.COMMAND}"
    assert audit.stale(today, today) == []
    assert audit.stale(today, [replace(first, fingerprint="other"), *rest]) == [message]
    assert audit.stale(today, rest) == audit.stale(rest, today) == [message]


def test_the_table_is_one_sorted_row_per_line_and_reads_back(committed, tmp_path):
    path = tmp_path / "audit.json"
    audit.write(reversed(committed[0]), reversed(committed[1]), path)
    assert path.read_text("utf-8") == audit.TABLE.read_text("utf-8")
    assert audit.read(path) == committed
    assert len(path.read_text("utf-8").splitlines()) == 4 + len(committed[0]) + len(committed[1])
