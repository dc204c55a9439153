"""Fill ``[MASK]`` in a text, with our model folder or any that `PretrainingModel` can load."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kobert_kit.encoder import PretrainingModel
from kobert_kit.encoder.huggingface.hub import local_folder
from kobert_kit.tokenizer_file import mask_of, read_tokenizer
from kobert_vocab.errors import InputError

MASK = "[MASK]"


@dataclass(frozen=True)
class Fill:
    """One piece for one mask."""

    piece: str
    probability: float


@dataclass(frozen=True)
class _Sequence:
    """A text as the model takes it, [T] each."""

    ids: Tensor
    segments: Tensor
    around: Tensor
    """Whether a token is none of the text's own: [CLS] and [SEP] about it."""


class MaskFiller:
    """A model folder, or a model of the hub, opened for filling masks.

    Raises:
        InputError: it lacks a model with a masked-language head, or its ``tokenizer.json``.
    """

    def __init__(self, model: str | Path) -> None:
        folder = local_folder(model)
        self._model = PretrainingModel.from_pretrained(folder)
        self._tokenizer = read_tokenizer(folder, self._model.config.vocab_size)
        self._own, self._mask = mask_of(self._tokenizer, folder)

    @torch.no_grad()
    def fill(self, text: str, top: int = 5) -> list[list[Fill]]:
        """The ``top`` pieces for each mask of ``text``, best first.

        Raises:
            InputError: no mask in the text, more tokens than the model takes, or ``top`` is not
                between 1 and the size of the vocabulary.
        """
        size = self._model.config.vocab_size
        if not 1 <= top <= size:
            raise InputError(f"top is {top}; it must lie between 1 and the {size} pieces there are")
        best = self._shares(self._encoded(text)).topk(top)
        return [
            [Fill(self._piece(i), p) for i, p in zip(ids, shares, strict=True)]
            for ids, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    @torch.no_grad()
    def filled(self, text: str) -> str:
        """``text`` with all masks filled, as the vocabulary reads it.

        The surest mask is filled first and the others are looked at again, so that neighbours fit
        each other. A piece that begins a word brings its space.

        Raises:
            InputError: as `fill`.
        """
        sequence = self._encoded(text)
        while len(masked := self._masked(sequence.ids)):
            shares = self._shares(sequence)
            shares[:, self._mask] = 0  # a mask is no filling
            surest, piece = divmod(int(shares.argmax()), shares.shape[1])
            sequence.ids[masked[surest]] = piece
        ids: list[int] = sequence.ids[~sequence.around].tolist()
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _encoded(self, text: str) -> "_Sequence":
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half a surrogate pair: bytes that were not UTF-8
            raise InputError(f"the text {text!r} is not UTF-8; convert it") from error
        encoding = self._tokenizer.encode(text.replace(MASK, self._own))
        ids = torch.tensor(encoding.ids)
        longest = self._model.config.max_positions
        if len(self._masked(ids)) == 0:
            raise InputError(
                f"no {MASK} in the text {text!r}; put one where a word is to be filled"
            )
        if len(ids) > longest:
            raise InputError(f"the text has {len(ids)} tokens; this model takes {longest}")
        segments = torch.tensor(encoding.type_ids)
        return _Sequence(
            ids, segments, torch.tensor(encoding.special_tokens_mask, dtype=torch.bool)
        )

    def _masked(self, ids: Tensor) -> Tensor:
        return (ids == self._mask).nonzero().flatten()

    def _shares(self, sequence: "_Sequence") -> Tensor:
        """[M, V] of each piece at each mask, together 1."""
        count = len(sequence.ids)
        x = self._model.encoder(
            sequence.ids,
            torch.arange(count),
            sequence.segments,
            torch.tensor([0, count], dtype=torch.int32),
            count,
        )
        return self._model.masked_logits(x, self._masked(sequence.ids)).softmax(1)

    def _piece(self, token: int) -> str:
        piece = self._tokenizer.id_to_token(token)
        return piece if piece is not None else f"<{token}>"  # ids past the vocabulary: padding
