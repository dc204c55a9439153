"""PyTorch operators of our own: what `torch.compile`, FakeTensor and `opcheck` see of a launch.

Each is defined with a schema, an implementation and a *fake* that allocates what the implementation
allocates and computes nothing. The operators know no gradients: every op wraps its forward and
backward operator in one `autograd.Function`, which costs less Python per call than
`torch.library.custom_op` with gradients registered. The compiler, which cannot look inside, can
neither turn a number of rows into a constant nor take a kernel apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._ops import add_op_namespace_prefix, ops


def register(
    schema: str, implementation: Callable[..., Any], fake: Callable[..., Any]
) -> Callable[..., Any]:
    """Define the operator `<schema>` in the namespace of `_ops.py` and return what calls it.

    Args:
        schema: such as "layer_norm_fwd(Tensor x, Tensor? seed) -> (Tensor, Tensor)". The number of
            results is fixed: where one is not needed, both functions return an empty tensor.
        implementation: of every device. No result may share memory with an argument or another
            result; an argument that is written to says so in the schema, as `Tensor(a!)`.
        fake: the same results by shape, dtype and memory order, uninitialised.
    """
    name, bracket, rest = schema.partition("(")
    full_name = add_op_namespace_prefix(name)
    torch.library.define(full_name, bracket + rest)
    torch.library.impl(full_name, "default", implementation)
    torch.library.register_fake(full_name, fake)
    operator: Callable[..., Any] = getattr(ops, name).default
    return operator


def autocast_dtype(tensor: Tensor) -> torch.dtype:
    """What `tensor` is computed in: autocast's dtype inside its region, else its own.

    For the ops that autocast would cast in plain PyTorch as well; fp64 is left alone, as there.
    """
    device = tensor.device.type
    if torch.is_autocast_enabled(device) and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return tensor.dtype
