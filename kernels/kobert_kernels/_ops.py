"""The namespace of our operators in `torch.ops`.

A build for the kernels hub replaces this file by one with a namespace of its own, so that several
builds, and this package, live in one process. What both files offer is `ops` and
`add_op_namespace_prefix`.
"""

from __future__ import annotations

import torch

ops = torch.ops.kobert


def add_op_namespace_prefix(op_name: str) -> str:
    """The full name of an operator."""
    return f"kobert::{op_name}"
