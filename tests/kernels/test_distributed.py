"""The ops in modules that DDP and FSDP2 wrap: they see plain local tensors."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from kobert_kernels import bias_gelu, layer_norm, use

ALL_TRITON = {"layer_norm": "triton", "bias_gelu": "triton"}


class Block(nn.Module):
    """A feed-forward block of BERT."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(16, 32), nn.Linear(32, 16), nn.LayerNorm(16)

    def forward(self, x, seed):
        inner = bias_gelu(F.linear(x, self.up.weight), self.up.bias)
        return layer_norm(
            *(F.linear(inner, self.down.weight), self.norm.weight, self.norm.bias),
            residual=x,
            linear_bias=self.down.bias,
            dropout=0.1,
            seed=seed,
        )


@pytest.fixture
def process_group(device):
    if torch.cuda.is_available():
        pytest.skip("gloo, on a CPU")
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrap", [DistributedDataParallel, fully_shard])
def test_wrapped_modules_give_the_same_bits(wrap, process_group):
    torch.manual_seed(0)
    plain = Block()
    wrapped = wrap(copy.deepcopy(plain))
    x, seed = torch.randn(9, 16), torch.tensor([3])
    with use(**ALL_TRITON):
        for module in (plain, wrapped):
            module(x, seed).square().sum().backward()
    for ours, theirs in zip(plain.parameters(), wrapped.parameters(), strict=True):
        gradient = theirs.grad
        gradient = gradient.to_local() if hasattr(gradient, "to_local") else gradient
        torch.testing.assert_close(gradient.view_as(ours.grad), ours.grad, rtol=0, atol=0)
