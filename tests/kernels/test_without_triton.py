"""Where Triton cannot be installed the package imports and its PyTorch side works."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["triton"] = None  # what `import triton` finds where there is none
import torch
import kobert_kernels
from kobert_kernels.attention import attention_triton
from kobert_kernels.layer_norm import layer_norm_triton

x = torch.randn(7, 2, 16, requires_grad=True)
bounds = torch.tensor([0, 3, 7], dtype=torch.int32)
one, seed = torch.ones(16), torch.tensor([1])
o = kobert_kernels.attention(x, x, x, bounds, 4, dropout=0.1, seed=seed)
kobert_kernels.layer_norm(o, one, one, residual=x, dropout=0.1, seed=seed).sum().backward()
assert x.grad.isfinite().all()
for op, arguments in ((layer_norm_triton, (x, one, one)), (attention_triton, (x, x, x, bounds, 4))):
    try:
        op(*arguments)
    except RuntimeError as error:
        assert "triton is not installed" in str(error)
    else:
        raise AssertionError("no error")
"""


def test_the_package_works_without_triton():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
