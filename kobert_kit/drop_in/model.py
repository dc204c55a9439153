"""One call that puts our attention, and if asked our norms, into a model of `transformers`.

The model stays what it is: its class, its weights and their names, its configuration file. Each
encoder in it gets a hook that runs before its forward pass, reads where the documents lie, refuses
what cannot be computed exactly, and hands the layout on to the layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kobert_kit.drop_in.attention import LAYOUT, NAME, register
from kobert_kit.drop_in.layout import Layout, layout_by_bounds, layout_of
from kobert_kit.drop_in.norms import replace_norms
from kobert_vocab.errors import InputError

FAMILIES = ("bert", "roberta", "xlm-roberta", "electra", "modernbert")
"""The `model_type` of models whose results are tested to be those of transformers."""

# Arguments of a forward pass that ask for what is not plain self-attention in both directions.
_REFUSED = {
    "output_attentions": "attention weights are never written out here",
    "head_mask": "no head can be left out here",
    "encoder_hidden_states": "there is no cross-attention here",
    "encoder_attention_mask": "there is no cross-attention here",
    "past_key_values": "there is no cache of keys and values here",
    "is_causal": "a token sees those after it here",
}


def use_kobert_kernels(model: nn.Module, *, norms: bool = False) -> None:
    """Let the encoders of a stock model compute their attention by `kobert_kernels.attention`.

    Padded batches (`attention_mask`) are computed without their padding, packed ones (one or more
    documents in a row, by `position_ids` that begin anew with each or by `cu_seq_lens_q`) without
    leaks. At padding the result of attention is 0, where transformers has numbers that mean
    nothing. All else is as before, and `model.set_attn_implementation("sdpa")` puts this back.

    Args:
        model: a model of transformers, or any module that holds such models.
        norms: layer norms run our op too, together with the dropout and the sum before them where
            the model is post-norm. Off unless asked for: on a CPU it gains nothing, on a GPU
            nothing has been measured, and there `torch.compile` fuses the stock norms by itself.

    Raises:
        InputError: no encoder is in it, or one that is not of `FAMILIES` or is a decoder. The model
            is then as it was.
    """
    encoders = [
        module
        for module in model.modules()
        if isinstance(module, PreTrainedModel) and module.base_model is module
    ]
    if not encoders:
        raise InputError(f"{type(model).__name__} holds no model of transformers")
    for encoder in encoders:
        _check_config(encoder)
    register()
    for encoder in encoders:
        encoder.set_attn_implementation(NAME)
        if _hand_layout_on not in encoder._forward_pre_hooks.values():
            encoder.register_forward_pre_hook(_hand_layout_on, with_kwargs=True)
    if norms:
        replace_norms(model)


def _check_config(encoder: PreTrainedModel) -> None:
    config, name = encoder.config, type(encoder).__name__
    if config.model_type not in FAMILIES:
        raise InputError(
            f"{name} is a {config.model_type!r}: our attention is tested in {', '.join(FAMILIES)}"
        )
    if getattr(config, "is_decoder", False):
        raise InputError(f"{name} is a decoder: our attention goes in both directions")


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _hand_layout_on(
    encoder: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if encoder.config._attn_implementation != NAME:  # switched to another since
        return None
    _check_config(encoder)  # someone may have made a decoder of it since
    names = signature(encoder.forward).parameters
    call = dict(zip(names, args, strict=False)) | kwargs
    _check_call(encoder, call)
    layout = _layout_of_call(call)
    return None if layout is None else (args, kwargs | {LAYOUT: layout})


def _check_call(encoder: PreTrainedModel, call: Mapping[str, Any]) -> None:
    for name, reason in _REFUSED.items():
        given = call.get(name)
        if given is None:
            given = getattr(encoder.config, name, None)
        if given is not None and given is not False:
            raise InputError(
                f"{type(encoder).__name__} was called with {name}: {reason}; "
                'call model.set_attn_implementation("eager") for this'
            )


def _layout_of_call(call: Mapping[str, Any]) -> Layout | None:
    """None where there are no tokens: the model itself has a message for that."""
    ids, vectors = call.get("input_ids"), call.get("inputs_embeds")
    tokens = ids if ids is not None else vectors
    if tokens is None:
        return None
    shape = (tokens.shape[0], tokens.shape[1], tokens.device)
    mask, positions = call.get("attention_mask"), call.get("position_ids")
    if mask is not None and not isinstance(mask, torch.Tensor):
        raise InputError(f"attention_mask is a {type(mask).__name__}, must be a tensor [B, T]")
    bounds, key_bounds = call.get("cu_seq_lens_q"), call.get("cu_seq_lens_k")
    if bounds is None and key_bounds is None:
        return layout_of(*shape, mask=mask, positions=positions)
    if mask is not None:
        raise InputError("attention_mask and cu_seq_lens_q: give one of them, they may differ")
    if bounds is None or (key_bounds is not None and not torch.equal(bounds, key_bounds)):
        raise InputError("cu_seq_lens_q and cu_seq_lens_k differ: a document sees itself here")
    return layout_by_bounds(*shape, bounds=bounds, positions=positions)
