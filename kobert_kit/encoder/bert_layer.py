"""Classic BERT's embeddings and layer. Shapes: T tokens, h hidden size, H heads, D head size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kobert_kernels import attention_packed, bias_gelu, embedding, layer_norm
from kobert_kit.encoder.config import EncoderConfig


def _norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps)


class BertEmbeddings(nn.Module):
    """Word + position + segment, normalised; of ELECTRA perhaps made wider."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        size, first = config.embedding_width, config.first_position
        self.words = nn.Embedding(config.vocab_size, size, padding_idx=config.pad_id)
        self.positions = nn.Embedding(first + config.max_positions, size)
        self.segments = nn.Embedding(config.segments, size)
        self.norm = nn.LayerNorm(size, eps=config.norm_eps)
        self.widen = nn.Linear(size, config.hidden_size) if size != config.hidden_size else None

    def forward(self, tokens: Tensor, positions: Tensor, segments: Tensor, seed: Tensor) -> Tensor:
        """Vectors [T, h] of int tokens, positions, segments [T]."""
        config = self.config
        x = embedding(
            tokens,
            self.words.weight,
            positions=positions,
            position_table=self.positions.weight[config.first_position :],
            segments=segments if config.segments > 1 else torch.zeros_like(segments),
            segment_table=self.segments.weight,
            weight=self.norm.weight,
            bias=self.norm.bias,
            eps=self.norm.eps,
            dropout=config.hidden_dropout if self.training else 0.0,
            seed=seed,
            padding_idx=config.pad_id,
        )
        return x if self.widen is None else self.widen(x)


class BertLayer(nn.Module):
    """Self-attention and feed-forward, each with dropout, residual and norm after it.

    The biases of three of the four linear layers are added by the op that follows.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        h = config.hidden_size
        self.qkv = nn.Linear(h, 3 * h)
        self.attention_out = nn.Linear(h, h)
        self.attention_norm = _norm(config)
        self.feed_forward_in = nn.Linear(h, config.intermediate_size)
        self.feed_forward_out = nn.Linear(config.intermediate_size, h)
        self.feed_forward_norm = _norm(config)

    def forward(self, x: Tensor, cu_seqlens: Tensor, max_seqlen: int, seeds: Tensor) -> Tensor:
        """Vectors [T, h] to vectors [T, h]; ``seeds`` int64[3]."""
        config = self.config
        hidden_dropout = config.hidden_dropout if self.training else 0.0
        context = attention_packed(
            self.qkv(x).view(-1, 3, config.heads, config.head_size),
            cu_seqlens,
            max_seqlen,
            dropout=config.attention_dropout if self.training else 0.0,
            seed=seeds[0:1],
        )
        x = self._normed(
            F.linear(context.flatten(1), self.attention_out.weight),
            self.attention_out.bias,
            residual=x,
            norm=self.attention_norm,
            dropout=hidden_dropout,
            seed=seeds[1:2],
        )
        inner = F.linear(x, self.feed_forward_in.weight)
        inner = bias_gelu(inner, self.feed_forward_in.bias, approximate=config.gelu_form)
        return self._normed(
            F.linear(inner, self.feed_forward_out.weight),
            self.feed_forward_out.bias,
            residual=x,
            norm=self.feed_forward_norm,
            dropout=hidden_dropout,
            seed=seeds[2:3],
        )

    @staticmethod
    def _normed(
        x: Tensor,
        bias: Tensor,
        *,
        residual: Tensor,
        norm: nn.LayerNorm,
        dropout: float,
        seed: Tensor,
    ) -> Tensor:
        normed: Tensor = layer_norm(
            *(x, norm.weight, norm.bias),
            residual=residual,
            linear_bias=bias,
            eps=norm.eps,
            dropout=dropout,
            seed=seed,
        )
        return normed
