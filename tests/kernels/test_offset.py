import pytest
import torch

from kobert_kernels._triton import Pointer, Scalar, jit, offset, tl


@jit()
def _probe_kernel(out_ptr: Pointer, first: Scalar, stride: Scalar) -> None:
    """Where rows begin, as every kernel computes it."""
    row = first + tl.arange(0, 16)
    tl.store(out_ptr + tl.arange(0, 16), offset(row, stride))


@pytest.mark.parametrize(("first", "stride"), [(3, 7), (17_000, 128_256), (2**30, 2**20)])
def test_rows_past_two_to_the_31_begin_where_they_should(first, stride, device):
    """17 thousand rows of logits over 128 thousand words, without the 4 GB."""
    out = torch.empty(16, dtype=torch.int64, device=device)
    _probe_kernel[(1,)](out, first, stride)
    assert out.tolist() == [(first + i) * stride for i in range(16)]
