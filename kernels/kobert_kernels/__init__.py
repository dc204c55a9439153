"""Fused Triton kernels for BERT, each beside its plain PyTorch reference."""

from .attention import attention, attention_packed, attention_reference
from .bias_gelu import bias_gelu, bias_gelu_reference
from .cross_entropy import (
    cross_entropy,
    cross_entropy_reference,
    linear_cross_entropy,
    linear_cross_entropy_reference,
)
from .dispatch import configure, read_environment, use
from .embedding import embedding, embedding_reference
from .geglu import geglu, geglu_reference
from .layer_norm import layer_norm, layer_norm_reference

read_environment()

__all__ = [
    "attention",
    "attention_packed",
    "attention_reference",
    "bias_gelu",
    "bias_gelu_reference",
    "configure",
    "cross_entropy",
    "cross_entropy_reference",
    "embedding",
    "embedding_reference",
    "geglu",
    "geglu_reference",
    "layer_norm",
    "layer_norm_reference",
    "linear_cross_entropy",
    "linear_cross_entropy_reference",
    "use",
]
