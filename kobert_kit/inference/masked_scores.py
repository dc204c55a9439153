"""How likely a model holds each token of a text to be, from all others of the text.

Each token is masked in turn and predicted (Salazar et al., "Masked language model scoring", 2020).
Shapes: T tokens, M masked positions, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from kobert_kit.encoder import PretrainingModel
from kobert_kit.encoder.huggingface.hub import local_folder
from kobert_kit.inference.packs import TOKENS, Pack, Tokens, by_length
from kobert_kit.tokenizer_file import mask_of, read_tokenizer
from kobert_vocab.errors import InputError

LOGITS = 1 << 27  # at a time, 512 MB: short texts have many masked positions to a pack


@dataclass(frozen=True)
class MaskedScores:
    """Of one text."""

    pieces: list[str]
    """Its tokens, without those around it such as ``[CLS]``."""
    log_probabilities: npt.NDArray[np.float32]
    """Of each of them in its place, in nats, [T]."""
    characters: int
    """Of the text."""

    @property
    def pseudo_perplexity(self) -> float:
        """The power of e to the mean loss of a token; a vocabulary changes it."""
        return math.exp(-self.log_probabilities.mean())

    @property
    def bits_per_character(self) -> float:
        """Losses in bits, summed, over the characters: vocabularies can be compared by it."""
        return float(-self.log_probabilities.sum()) / math.log(2) / self.characters


def pseudo_perplexity(scores: Sequence[MaskedScores]) -> float:
    """That of texts together: e to the mean loss of all their tokens."""
    return math.exp(-np.concatenate([one.log_probabilities for one in scores]).mean())


class MaskedScorer:
    """A model folder, or a model of the hub, that scores texts.

    Args:
        model: what `PretrainingModel.from_pretrained` takes, with ``tokenizer.json``.
        device: to work on; a CUDA device where there is one if not given.
        bf16: whether matrix products are in bf16.

    Raises:
        InputError: not a model with a masked-language head, or one without ``tokenizer.json``.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | torch.device | None = None,
        bf16: bool = False,
    ) -> None:
        folder = local_folder(model)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._model = PretrainingModel.from_pretrained(folder).to(self._device)
        self._bf16 = bf16
        self._tokenizer = read_tokenizer(folder, self._model.config.vocab_size)
        _, self._mask = mask_of(self._tokenizer, folder)

    @torch.inference_mode()
    def score(self, texts: Sequence[str], *, progress: bool = True) -> list[MaskedScores]:
        """Scores of each text. A text of n tokens is read n times.

        Args:
            texts: each with at least one token and no more than the model takes.
            progress: show a bar, on a terminal.

        Raises:
            InputError: a text is empty or too long.
        """
        encodings = self._tokenizer.encode_batch(list(texts))
        inside = [
            [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
            for encoding in encodings
        ]
        self._check(texts, [len(encoding.ids) for encoding in encodings], inside)
        places = [(number, place) for number, own in enumerate(inside) for place in own]
        lengths = [len(encodings[number].ids) for number, _ in places]
        found = torch.empty(len(places))
        with tqdm(
            total=len(places), unit="token", desc="score", disable=None if progress else True
        ) as bar:
            for group in by_length(lengths, TOKENS[self._device.type]):
                asked = [places[one] for one in group]
                found[group] = self._log_probabilities(
                    [Tokens(encodings[n].ids, encodings[n].type_ids) for n, _ in asked],
                    [place for _, place in asked],
                )
                bar.update(len(group))
        parts = torch.split(found, [len(own) for own in inside])
        return [
            MaskedScores([encoding.tokens[place] for place in own], part.numpy(), len(text))
            for text, encoding, own, part in zip(texts, encodings, inside, parts, strict=True)
        ]

    def _check(self, texts: Sequence[str], lengths: list[int], inside: list[list[int]]) -> None:
        longest = self._model.config.max_positions
        for text, length, own in zip(texts, lengths, inside, strict=True):
            if not own:
                raise InputError(f"the text {text!r} has no token; leave it out")
            if length > longest:
                raise InputError(
                    f"the text {text[:20]!r}... has {length} tokens; this model takes {longest}"
                )

    def _log_probabilities(self, sequences: list[Tokens], places: list[int]) -> torch.Tensor:
        """Of the token at one place of each sequence, [M]."""
        pack = Pack.of(sequences, self._device)
        masked = pack.cu_seqlens[:-1].long() + torch.tensor(places, device=self._device)
        hidden = pack.tokens[masked].long()
        pack.tokens[masked] = self._mask
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            x = self._model.encoder(**vars(pack))
            rows = max(1, LOGITS // self._model.config.vocab_size)
            scores = [
                self._model.masked_logits(x, some).float().log_softmax(1).gather(1, words[:, None])
                for some, words in zip(
                    torch.split(masked, rows), torch.split(hidden, rows), strict=True
                )
            ]
        return torch.cat(scores).squeeze(1).cpu()
