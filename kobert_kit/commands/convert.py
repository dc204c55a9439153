"""``kobert convert``."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from kobert_vocab.errors import InputError


def convert(
    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")],
    /,
    *,
    out: Path,
    to: Literal["huggingface", "tf1"] = "huggingface",
    case: Annotated[Literal["cased", "uncased"] | None, arg(metavar="{cased,uncased}")] = None,
    gelu: Literal["tanh", "erf"] = "tanh",
) -> None:
    """Convert Google's TensorFlow 1 checkpoints of BERT to Hugging Face folders, and back.

    Args:
        checkpoint: What the names of a checkpoint's files begin with (DIR/bert_model.ckpt), or the
            folder with them, bert_config.json and vocab.txt. With --to tf1 a Hugging Face folder.
        out: Folder to make.
        to: What to make of it.
        case: Whether text is lower-cased before it is cut into pieces, which no file of a
            checkpoint says; needed if there is a vocab.txt.
        gelu: The form of GELU that the TensorFlow code computes: tanh is that of Google's code
            since February 2019, erf that of before and of the copies on the Hugging Face hub.
    """
    from kobert_kit.tensorflow1 import to_huggingface, to_tf1

    if to == "huggingface":
        conversion = to_huggingface(checkpoint, out, case=case, gelu=gelu)
    elif case is None:
        conversion = to_tf1(checkpoint, out, gelu=gelu)
    else:
        raise InputError("a checkpoint of TensorFlow 1 has no place for --case; leave it out")
    print(f"{conversion.render()}{to}: {out}")  # noqa: T201
