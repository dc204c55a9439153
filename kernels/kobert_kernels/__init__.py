"""Fused Triton kernels for BERT, each beside its plain PyTorch reference."""

from .attention import attention, attention_reference
from .layer_norm import layer_norm, layer_norm_reference

__all__ = ["attention", "attention_reference", "layer_norm", "layer_norm_reference"]
