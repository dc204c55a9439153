"""BERT without padding: all sequences of a batch lie end to end, from the embedding on.

Shapes: T tokens of all S sequences, h hidden size, H heads, D head size, M masked positions,
V vocabulary.

Dropout masks are drawn from one seed tensor, ``seed`` int64[1]; each place that drops takes its own
number from it, so a step can be repeated bit for bit on any device.
"""

import logging
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kobert_kernels import (
    attention_packed,
    bias_gelu,
    embedding,
    layer_norm,
    linear_cross_entropy,
)
from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.huggingface import Weights, read_folder, write_folder
from kobert_vocab.errors import InputError

logger = logging.getLogger(__name__)

SEEDS_PER_LAYER = 3  # attention weights, attention output, feed-forward output


def _norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps)


def _gelu(x: Tensor, bias: Tensor, config: EncoderConfig) -> Tensor:
    tanh = config.activation == "gelu_tanh"
    return bias_gelu(x, bias, approximate="tanh" if tanh else "none")


class Embeddings(nn.Module):
    """Word + position + segment, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_id)
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.segments = nn.Embedding(config.segments, config.hidden_size)
        self.norm = _norm(config)

    def forward(self, tokens: Tensor, positions: Tensor, segments: Tensor, seed: Tensor) -> Tensor:
        """Vectors [T, h] of int tokens, positions, segments [T]."""
        return embedding(
            tokens,
            self.words.weight,
            positions=positions,
            position_table=self.positions.weight,
            segments=segments,
            segment_table=self.segments.weight,
            weight=self.norm.weight,
            bias=self.norm.bias,
            eps=self.norm.eps,
            dropout=self.config.hidden_dropout if self.training else 0.0,
            seed=seed,
            padding_idx=self.config.pad_id,
        )


class Layer(nn.Module):
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
        inner = _gelu(inner, self.feed_forward_in.bias, config)
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


class Encoder(nn.Module):
    """Embeddings, layers, and a pooled vector per sequence."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        segments: Tensor,
        cu_seqlens: Tensor,
        max_seqlen: int,
        seed: Tensor | None = None,
    ) -> Tensor:
        """Vectors of all tokens.

        Args:
            tokens: [T] int, all sequences end to end.
            positions: [T] int, each token's place in its sequence.
            segments: [T] int, 0 for sentence A and 1 for sentence B.
            cu_seqlens: [S+1] int32, where each sequence begins.
            max_seqlen: length of the longest sequence.
            seed: int64[1], needed in training mode.

        Returns:
            [T, h].

        Raises:
            ValueError: training mode without a seed.
        """
        seeds = self._seeds(seed, tokens.device)
        x: Tensor = self.embeddings(tokens, positions, segments, seeds[0:1])
        for number, layer in enumerate(self.layers):
            first = 1 + SEEDS_PER_LAYER * number
            x = layer(x, cu_seqlens, max_seqlen, seeds[first : first + SEEDS_PER_LAYER])
        return x

    def pooled(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """[S, h] from the first token of each sequence."""
        return torch.tanh(self.pooler(x[cu_seqlens[:-1].long()]))

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """The encoder of any Hugging Face BERT folder, in evaluation mode.

        Raises:
            InputError: the folder holds no BERT, or not all of the encoder.
        """
        config, weights = read_folder(folder)
        encoder = cls(config)
        prefix = "encoder."
        own = {
            name.removeprefix(prefix): weight
            for name, weight in weights.items()
            if name.startswith(prefix)
        }
        _load(encoder, own, folder, may_lack=("pooler.",))
        return encoder.eval()

    def _seeds(self, seed: Tensor | None, device: torch.device) -> Tensor:
        count = 1 + SEEDS_PER_LAYER * self.config.layers
        if seed is None:
            if self.training:
                raise ValueError("training mode draws dropout masks: pass seed, int64[1]")
            return torch.zeros(count, dtype=torch.int64, device=device)
        return seed + torch.arange(count, device=device)


class MaskedLanguageHead(nn.Module):
    """Logits over the vocabulary; the matrix is the word embedding's own."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.config = config
        self.norm = _norm(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def hidden(self, x: Tensor) -> Tensor:
        """[M, h] from vectors [M, h]: what the word vectors are compared with."""
        x = _gelu(F.linear(x, self.dense.weight), self.dense.bias, self.config)
        normed: Tensor = layer_norm(x, self.norm.weight, self.norm.bias, eps=self.norm.eps)
        return normed

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """[M, V] from vectors [M, h] and the word embedding [V, h]."""
        return F.linear(self.hidden(x), words, self.bias)


class PretrainingModel(nn.Module):
    """An encoder with BERT's two heads: masked words and next sentence."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.masked_language = MaskedLanguageHead(config)
        self.next_sentence = nn.Linear(config.hidden_size, 2)

    def initialise(self, generator: torch.Generator) -> None:
        """BERT's start: matrices and embeddings a cut normal, biases 0, norms 1."""
        std = self.config.init_std
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.trunc_normal_(
                    module.weight, std=std, a=-2 * std, b=2 * std, generator=generator
                )
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.masked_language.bias)

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """The model of a Hugging Face BERT folder with a masked-language head, in evaluation mode.

        Raises:
            InputError: the folder holds no BERT, or not its masked-language head.
        """
        config, weights = read_folder(folder)
        model = cls(config)
        model.initialise(torch.Generator().manual_seed(0))
        _load(model, weights, folder, may_lack=("encoder.pooler.", "next_sentence."))
        return model.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into an existing folder.

        `AutoModelForMaskedLM` and `AutoModelForPreTraining` of `transformers` load it.
        """
        write_folder(folder, self.config, self.state_dict())

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        segments: Tensor,
        cu_seqlens: Tensor,
        max_seqlen: int,
        masked: Tensor,
        labels: Tensor,
        seed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A batch in training; see `Encoder.forward` and `masked_loss` for its parts.

        Returns:
            Mean loss of the masked positions, how many of them are right, and the next-sentence
            logits [S, 2].
        """
        x = self.encoder(tokens, positions, segments, cu_seqlens, max_seqlen, seed)
        return *self.masked_loss(x, masked, labels), self.next_sentence_logits(x, cu_seqlens)

    def logits(
        self,
        tokens: Tensor,
        positions: Tensor,
        segments: Tensor,
        cu_seqlens: Tensor,
        max_seqlen: int,
        masked: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """[M, V] of the masked positions and [S, 2] of the next sentence."""
        x = self.encoder(tokens, positions, segments, cu_seqlens, max_seqlen)
        return self.masked_logits(x, masked), self.next_sentence_logits(x, cu_seqlens)

    def masked_logits(self, x: Tensor, masked: Tensor) -> Tensor:
        """[M, V] for the positions ``masked`` [M] of vectors [T, h]; no others are computed."""
        logits: Tensor = self.masked_language(x[masked], self.encoder.embeddings.words.weight)
        return logits

    def masked_loss(self, x: Tensor, masked: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss of the positions ``masked`` [M], and how many have the right word on top.

        Labels of -100 are unused slots. The logits never outlive the call.
        """
        hidden = self.masked_language.hidden(x[masked])
        words = self.encoder.embeddings.words.weight
        return linear_cross_entropy(hidden, words, self.masked_language.bias, labels)

    def next_sentence_logits(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """[S, 2]; class 0 is "B follows A", class 1 is "B is random"."""
        logits: Tensor = self.next_sentence(self.encoder.pooled(x, cu_seqlens))
        return logits


def _load(module: nn.Module, weights: Weights, folder: Path, may_lack: tuple[str, ...]) -> None:
    """Copy ``weights`` into ``module``; parts that ``may_lack`` names keep their fresh values."""
    own = module.state_dict()
    for name, tensor in own.items():
        given = weights.get(name)
        if given is None:
            if not name.startswith(may_lack):
                raise InputError(f"{folder}: the weights lack {name}")
            logger.info("%s: no %s; it starts fresh", folder, name)
        elif given.shape != tensor.shape:
            raise InputError(
                f"{folder}: {name} is {tuple(given.shape)}, config.json asks {tuple(tensor.shape)}"
            )
        else:
            tensor.copy_(given)
