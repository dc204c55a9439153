"""Layer norms of a stock model by our op; the parameters and their names are as before.

Modules keep their place and change their class, so that optimisers, hooks and `state_dict` notice
nothing. Where a post-norm model has dropout, sum and norm in a row, they become one op.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kobert_kernels import layer_norm
from kobert_kit.drop_in.attention import drawn_seed


class KobertNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the last dimension by `kobert_kernels.layer_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """Of [..., h]."""
        x = input.to(_dtype_of_the_sum(input))
        normed: Tensor = layer_norm(x, self.weight, self.bias, eps=self.eps)
        return normed


class KobertOutput(nn.Module):
    """The end of a post-norm sublayer: norm(residual + dropout(dense(x))).

    Its children are those of transformers' ``BertOutput`` and ``BertSelfOutput``.
    """

    dense: nn.Module
    dropout: nn.Dropout
    LayerNorm: nn.LayerNorm

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """Of [..., f], with the residual [..., h]."""
        # The layer as a whole, not its weights: it may be one of adapters, or quantised.
        x, norm = self.dense(hidden_states), self.LayerNorm
        rate = self.dropout.p if self.training else 0.0
        normed: Tensor = layer_norm(
            x.to(_dtype_of_the_sum(x, input_tensor)),
            norm.weight,
            norm.bias,
            residual=input_tensor,
            eps=norm.eps,
            dropout=rate,
            seed=drawn_seed(x.device) if rate > 0.0 else None,
        )
        return normed


def _dtype_of_the_sum(*tensors: Tensor) -> torch.dtype:
    """What PyTorch would norm them in: on a GPU autocast makes it fp32, on a CPU it does not."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    if tensors[0].is_cuda and torch.is_autocast_enabled("cuda"):
        dtype = torch.promote_types(dtype, torch.float32)
    return dtype


def replace_norms(model: nn.Module) -> None:
    """Let all norms of ``model`` over one dimension, with a weight, run our op."""
    for module in model.modules():
        if type(module) is nn.LayerNorm and module.weight is not None and module.weight.dim() == 1:
            module.__class__ = KobertNorm
        elif _ends_a_sublayer(module):
            module.__class__ = KobertOutput


def _ends_a_sublayer(module: nn.Module) -> bool:
    """One class for attention and one for feed-forward in each family, with the same children."""
    children = dict(module.named_children())
    return (
        type(module).__name__.endswith("Output")
        and children.keys() == {"dense", "dropout", "LayerNorm"}
        and isinstance(children["dropout"], nn.Dropout)
        and isinstance(children["LayerNorm"], nn.LayerNorm)
    )
