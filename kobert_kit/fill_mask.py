"""Fill ``[MASK]`` in a text, with our model folder or any Hugging Face BERT or ModernBERT."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from kobert_kit.encoder import PretrainingModel
from kobert_vocab.errors import InputError

MASK = "[MASK]"


@dataclass(frozen=True)
class Fill:
    """One piece for one mask."""

    piece: str
    probability: float


class MaskFiller:
    """A model folder opened for filling masks.

    Raises:
        InputError: the folder lacks a BERT or its ``tokenizer.json``.
    """

    def __init__(self, folder: Path) -> None:
        self._model = PretrainingModel.from_pretrained(folder)
        path = folder / "tokenizer.json"
        if not path.exists():
            raise InputError(
                f"{folder}: no tokenizer.json; write one with transformers: "
                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
        text = path.read_text(encoding="utf-8", errors="replace")
        try:  # here, since the tokenizer's own errors are of no kind that could be told apart
            json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: not JSON ({error}); copy it again") from error
        self._tokenizer = Tokenizer.from_str(text)
        mask = self._tokenizer.token_to_id(MASK)
        if mask is None:
            raise InputError(f"{path}: the vocabulary has no {MASK}")
        self._mask = mask

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
        encoding = self._tokenizer.encode(text)
        ids = torch.tensor(encoding.ids)
        masked = (ids == self._mask).nonzero().flatten()
        longest = self._model.config.max_positions
        if len(masked) == 0:
            raise InputError(
                f"no {MASK} in the text {text!r}; put one where a word is to be filled"
            )
        if len(ids) > longest:
            raise InputError(f"the text has {len(ids)} tokens; this model takes {longest}")
        x = self._model.encoder(
            ids,
            torch.arange(len(ids)),
            torch.tensor(encoding.type_ids),
            torch.tensor([0, len(ids)], dtype=torch.int32),
            len(ids),
        )
        best = self._model.masked_logits(x, masked).softmax(1).topk(top)
        return [
            [Fill(self._piece(i), p) for i, p in zip(ids, shares, strict=True)]
            for ids, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _piece(self, token: int) -> str:
        piece = self._tokenizer.id_to_token(token)
        return piece if piece is not None else f"<{token}>"  # ids past the vocabulary: padding
