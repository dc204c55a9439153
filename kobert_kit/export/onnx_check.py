"""Whether an ONNX graph gives what our encoder gives for the same tokens without padding.

Shapes: B texts of at most T tokens, S tokens of all texts together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor

from kobert_kit.encoder import EncoderConfig
from kobert_kit.inference.packs import Pack, Tokens

# Both sides round in fp32, in another order: 1e-6 of the largest value in 12 layers. A mask or a
# position that is wrong anywhere moves it by more than 1e-2.
TOLERANCE = 1e-4
# One text of 8,192 tokens would take 3 GB for the scores of a layer alone.
LONGEST = 2_048
Ours = Callable[[Pack], Tensor]
"""[S, ...] of what the graph gives, by our encoder."""
Inputs = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far the graph is from our encoder."""

    difference: float
    """The largest, as a share of the largest value."""
    texts: int
    """So many were compared."""
    longest: int
    """Tokens of the longest; the shortest has one."""

    @property
    def holds(self) -> bool:
        """Whether it is rounding; false for a difference that is no number."""
        return self.difference < TOLERANCE


def compare(graph: Path, config: EncoderConfig, ours: Ours) -> Agreement:
    """Run a graph on texts of random tokens, alone and in ragged batches padded on the right.

    Args:
        graph: the ``.onnx`` file.
        config: of the encoder.
        ours: gives the same.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    generator = torch.Generator().manual_seed(0)
    longest = min(config.max_positions, LONGEST)
    differences = []
    batches = batch_lengths(longest)
    for lengths in batches:
        texts = [_random_text(config, length, generator) for length in lengths]
        [found] = session.run(None, {n: v for n, v in _padded(texts, config).items() if n in names})
        differences.append(_difference(found, ours, texts))
    return Agreement(
        difference=float(np.max(differences)),  # NaN if one of them is
        texts=sum(map(len, batches)),
        longest=longest,
    )


def batch_lengths(longest: int) -> list[list[int]]:
    """Tokens of the texts of each batch: one alone, ragged ones, the longest that there can be."""
    ragged = [min(length, longest) for length in (17, 1, 40, 5, 33)]
    return [[1], ragged, [min(3, longest), 1], [longest]]


def _random_text(config: EncoderConfig, length: int, generator: torch.Generator) -> Tokens:
    ids = torch.randint(config.vocab_size, (length,), generator=generator)
    ids[ids == config.pad_id] = (config.pad_id + 1) % config.vocab_size  # padding only pads
    first = length - length // 2 if config.segments > 1 else length
    return Tokens(ids.tolist(), [0] * first + [1] * (length - first))


def _padded(texts: Sequence[Tokens], config: EncoderConfig) -> Inputs:
    """[B, T] each, by the names that `transformers` gives them."""
    shape = (len(texts), max(len(text.ids) for text in texts))
    inputs = {
        "input_ids": np.full(shape, config.pad_id, np.int64),
        "attention_mask": np.zeros(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }
    for row, text in enumerate(texts):
        length = len(text.ids)
        inputs["input_ids"][row, :length] = text.ids
        inputs["attention_mask"][row, :length] = 1
        inputs["token_type_ids"][row, :length] = text.segments
    return inputs


def _difference(found: npt.NDArray[np.float32], ours: Ours, texts: Sequence[Tokens]) -> float:
    with torch.inference_mode():
        expected = ours(Pack.of(texts, torch.device("cpu"))).numpy()
    lengths = [len(text.ids) for text in texts]
    parts = np.split(expected, list(accumulate(lengths))[:-1])
    worst = [
        np.abs(row[:length] - part).max()
        for row, length, part in zip(found, lengths, parts, strict=True)
    ]
    return float(np.max(worst) / np.abs(expected).max())
