"""Every op beside PyTorch in fp64, by the rule in the kernel's own `parity.py`.

On a GPU; without one in Triton's interpreter, where ``TRITON_INTERPRET=1`` is set.
"""

import os
from importlib import import_module

import pytest
import torch

import kernels

KERNEL = kernels.get_kernel("OWNER/kobert-kernels", version=0, trust_remote_code=True)
PARITY = import_module(f"{KERNEL.__name__}.parity")
CASES = import_module(f"{KERNEL.__name__}.cases")
ON_GPU = torch.cuda.is_available()
# The interpreter's bf16 is wrong.
DTYPES = (torch.float32, torch.bfloat16) if ON_GPU else (torch.float32,)


@pytest.mark.kernels_ci
@pytest.mark.skipif(
    not ON_GPU and os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs a GPU, or TRITON_INTERPRET=1",
)
@pytest.mark.parametrize(
    "case",
    [case for dtype in DTYPES for case in CASES.cases(dtype, large=False)],
    ids=lambda case: case.name,
)
def test_an_op_is_as_near_to_the_exact_answer_as_pytorch(case: object) -> None:
    """And a result that is wrong on purpose is rejected."""
    verdict = PARITY.check(case, "cuda" if ON_GPU else "cpu")
    assert verdict.passed, verdict.problems
