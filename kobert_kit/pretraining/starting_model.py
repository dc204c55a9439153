"""The model that a run begins with: new, or another one that it goes on to train."""

import logging
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from kobert_kernels.attention import HEAD_SIZES
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.encoder.huggingface.folder import OpenFolder, open_folder
from kobert_kit.pretraining.config import ModelConfig, PretrainConfig, check_phases
from kobert_kit.tokenizer_file import TOKENIZER, read_tokenizer
from kobert_vocab.errors import InputError
from kobert_vocab.extension import new_embeddings
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

HEADS = ("masked_language.", "next_sentence.", "encoder.pooler.")  # may begin anew
WORDS, BIAS = "encoder.embeddings.words.weight", "masked_language.bias"

logger = logging.getLogger(__name__)


def starting_model(config: PretrainConfig, vocabulary: AnyVocabulary) -> PretrainingModel:
    """The model of a run before its first step.

    Raises:
        InputError: the model of ``--from`` cannot be loaded, or does not fit the vocabulary or the
            batches.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if config.from_ is None:
        shape = EncoderConfig(
            vocab_size=len(vocabulary), pad_id=vocabulary.pad, **asdict(config.model)
        )
        _check_head_size(shape)
        model = PretrainingModel(shape)
        model.initialise(generator)
        return model
    with open_folder(config.from_) as given:
        model = _loaded(given, config, generator)
        return _with_vocabulary(model, vocabulary, config.vocab, given.path)


def shape_of(config: EncoderConfig) -> ModelConfig:
    """A model's shape as the settings of a run say it."""
    return ModelConfig(**{field.name: getattr(config, field.name) for field in fields(ModelConfig)})


def _check_head_size(shape: EncoderConfig) -> None:
    if shape.head_size not in HEAD_SIZES:
        raise InputError(
            f"model.hidden_size {shape.hidden_size} over {shape.heads} heads gives a head size of "
            f"{shape.head_size}; the attention kernel takes {', '.join(map(str, HEAD_SIZES))}"
        )


def _loaded(
    given: OpenFolder, config: PretrainConfig, generator: torch.Generator
) -> PretrainingModel:
    pairs = any(phase.data.pairing != "none" for phase in config.all_phases)
    model = given.load(lambda: PretrainingModel(given.config, next_sentence=pairs), fresh=HEADS)
    if pairs and model.next_sentence is None:
        raise InputError(
            f"{config.from_}: a {given.config.model_type} has no next-sentence head; "
            "set data.pairing to 'none'"
        )
    fresh = tuple(
        name.rpartition(".")[0]
        for name in model.state_dict()
        if name.startswith(HEADS) and not given.has(name)
    )
    if fresh:
        logger.warning("%s has no %s; it begins anew", config.from_, ", ".join(sorted({*fresh})))
        model.initialise(generator, only=fresh)
    check_phases(config.all_phases, shape_of(model.config))
    return model


def _with_vocabulary(
    model: PretrainingModel, vocabulary: AnyVocabulary, vocab: Path, base: Path
) -> PretrainingModel:
    """The model with a row for each piece; the first are those it had."""
    if (vocab / new_embeddings.FILE).exists():
        model = _extended(model, vocabulary, vocab)
    elif len(vocabulary) > model.config.vocab_size:
        raise InputError(
            f"{vocab}: {len(vocabulary)} pieces, the model of --from has "
            f"{model.config.vocab_size}; take its own vocabulary, or one that extends it: "
            "kobert vocab extend"
        )
    if vocabulary.pad != model.config.pad_id:
        raise InputError(
            f"{vocab}: padding is piece {vocabulary.pad}, in the model of --from "
            f"{model.config.pad_id}; take its own vocabulary"
        )
    if (base / TOKENIZER).exists():
        _check_pieces(vocabulary, read_tokenizer(base, model.config.vocab_size), vocab)
    else:
        logger.warning("%s has no %s: nothing says whether the pieces are its own", base, TOKENIZER)
    return model


def _check_pieces(vocabulary: AnyVocabulary, tokenizer: Tokenizer, vocab: Path) -> None:
    for number in range(len(vocabulary)):
        own, theirs = vocabulary.token(number), tokenizer.id_to_token(number)
        if theirs is not None and own != theirs:  # it may have gaps, and an end
            raise InputError(
                f"{vocab}: piece {number} is {own!r}, in the model of --from {theirs!r}; take its "
                "own vocabulary, or one that extends it: kobert vocab extend"
            )


def _extended(model: PretrainingModel, vocabulary: AnyVocabulary, vocab: Path) -> PretrainingModel:
    weights = model.state_dict()
    # Rows behind the last piece are only there to make the number round.
    old = new_embeddings.old_pieces(vocab)

    def grown(tensor: Tensor) -> Tensor:
        return torch.from_numpy(new_embeddings.new_embeddings(vocab, tensor[:old].numpy()))

    shape = replace(model.config, vocab_size=len(vocabulary))
    larger = PretrainingModel(shape, next_sentence=model.next_sentence is not None)
    larger.load_state_dict(weights | {name: grown(weights[name]) for name in (WORDS, BIAS)})
    return larger
