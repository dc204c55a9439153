"""The head that predicts masked words, of both families.

Shapes: M masked positions, h hidden size, e embedding size (h, but for ELECTRA), V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kobert_kernels import bias_gelu, layer_norm
from kobert_kit.encoder.config import EncoderConfig


class MaskedLanguageHead(nn.Module):
    """Logits over the vocabulary; the matrix is the word embedding's own."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        h, e, has_biases = config.hidden_size, config.embedding_width, config.has_biases
        self.config = config
        self.dense = nn.Linear(h, e, bias=has_biases)
        self.norm = nn.LayerNorm(e, eps=config.norm_eps, bias=has_biases)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def hidden(self, x: Tensor) -> Tensor:
        """[M, e] from vectors [M, h]: what the word vectors are compared with."""
        x = F.linear(x, self.dense.weight)
        x = bias_gelu(x, self.dense.bias, approximate=self.config.gelu_form)
        normed: Tensor = layer_norm(x, self.norm.weight, self.norm.bias, eps=self.norm.eps)
        return normed

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """[M, V] from vectors [M, h] and the word embedding [V, e]."""
        return F.linear(self.hidden(x), words, self.bias)
