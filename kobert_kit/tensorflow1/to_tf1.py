"""A Hugging Face BERT folder as a checkpoint that Google's TensorFlow code loads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from kobert_kit.tensorflow1.bert_config import Gelu, read_huggingface
from kobert_kit.tensorflow1.conversion import LEFT_OUT, Conversion, Row, rows_of
from kobert_kit.tensorflow1.json_file import write_json
from kobert_kit.tensorflow1.matching import Match, match
from kobert_kit.tensorflow1.tensor_bundle import write_bundle
from kobert_kit.tensorflow1.to_huggingface import GOOGLE_CONFIG
from kobert_kit.tensorflow1.variable_names import Shape
from kobert_kit.tensorflow1.word_pieces import VOCAB, WordPieces, read_tokenizer, write_vocab_txt
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder, refuse_existing

PREFIX = "bert_model.ckpt"  # as in Google's releases
# Kept twice by some versions of `transformers`: the decoder is tied to the embeddings.
_TWINS = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
_COUNTED = "bert.embeddings.position_ids"  # 0, 1, 2 ...; kept until transformers 4.31
_GELU_NOTES: dict[Gelu, str] = {
    "tanh": "gelu: the tanh form, as Google's code has computed it since February 2019",
    "erf": "gelu: the erf form, which Google's code computed until February 2019; from this "
    "checkpoint it computes the tanh form today",
}
_DTYPES = ("F32", "F16")  # float16 becomes float32 without rounding


def to_tf1(source: Path, out: Path, *, gelu: Gelu = "tanh") -> Conversion:
    """Write ``bert_model.ckpt.*``, ``bert_config.json`` and, from WordPiece, ``vocab.txt``.

    All names and shapes are compared before anything is written; the folder appears whole.

    Args:
        source: folder with ``config.json`` and ``model.safetensors``.
        out: folder to make.
        gelu: the form of GELU that the TensorFlow code will compute; see `bert_config`.

    Returns:
        What became of each tensor.

    Raises:
        InputError: a file is missing or damaged, a tensor is unknown, missing or of another shape
            or type, GELU is of the other form, or ``out`` is there already.
    """
    refuse_existing(out)
    config_path, path = source / "config.json", source / "model.safetensors"
    config = read_huggingface(config_path, gelu)
    words = read_tokenizer(source)
    if words and len(words.pieces) > config.vocab_size:
        raise InputError(
            f"{source}: the tokenizer has {len(words.pieces):,} pieces, and config.json a "
            f"vocab_size of {config.vocab_size:,}; take the tokenizer of this model"
        )
    with _opened(path) as weights:
        names = _names_of_today(weights.keys(), path)
        shapes = {name: _shape(weights, name, names[name], path) for name in names}
        left_out = _left_out(weights, names, path)
        kept = {name: shape for name, shape in shapes.items() if name not in left_out}
        found = match(kept, config, config_path, "huggingface", path)
        with new_folder(out) as folder:
            write_bundle(folder / PREFIX, _tensors(found, weights, names))
            write_json(folder / GOOGLE_CONFIG, config.to_google())
            if words:
                write_vocab_txt(folder, words.pieces)
    rows = [Row(tf1="", shape=shapes[name], huggingface=name, what=LEFT_OUT) for name in left_out]
    return Conversion(
        rows=(*rows_of(found, shapes, "huggingface"), *rows),
        absent=found.absent,
        notes=(_GELU_NOTES[gelu], _vocabulary_note(words)),
    )


def _opened(path: Path) -> Any:  # noqa: ANN401  # safetensors names no type for it
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; load the model in transformers and call save_pretrained"
        ) from error
    except SafetensorError as error:
        raise InputError(f"{path}: broken ({error}); copy it again") from error


def _names_of_today(keys: list[str], path: Path) -> dict[str, str]:
    """The keys of a file by the names that `BertForPreTraining` has for them today.

    A bare encoder leaves ``bert.`` out, and files of 2018 and 2019 say gamma and beta.
    """
    prefix = "" if any(key.startswith(("bert.", "cls.")) for key in keys) else "bert."
    names: dict[str, str] = {}
    for key in sorted(keys):
        name = key.replace("LayerNorm.gamma", "LayerNorm.weight")
        name = prefix + name.replace("LayerNorm.beta", "LayerNorm.bias")
        if name in names:
            raise InputError(f"{path}: {key!r} and {names[name]!r} are the same tensor; drop one")
        names[name] = key
    return names


def _left_out(weights: Any, names: dict[str, str], path: Path) -> list[str]:  # noqa: ANN401
    """What says nothing that other tensors do not say."""
    left_out = [name for name in (_COUNTED,) if name in names]
    for name, twin in _TWINS.items():
        if name not in names:
            continue
        same = twin in names and np.array_equal(
            weights.get_tensor(names[name]), weights.get_tensor(names[twin])
        )
        if not same:
            raise InputError(
                f"{path}: {name!r} is not {twin!r} again; Google's code has only the one"
            )
        left_out.append(name)
    return left_out


def _shape(weights: Any, name: str, key: str, path: Path) -> Shape:  # noqa: ANN401
    view = weights.get_slice(key)
    if view.get_dtype() not in _DTYPES and name != _COUNTED:
        raise InputError(
            f"{path}: {key!r} is of {view.get_dtype()}; save the model in float32 first "
            "(model.float().save_pretrained)"
        )
    return tuple(view.get_shape())


def _tensors(
    found: Match,
    weights: Any,  # noqa: ANN401
    names: dict[str, str],
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for variable in sorted(found.variables, key=lambda variable: variable.tf1.encode()):
        tensor = weights.get_tensor(names[variable.huggingface]).astype(np.float32, copy=False)
        yield variable.tf1, tensor.T if variable.transposed else tensor


def _vocabulary_note(words: WordPieces | None) -> str:
    if words is None:
        return f"no {VOCAB}: the folder has no WordPiece vocabulary"
    flag = {"cased": "False", "uncased": "True", None: "as it was trained"}[words.case]
    return f"{VOCAB}: {len(words.pieces):,} pieces; give Google's code --do_lower_case={flag}"
