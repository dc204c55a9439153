"""BERT without padding: all sequences of a batch lie end to end, from the embedding on.

Shapes: T tokens of all S sequences, h hidden size, M masked positions, V vocabulary.

Dropout masks are drawn from one seed tensor, ``seed`` int64[1]; each place that drops takes its own
number from it, so a step can be repeated bit for bit on any device.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kobert_kernels import layer_norm, linear_cross_entropy
from kobert_kit.encoder.bert_layer import BertEmbeddings, BertLayer
from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.huggingface import read_folder, write_folder
from kobert_kit.encoder.masked_language_head import MaskedLanguageHead
from kobert_kit.encoder.modern_layer import ModernEmbeddings, ModernLayer
from kobert_kit.encoder.rotary import RotaryTable
from kobert_kit.encoder.tensor_names import Weights
from kobert_vocab.errors import InputError

logger = logging.getLogger(__name__)

SEEDS_PER_LAYER = 3  # attention weights, attention output, feed-forward layer


class Encoder(nn.Module):
    """Embeddings and layers of either family; of classic BERT also a pooled vector per sequence."""

    recompute = False
    """Keep only the input of each layer, and compute the layer again in the backward pass."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        if config.family == "bert":
            self.embeddings: BertEmbeddings | ModernEmbeddings = BertEmbeddings(config)
            self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.layers))
            self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        else:
            table = (config.max_positions, config.head_size)
            self.embeddings = ModernEmbeddings(config)
            self.layers = nn.ModuleList(ModernLayer(config, n) for n in range(config.layers))
            self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
            self.global_rotary = RotaryTable(*table, config.global_rotary_base)
            self.local_rotary = RotaryTable(*table, config.local_rotary_base)

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
            positions: [T] int, each token's place in its sequence; modern counts them itself.
            segments: [T] int, 0 for sentence A and 1 for sentence B; modern makes no difference.
            cu_seqlens: [S+1] int32, where each sequence begins.
            max_seqlen: length of the longest sequence.
            seed: int64[1], needed in training mode.

        Returns:
            [T, h].

        Raises:
            ValueError: training mode without a seed.
        """
        seeds = self._seeds(seed, tokens.device)
        of_layers = seeds[1:].view(-1, SEEDS_PER_LAYER).unbind()
        if self.config.family == "modern":
            return self._modern(tokens, cu_seqlens, max_seqlen, of_layers)
        x: Tensor = self.embeddings(tokens, positions, segments, seeds[0:1])
        for layer, own in zip(self.layers, of_layers, strict=True):
            x = self._through(layer, x, cu_seqlens, max_seqlen, own)
        return x

    def _through(self, layer: nn.Module, *arguments: Any) -> Any:  # noqa: ANN401  # a layer's own
        if self.recompute and torch.is_grad_enabled():
            # Dropout is a function of the seeds, so there is no other state to put back.
            return checkpoint(layer, *arguments, use_reentrant=False, preserve_rng_state=False)
        return layer(*arguments)

    def _modern(
        self, tokens: Tensor, cu_seqlens: Tensor, max_seqlen: int, seeds: Sequence[Tensor]
    ) -> Tensor:
        tables = {True: self.global_rotary(), False: self.local_rotary()}
        added, residual = self.embeddings(tokens), None
        for number, (layer, own) in enumerate(zip(self.layers, seeds, strict=True)):
            rotary = tables[self.config.is_global(number)]
            added, residual = self._through(
                layer, added, residual, cu_seqlens, max_seqlen, rotary, own
            )
        norm = self.final_norm
        x: Tensor = layer_norm(added, norm.weight, residual=residual, eps=norm.eps)
        return x

    def pooled(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
        """[S, h] from the first token of each sequence.

        Raises:
            ValueError: the family is not classic BERT.
        """
        if self.config.family == "modern":
            raise ValueError("modern has no pooler; take a sequence's first vector, or their mean")
        return torch.tanh(self.pooler(x[cu_seqlens[:-1].long()]))

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """The encoder of any Hugging Face BERT or ModernBERT folder, in evaluation mode.

        Raises:
            InputError: the folder holds neither, or not all of the encoder.
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


class PretrainingModel(nn.Module):
    """An encoder with BERT's two heads, masked words and next sentence; modern has the first."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.masked_language = MaskedLanguageHead(config)
        if config.family == "bert":
            self.next_sentence = nn.Linear(config.hidden_size, 2)

    def initialise(self, generator: torch.Generator) -> None:
        """The family's start: matrices and embeddings a cut normal, biases 0, norms 1.

        In modern what writes into the residual starts narrower, by 1/sqrt(2 layers), and so does
        the head's matrix: as `transformers` starts ModernBERT.
        """
        narrow = ("attention_out", "feed_forward_out", "masked_language.dense")
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                std = self.config.init_std
                if self.config.family == "modern" and name.endswith(narrow):
                    std /= math.sqrt(2 * self.config.layers)
                nn.init.trunc_normal_(
                    module.weight, std=std, a=-2 * std, b=2 * std, generator=generator
                )
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
            if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.masked_language.bias)

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """The model of a BERT or ModernBERT folder with a masked-language head, in evaluation mode.

        Raises:
            InputError: the folder holds neither, or not its masked-language head.
        """
        config, weights = read_folder(folder)
        model = cls(config)
        model.initialise(torch.Generator().manual_seed(0))
        _load(model, weights, folder, may_lack=("encoder.pooler.", "next_sentence."))
        return model.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into an existing folder.

        `AutoModelForMaskedLM` of `transformers` loads it, and of classic BERT also
        `AutoModelForPreTraining`.
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
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """A batch in training; see `Encoder.forward` and `masked_loss` for its parts.

        Returns:
            Mean loss of the masked positions, how many of them are right, and the next-sentence
            logits [S, 2] if there is such a head.
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
    ) -> tuple[Tensor, Tensor | None]:
        """[M, V] of the masked positions and [S, 2] of the next sentence, if there is that head."""
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

    def next_sentence_logits(self, x: Tensor, cu_seqlens: Tensor) -> Tensor | None:
        """[S, 2]; class 0 is "B follows A", class 1 is "B is random". None of modern: no head."""
        if self.config.family == "modern":
            return None
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
