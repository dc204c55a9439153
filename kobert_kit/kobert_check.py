"""Is this folder KoBERT? Its tokens, ids and numbers against those that its makers published.

The figures are those of the READMEs of SKTBrain/KoBERT (``README.md``, ``kobert_hf/README.md``):
the pieces and ids of a sentence, and the first and last numbers of three vectors of the last
layer. They were read there on 2026-11-22.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from kobert_kit.encoder import Encoder
from kobert_vocab import Vocabulary
from kobert_vocab.conversion import convert
from kobert_vocab.conversion.source import CONFIG, MODEL_NAMES, SPECIAL_TOKENS, TOKENIZER_CONFIG
from kobert_vocab.errors import InputError
from kobert_vocab.hub import fetch, may_be_on_hub
from kobert_vocab.verify import load_fast

HUB_NAME = "skt/kobert-base-v1"
WEIGHTS, OLD_WEIGHTS = "model.safetensors", "pytorch_model.bin"
# Printed with four decimals, and computed by another program in another order: MXNet's, ONNX's and
# PyTorch's own figures differ by up to 1e-6.
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class CheckValues:
    """What a model makes of a sentence and of some ids."""

    text: str
    pieces: Sequence[str]
    ids: Sequence[int]
    """Of ``text``, special pieces included."""
    tokens: Sequence[int]
    """One sequence without padding; the README has a second one beside it."""
    segments: Sequence[int]
    first: Sequence[Sequence[float]]
    """The first numbers of each token's vector, of the last layer."""
    last: Sequence[Sequence[float]]
    """Its last numbers."""


PUBLISHED = CheckValues(
    text="한국어 모델을 공유합니다.",
    pieces=("▁한국", "어", "▁모델", "을", "▁공유", "합니다", "."),
    ids=(2, 4958, 6855, 2046, 7088, 1050, 7843, 54, 3),
    tokens=(31, 51, 99),
    segments=(0, 0, 1),
    first=((-0.2461, 0.2428, 0.2590), (-0.2478, 0.2420, 0.2552), (-0.2472, 0.2420, 0.2561)),
    last=((-0.4861, -0.0731, 0.0756), (-0.4877, -0.0727, 0.0754), (-0.4874, -0.0733, 0.0765)),
)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found to be as published."""

    pieces: list[str]
    ids: list[int]
    largest_difference: float
    """Of the numbers."""


def find_kobert(folder: str | Path) -> Path:
    """The folder, or that of the model of this name on the hub.

    Raises:
        InputError: there is no such folder, nor a model of that name within reach.
    """
    path = Path(folder)
    if path.is_dir():
        return path
    if path.exists() or not may_be_on_hub(folder):
        raise InputError(f"{folder}: no such folder; give that of KoBERT, or {HUB_NAME}")
    files = [CONFIG, TOKENIZER_CONFIG, SPECIAL_TOKENS, *MODEL_NAMES]
    found = fetch(folder, [*files, WEIGHTS])
    # 370 MB; both forms would be twice as much.
    return found if (found / WEIGHTS).exists() else fetch(folder, [*files, OLD_WEIGHTS])


def check_kobert(folder: Path, values: CheckValues = PUBLISHED) -> Checked:
    """Compare the tokenizer and the weights of ``folder`` with ``values``.

    Pieces and ids are compared twice, by SentencePiece and by the fast tokenizer that
    `kobert_vocab.conversion.convert` makes; the numbers are those of `Encoder`.

    Raises:
        InputError: something differs, or the folder is not that of a BERT with a SentencePiece
            model.
    """
    with TemporaryDirectory() as made:
        out = Path(made) / "vocabulary"
        convert(folder, out)
        vocabulary, fast = Vocabulary.load(out), load_fast(out)
    pieces, encoding = vocabulary.pieces(values.text), fast.encode(values.text)
    around = [vocabulary.cls, *vocabulary.encode(values.text), vocabulary.sep]
    for what, found, published in (
        ("pieces", pieces, values.pieces),
        ("ids", around, values.ids),
        ("ids of the fast tokenizer", encoding.ids, values.ids),
    ):
        if list(found) != list(published):
            raise InputError(
                f"{folder}: the {what} of {values.text!r} are {list(found)}, published are "
                f"{list(published)}; this is not KoBERT's tokenizer"
            )
    return Checked(
        pieces=pieces, ids=around, largest_difference=_largest_difference(folder, values)
    )


def _largest_difference(folder: Path, values: CheckValues) -> float:
    """Between the numbers and the published ones, at most `TOLERANCE`."""
    vectors = _vectors(folder, values)
    first, last = torch.tensor(values.first), torch.tensor(values.last)
    difference = torch.cat(
        [vectors[:, : first.shape[1]] - first, vectors[:, -last.shape[1] :] - last]
    ).abs()
    largest = float(difference.max())
    if not largest <= TOLERANCE:  # also not a number
        shown = ", ".join(f"{number:.4f}" for number in vectors[0, : first.shape[1]].tolist())
        published = ", ".join(f"{number:.4f}" for number in values.first[0])
        raise InputError(
            f"{folder}: the last layer is {largest:.4f} off ({shown} ..., published are "
            f"{published} ...); these are not KoBERT's weights"
        )
    return largest


@torch.no_grad()
def _vectors(folder: Path, values: CheckValues) -> Tensor:
    """[T, h] of the last layer for the tokens of ``values``."""
    count = len(values.tokens)
    encoder = Encoder.from_pretrained(folder)
    if max(values.tokens) >= encoder.config.vocab_size:
        raise InputError(f"{folder}: only {encoder.config.vocab_size} ids; this is not KoBERT")
    vectors: Tensor = encoder(
        torch.tensor(values.tokens),
        torch.arange(count),
        torch.tensor(values.segments),
        torch.tensor([0, count], dtype=torch.int32),
        count,
    )
    return vectors
