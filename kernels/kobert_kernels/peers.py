"""Other people's kernels under the signatures of our ops: for benchmarks alone, where installed.

Each does what its users would write for our op: what the library has no kernel for, such as the
residual before its norm, is plain PyTorch around it. What it cannot do at all it refuses.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class CannotDo(Exception):
    """The library has no way to compute this."""


def peers(op: str) -> dict[str, Callable[..., Any]]:
    """Names and adapters of the installed libraries that have a kernel for an op."""
    if importlib.util.find_spec("liger_kernel") is None or not torch.cuda.is_available():
        return {}
    adapters: dict[str, Callable[..., Any]] = {
        "layer_norm": _liger_layer_norm,
        "geglu": _liger_geglu,
        "cross_entropy": _liger_cross_entropy,
    }
    return {"liger": adapters[op]} if op in adapters else {}


def _liger_layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    linear_bias: Tensor | None = None,
    eps: float = 1e-12,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    return_sum: bool = False,
) -> Any:  # noqa: ANN401
    from liger_kernel.ops.layer_norm import LigerLayerNormFunction

    if dropout > 0.0:
        raise CannotDo("its dropout would be PyTorch's, with another mask than ours")
    if bias is None:
        raise CannotDo("it needs a bias")
    z = x if linear_bias is None else x + linear_bias.to(x.dtype)
    z = z if residual is None else residual + z
    y = LigerLayerNormFunction.apply(z, weight, bias, eps)
    return (y, z) if return_sum else y


def _liger_geglu(x: Tensor, bias: Tensor | None = None, *, approximate: str = "none") -> Tensor:
    from liger_kernel.ops.geglu import LigerGELUMulFunction

    if approximate != "tanh":
        raise CannotDo("it has the tanh form alone")
    x = x if bias is None else x + bias.to(x.dtype)
    y: Tensor = LigerGELUMulFunction.apply(*x.chunk(2, dim=-1))
    return y


def _liger_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignored: int = -100,
) -> tuple[Tensor, Tensor]:
    from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction

    loss, _, _, predicted = LigerCrossEntropyFunction.apply(
        *(logits, labels, None, ignored, z_loss, label_smoothing, "mean", None),
        *(False, False, True),
    )
    return loss, (predicted == labels).sum()
