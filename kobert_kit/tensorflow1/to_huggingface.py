"""A checkpoint of TensorFlow 1 as a folder that `transformers` loads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from kobert_kit.tensorflow1.bert_config import BertConfig, Gelu, read_google
from kobert_kit.tensorflow1.conversion import SKIPPED, Conversion, Row, rows_of
from kobert_kit.tensorflow1.json_file import write_json
from kobert_kit.tensorflow1.matching import Match, match
from kobert_kit.tensorflow1.tensor_bundle import TensorBundle
from kobert_kit.tensorflow1.variable_names import (
    MASKED_WORDS,
    NEXT_SENTENCE,
    Variable,
    is_of_training,
)
from kobert_kit.tensorflow1.word_pieces import VOCAB, Case, read_vocab_txt, write_tokenizer
from kobert_vocab.disk_errors import errors_of_the_disk
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder, refuse_existing
from kobert_vocab.specials import NAMED, PAD

GOOGLE_CONFIG = "bert_config.json"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The class of `transformers` that has the heads which are there: of masked words, of next sentence.
_CLASSES = {
    (True, True): "BertForPreTraining",
    (True, False): "BertForMaskedLM",
    (False, True): "BertForNextSentencePrediction",
    (False, False): "BertModel",
}
_GELU_NOTES: dict[Gelu, str] = {
    "tanh": "gelu: the tanh form, as Google's code has computed it since February 2019 "
    "(--gelu erf: as before, and as models of 2018 are on the hub)",
    "erf": "gelu: the erf form, as Google's code computed it before February 2019",
}


def to_huggingface(
    checkpoint: Path, out: Path, *, case: Case | None = None, gelu: Gelu = "tanh"
) -> Conversion:
    """Write ``config.json``, ``model.safetensors`` and, from ``vocab.txt``, the tokenizer's files.

    All names and shapes are compared before anything is written; the folder appears whole.

    Args:
        checkpoint: what the names of its files begin with (``.../bert_model.ckpt``), or the folder
            with them, ``bert_config.json`` and ``vocab.txt``.
        out: folder to make.
        case: whether text is lower-cased before it is cut into pieces; needed if there is a
            ``vocab.txt``, which does not say it.
        gelu: what ``gelu`` means in ``bert_config.json``; see `bert_config`.

    Returns:
        What became of each tensor.

    Raises:
        InputError: a file is missing or damaged, a tensor is unknown, missing or of another shape
            or type, ``case`` is missing, or ``out`` is there already.
    """
    refuse_existing(out)
    prefix = find_checkpoint(checkpoint)
    config_path, vocab_path = prefix.parent / GOOGLE_CONFIG, prefix.parent / VOCAB
    config = read_google(config_path, gelu)
    bundle = TensorBundle.open(prefix)
    pieces = _read_pieces(vocab_path, case, config)
    found, skipped = _match(bundle, config, config_path)
    with new_folder(out) as folder:
        settings = config.to_huggingface(_class_of(found), pieces.index(PAD) if pieces else 0)
        write_json(folder / "config.json", settings)
        tensors = {v.huggingface: _turned(bundle.read(v.tf1), v) for v in found.variables}
        with errors_of_the_disk(folder / "model.safetensors"):
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        if pieces and case:
            write_tokenizer(folder, pieces, case, config.max_position_embeddings)
    shapes = {name: entry.shape for name, entry in bundle.entries.items()}
    return Conversion(
        rows=(*rows_of(found, shapes, "tf1"), *skipped),
        absent=found.absent,
        notes=(_GELU_NOTES[gelu], _tokenizer_note(pieces, case)),
    )


def find_checkpoint(path: Path) -> Path:
    """What the names of a checkpoint's files begin with, from that or from its folder.

    Raises:
        InputError: there is no checkpoint, or there are several.
    """
    if not path.is_dir():
        prefix = Path(str(path).removesuffix(".index"))
        if not Path(f"{prefix}.index").is_file():
            raise InputError(
                f"{path}: no such checkpoint (no {prefix.name}.index); give the folder, or what "
                "the names begin with, such as DIR/bert_model.ckpt"
            )
        return prefix
    found = sorted(path.glob("*.index"))
    if len(found) > 1:
        first = found[0].with_suffix("")
        raise InputError(f"{path}: {len(found)} checkpoints; give one of them, such as {first}")
    if found:
        return found[0].with_suffix("")
    if (path / "model.safetensors").exists():
        raise InputError(f"{path}: a Hugging Face folder; give --to tf1 to convert it")
    raise InputError(f"{path}: no checkpoint in it (no bert_model.ckpt.index)")


def _read_pieces(path: Path, case: Case | None, config: BertConfig) -> tuple[str, ...]:
    """The vocabulary; empty if there is none."""
    if not path.exists():
        if case:
            raise InputError(f"{path}: no such file, so nothing is {case}; leave out --case")
        return ()
    pieces = read_vocab_txt(path)
    if len(pieces) > config.vocab_size:
        raise InputError(
            f"{path}: {len(pieces):,} pieces, and {GOOGLE_CONFIG} has a vocab_size of "
            f"{config.vocab_size:,}; take the vocabulary of this checkpoint"
        )
    if case is None:
        capitals = sum(piece != piece.lower() for piece in pieces if piece not in NAMED)
        raise InputError(
            f"{path}: no file says whether text is lower-cased first; say --case cased or --case "
            f"uncased ({capitals:,} of its {len(pieces):,} pieces have capitals)"
        )
    return pieces


def _match(bundle: TensorBundle, config: BertConfig, config_path: Path) -> tuple[Match, list[Row]]:
    """The model's variables, and the rows of those that only training needs."""
    if OBJECT_GRAPH in bundle.entries:
        raise InputError(
            f"{bundle.index}: saved by Keras objects of TensorFlow 2, which have other names; only "
            "checkpoints of Google's BERT code for TensorFlow 1 can be converted"
        )
    skipped, shapes = [], {}
    for name, entry in bundle.entries.items():
        if is_of_training(name):
            skipped.append(Row(tf1=name, shape=entry.shape, huggingface="", what=SKIPPED))
        elif entry.dtype != "float32":
            raise InputError(
                f"{bundle.index}: {name!r} is of {entry.dtype}; only float32 can be converted"
            )
        else:
            shapes[name] = entry.shape
    return match(shapes, config, config_path, "tf1", bundle.index), skipped


def _turned(tensor: npt.NDArray[Any], variable: Variable) -> npt.NDArray[Any]:
    # safetensors writes what lies in memory, so the transpose must be made.
    return np.ascontiguousarray(tensor.T) if variable.transposed else tensor


def _class_of(found: Match) -> str:
    return _CLASSES[MASKED_WORDS not in found.absent, NEXT_SENTENCE not in found.absent]


def _tokenizer_note(pieces: Sequence[str], case: Case | None) -> str:
    if not pieces:
        return f"tokenizer: none, since there is no {VOCAB}"
    return f"tokenizer: {len(pieces):,} pieces, {case}"
