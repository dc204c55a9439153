"""Documents end to end in one row, as a padding-free batch of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from kobert_kit.encoder import config as encoder_config
from kobert_vocab.errors import InputError


def packed(documents: Sequence[Sequence[int]], config: PreTrainedConfig) -> dict[str, Tensor | int]:
    """The arguments of a forward pass over documents end to end in one row, T tokens in all.

    Positions begin anew with each, at the number with which the model begins. The collator of
    transformers (`DataCollatorWithFlattening`) begins at 0, which is no position of RoBERTa's.

    Args:
        documents: ids of the tokens of each, special tokens and all; none is empty.
        config: of the model.

    Returns:
        ``input_ids`` and ``position_ids`` int64 [1, T]; ``cu_seq_lens_q`` and ``cu_seq_lens_k``
        int32 [S+1] with ``max_length_q`` and ``max_length_k``, which FlashAttention reads as well.

    Raises:
        InputError: there is no document, an empty one, or one longer than the model's positions.
    """
    lengths = [len(document) for document in documents]
    if min(lengths, default=0) == 0:
        raise InputError(f"nothing to pack: {len(lengths)} documents, the shortest empty")
    first = first_position(config)
    room = config.max_position_embeddings - first
    if max(lengths) > room:
        number = lengths.index(max(lengths))
        raise InputError(
            f"document {number} has {max(lengths):,} tokens, the model has positions for {room:,}; "
            "cut it"
        )
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    ids = [token for document in documents for token in document]
    positions = torch.cat([torch.arange(first, first + length) for length in lengths])
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": positions[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def first_position(config: PreTrainedConfig) -> int:
    """The position of a document's first token."""
    return encoder_config.first_position(config.model_type, config.pad_token_id)
