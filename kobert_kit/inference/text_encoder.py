"""Texts to vectors, without padding. Shapes: N texts, h hidden size, T tokens of S sequences."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from kobert_kit.encoder import Encoder
from kobert_kit.encoder.huggingface.hub import local_folder
from kobert_kit.inference.packs import TOKENS, Pack, Tokens, by_length
from kobert_kit.tokenizer_file import read_tokenizer
from kobert_vocab.errors import InputError

logger = logging.getLogger(__name__)
Pooling = Literal["mean", "first"]


class TextEncoder:
    """A model folder, or a model of the hub, that gives vectors of texts.

    Args:
        model: what `Encoder.from_pretrained` takes, with ``tokenizer.json``.
        device: to work on; a CUDA device where there is one if not given.
        bf16: whether matrix products are in bf16, which has two to three digits.

    Raises:
        InputError: not a model, or one without ``tokenizer.json``.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | torch.device | None = None,
        bf16: bool = False,
    ) -> None:
        folder = local_folder(model)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.encoder = Encoder.from_pretrained(folder).to(self.device)
        self._bf16 = bf16
        self.tokenizer = read_tokenizer(folder, self.encoder.config.vocab_size)
        self.tokenizer.enable_truncation(self.encoder.config.max_positions)

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        *,
        pooling: Pooling = "mean",
        normalise: bool = False,
        progress: bool = True,
    ) -> npt.NDArray[np.float32]:
        """A vector of each text, [N, h], in the order of the texts.

        What is longer than the model takes is cut off, and a warning says how many texts were.

        Args:
            texts: to encode.
            pooling: the mean of the vectors of all tokens, or that of the first one, ``[CLS]``.
            normalise: make each vector's length 1, so that their products are cosines.
            progress: show a bar, on a terminal.

        Raises:
            InputError: a text has no token, not even one that is put around it.
        """
        sequences = self._tokens(texts)
        found = torch.empty(len(texts), self.encoder.config.hidden_size)
        groups = by_length([len(s.ids) for s in sequences], TOKENS[self.device.type])
        with tqdm(
            total=len(texts), unit="text", desc="encode", disable=None if progress else True
        ) as bar:
            for group in groups:
                pack = Pack.of([sequences[number] for number in group], self.device)
                found[group] = self._pooled(pack, pooling).float().cpu()
                bar.update(len(group))
        if normalise:
            found = torch.nn.functional.normalize(found, dim=1)
        return found.numpy()

    def _tokens(self, texts: Sequence[str]) -> list[Tokens]:
        encodings = self.tokenizer.encode_batch(list(texts))
        for text, encoding in zip(texts, encodings, strict=True):
            if not encoding.ids:  # of a tokenizer that puts nothing around a text
                raise InputError(f"the text {text!r} has no token; leave it out")
        cut = sum(bool(encoding.overflowing) for encoding in encodings)
        if cut:
            longest = self.encoder.config.max_positions
            logger.warning("%d of %d texts were cut off at %d tokens", cut, len(texts), longest)
        return [Tokens(encoding.ids, encoding.type_ids) for encoding in encodings]

    def _pooled(self, pack: Pack, pooling: Pooling) -> Tensor:
        """[S, h]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            x: Tensor = self.encoder(**vars(pack))
        if pooling == "first":
            return x[pack.cu_seqlens[:-1].long()]
        lengths = pack.cu_seqlens.diff()
        means: Tensor = torch.segment_reduce(x.float(), "mean", lengths=lengths.long())
        return means
