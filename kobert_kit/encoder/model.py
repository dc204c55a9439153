"""BERT without padding: all sequences of a batch lie end to end, from the embedding on.

Shapes: T tokens of all S sequences, h hidden size, M masked positions, V vocabulary.

Dropout masks are drawn from one seed tensor, ``seed`` int64[1]; each place that drops takes its own
number from it, so a step can be repeated bit for bit on any device.
"""

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
from kobert_kit.encoder.huggingface.folder import open_folder, write_folder
from kobert_kit.encoder.masked_language_head import MaskedLanguageHead
from kobert_kit.encoder.modern_layer import ModernEmbeddings, ModernLayer
from kobert_kit.encoder.rotary import RotaryTable

SEEDS_PER_LAYER = 3  # attention weights, attention output, feed-forward layer
PREFIX = "encoder."  # of the encoder's names within a model


class Encoder(nn.Module):
    """Embeddings and layers of either family.

    Args:
        config: its shape.
        pooler: whether it has the layer that makes a sequence's vector of that of its first token.
    """

    recompute = False
    """Keep only the input of each layer, and compute the layer again in the backward pass."""

    def __init__(self, config: EncoderConfig, *, pooler: bool = False) -> None:
        super().__init__()
        self.config = config
        if config.family == "bert":
            self.embeddings: BertEmbeddings | ModernEmbeddings = BertEmbeddings(config)
            self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.layers))
        else:
            table = (config.max_positions, config.head_size)
            self.embeddings = ModernEmbeddings(config)
            self.layers = nn.ModuleList(ModernLayer(config, n) for n in range(config.layers))
            self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
            self.global_rotary = RotaryTable(*table, config.global_rotary_base)
            self.local_rotary = RotaryTable(*table, config.local_rotary_base)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if pooler else None

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
            ValueError: the encoder has no pooler; ModernBERT and ELECTRA never have.
        """
        if self.pooler is None:
            raise ValueError("no pooler; take a sequence's first vector, or the mean of all")
        return torch.tanh(self.pooler(x[cu_seqlens[:-1].long()]))

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """The encoder in a Hugging Face folder, or of a model of the hub, in evaluation mode.

        What can be loaded: BERT, RoBERTa, XLM-R, CamemBERT, ELECTRA, ModernBERT.

        Args:
            model: a folder with ``config.json`` and weights, or a name such as ``klue/bert-base``.

        Raises:
            InputError: it holds none of these, or not all of the encoder.
        """
        with open_folder(model) as given:
            pooler = given.has("encoder.pooler.weight")
            encoder = given.load(lambda: cls(given.config, pooler=pooler), within=PREFIX)
        return encoder.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into an existing folder.

        They are those of `BertModel`, `RobertaModel` and so on, which `AutoModel` loads.
        """
        weights = {f"{PREFIX}{name}": tensor for name, tensor in self.state_dict().items()}
        write_folder(folder, self.config, weights)

    def _seeds(self, seed: Tensor | None, device: torch.device) -> Tensor:
        count = 1 + SEEDS_PER_LAYER * self.config.layers
        if seed is None:
            if self.training:
                raise ValueError("training mode draws dropout masks: pass seed, int64[1]")
            return torch.zeros(count, dtype=torch.int64, device=device)
        return seed + torch.arange(count, device=device)


class PretrainingModel(nn.Module):
    """An encoder with the head for masked words, and of BERT that for the next sentence.

    Args:
        config: shape of the encoder.
        next_sentence: whether there is the second head, in an architecture that has it.
    """

    def __init__(self, config: EncoderConfig, *, next_sentence: bool = True) -> None:
        super().__init__()
        two = next_sentence and config.model_type == "bert"
        self.config = config
        self.encoder = Encoder(config, pooler=two)
        self.masked_language = MaskedLanguageHead(config)
        self.next_sentence = nn.Linear(config.hidden_size, 2) if two else None

    def initialise(self, generator: torch.Generator, *, only: tuple[str, ...] = ("",)) -> None:
        """The family's start: matrices and embeddings a cut normal, biases 0, norms 1.

        In modern what writes into the residual starts narrower, by 1/sqrt(2 layers), and so does
        the head's matrix: as `transformers` starts ModernBERT.

        Args:
            generator: draws the normal.
            only: how the names of the parts begin that start so.
        """
        narrow = ("attention_out", "feed_forward_out", "masked_language.dense")
        for name, module in self.named_modules():
            if not name.startswith(only):
                continue
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
        if "masked_language".startswith(only):
            nn.init.zeros_(self.masked_language.bias)

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """The model in a Hugging Face folder, or of the hub, in evaluation mode.

        It has the heads that are there; see `Encoder.from_pretrained`.

        Raises:
            InputError: it is none that can be loaded, or has no masked-language head.
        """
        with open_folder(model) as given:
            two = given.has("next_sentence.weight")
            loaded = given.load(lambda: cls(given.config, next_sentence=two))
        return loaded.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into an existing folder.

        `AutoModelForMaskedLM` of `transformers` loads it, and with both heads also
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
        """[S, 2]; class 0 is "B follows A", class 1 is "B is random". None without such a head."""
        if self.next_sentence is None:
            return None
        logits: Tensor = self.next_sentence(self.encoder.pooled(x, cu_seqlens))
        return logits
