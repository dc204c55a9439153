"""Whether packed documents see each other, in any model of `transformers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kobert_kit.drop_in.packed import packed
from kobert_vocab.errors import InputError


@torch.no_grad()
def leak(model: PreTrainedModel, lengths: Sequence[int] = (37, 8, 64, 1, 20)) -> float:
    """How far documents of one row move when another one of them is changed.

    Random documents are packed end to end, with all that tells a model so (`packed`); each in its
    turn is replaced by another of the same length. Without leaks the others do not move by a bit.

    Args:
        model: in any attention implementation; run without dropout, and left as it was.
        lengths: tokens of each document.

    Returns:
        The greatest change of a number in the last hidden state, of all tokens of the documents
        that were not changed; 0.0 means that none leaks.

    Raises:
        InputError: there are fewer than two documents, one is empty or longer than the model's
            positions, or the model refuses the batch.
    """
    if len(lengths) < 2:
        raise InputError(f"a leak is from one document to another: got {len(lengths)}, give two")
    words = model.config.vocab_size
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(words, (sum(lengths),), generator=draw)
    # Every token of a document becomes another one.
    others = (ids + torch.randint(1, words, ids.shape, generator=draw)) % words
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    with _evaluating(model):
        before = _hidden(model, ids, lengths)
        changes = [
            (_hidden(model, torch.where(owner == number, others, ids), lengths) - before)
            .abs()[(owner != number).to(before.device)]
            .max()
            for number in range(len(lengths))
        ]
    return float(torch.stack(changes).max())


def _hidden(model: PreTrainedModel, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """[T, h], the last hidden state of documents with these ids."""
    ends = list(accumulate(lengths))
    documents = [
        ids[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)
    ]
    batch = {
        name: value.to(model.device) if isinstance(value, Tensor) else value
        for name, value in packed(documents, model.config).items()
    }
    hidden: Tensor = model.base_model(**batch).last_hidden_state[0]
    return hidden


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout; afterwards each module is in its mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
