"""Our attention as an attention implementation of `transformers`, under the name "kobert".

transformers calls it with queries, keys and values of padded rows. It takes the tokens of documents
out of them, end to end, and puts the result back: attention is computed for real tokens alone, and
no document sees another. Where they lie is worked out once for a forward pass (`model.py`) and
comes along as an argument that layers hand on.

Legend: B rows of T tokens, H heads, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from kobert_kernels import attention
from kobert_kit.drop_in.layout import Layout
from kobert_vocab.errors import InputError

NAME = "kobert"
LAYOUT = "kobert_layout"  # the argument


def kobert_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    kobert_layout: Layout | None = None,
    **rest: Any,  # noqa: ANN401 - what other implementations want to know
) -> tuple[Tensor, None]:
    """Self-attention of [B, H, T, D]: [B, T, H, D], 0 outside of documents, and no weights.

    Args:
        module: the layer that calls.
        query: [B, H, T, D], and key, value alike; already turned by a rotary model.
        key: [B, H, T, D].
        value: [B, H, T, D].
        attention_mask: None: where the documents lie is in the layout.
        dropout: probability of dropping an attention weight; its seed is drawn from torch's
            generator of the device.
        scaling: multiplies the scores.
        sliding_window: one more than the greatest distance at which a query sees a key, as
            transformers counts for FlashAttention.
        kobert_layout: where the documents lie.
        rest: not used; what would change the result is refused before (`model.py`).

    Raises:
        InputError: nothing says where documents lie, or the layer wants another attention.
    """
    if kobert_layout is None:
        raise InputError(
            f"attention {NAME!r} does not know where documents lie: switch it on by "
            "kobert_kit.drop_in.use_kobert_kernels(model), and call the model, not a part of it"
        )
    causal = getattr(module, "is_causal", False)
    if attention_mask is not None or key.shape != query.shape or causal:
        raise InputError(
            f"attention {NAME!r} is self-attention in both directions: no mask of pairs, no other "
            "sequence, no causal layer; take attn_implementation='sdpa' for this model"
        )
    if sliding_window is not None and not kobert_layout.whole:
        raise InputError(
            "attention_mask has a 0 between tokens of one document, which a model with local "
            "windows cannot leave out: the tokens around it would move together"
        )
    # On a CPU the lengths are read back. The compiler would begin anew at several places for each
    # batch: two layers make 13 graphs in four batches, and would make 38.
    run = _attend_uncompiled if query.device.type == "cpu" else _attend
    return run(query, key, value, kobert_layout, dropout, scaling, sliding_window), None


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    dropout: float,
    scaling: float | None,
    sliding_window: int | None,
) -> Tensor:
    o = attention(
        layout.end_to_end(query),
        layout.end_to_end(key),
        layout.end_to_end(value),
        layout.cu_seqlens,
        layout.max_seqlen,
        scale=scaling,
        dropout=dropout,
        seed=drawn_seed(query.device) if dropout > 0.0 else None,
        window=None if sliding_window is None else sliding_window - 1,
    )
    return layout.in_rows(o, query.shape[0], query.shape[2])


_attend_uncompiled = torch.compiler.disable(_attend)  # type: ignore[no-untyped-call]


def drawn_seed(device: torch.device) -> Tensor:
    """The int64 [1] seed of a dropout mask, from torch's generator of the device.

    Elsewhere in this kit seeds are a function of the step. Here the model is another's, whose
    dropout follows `torch.manual_seed` and whose checkpointing restores the generator.
    """
    return torch.randint(torch.iinfo(torch.int64).max, (1,), device=device)


def _no_mask(**rest: Any) -> None:  # noqa: ANN401
    """No mask of B x T x T: the layout says it all."""


def register() -> None:
    """Make the name known to `transformers`; as often as one likes."""
    AttentionInterface.register(NAME, kobert_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
