"""How the first guesses for a few held-out examples change as training goes on.

Each evaluation's row of ``metrics.jsonl`` keeps the guesses of that moment; the masks are the same
each time, since those of held-out text are a function of the corpus alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kobert_kit.pretraining.evaluation import Example
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

EXAMPLES = 6  # kept: a page of the report
MASKS = 8  # of each, the first ones: a sequence of 512 tokens has 77
COLUMNS = 6  # evaluations shown: the width of the page

Rows = Sequence[Mapping[str, Any]]  # of metrics.jsonl


@dataclass(frozen=True)
class Then:
    """The first guess at one evaluation."""

    piece: str
    probability: float
    right: bool


@dataclass(frozen=True)
class MaskHistory:
    """One mask: where in its sequence, what stood there, and a guess for each step."""

    position: int
    label: str
    guesses: tuple[Then, ...]


@dataclass(frozen=True)
class ExampleHistory:
    """One held-out example at the evaluations after some of the steps."""

    language: str
    steps: tuple[int, ...]
    masks: tuple[MaskHistory, ...]


def kept_guesses(filled: Sequence[Example], vocabulary: AnyVocabulary) -> list[dict[str, Any]]:
    """What a row of ``metrics.jsonl`` keeps of the examples: pieces with their probabilities."""
    return [
        {
            "language": example.language,
            "guesses": [
                {
                    "position": guess.position,
                    "label": vocabulary.piece(guess.label),
                    "top": [[vocabulary.piece(i), round(share, 4)] for i, share in guess.top],
                }
                for guess in example.guesses[:MASKS]
            ],
        }
        for example in filled[:EXAMPLES]
    ]


def histories(rows: Rows) -> list[ExampleHistory]:
    """Of each kept example; none if no row of the run has any, as of older versions.

    A phase with sequences of another length has other examples; the last ones are shown.
    """
    kept = [row for row in rows if row.get("examples")]
    if not kept:
        return []
    known = _spread([row for row in kept if _masks(row) == _masks(kept[-1])])
    steps = tuple(row["step"] for row in known)
    return [
        ExampleHistory(
            last["language"],
            steps,
            tuple(
                _mask([row["examples"][number]["guesses"][place] for row in known])
                for place in range(len(last["guesses"]))
            ),
        )
        for number, last in enumerate(known[-1]["examples"])
    ]


def _masks(row: Mapping[str, Any]) -> list[list[tuple[int, str]]]:
    return [
        [(guess["position"], guess["label"]) for guess in example["guesses"]]
        for example in row["examples"]
    ]


def _spread(rows: Rows) -> Rows:
    """The first, the last and some between, `COLUMNS` at most."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), COLUMNS)).round().astype(int)
    return [rows[place] for place in places]


def _mask(guesses: Sequence[Mapping[str, Any]]) -> MaskHistory:
    position, label = guesses[-1]["position"], guesses[-1]["label"]
    firsts = [guess["top"][0] for guess in guesses]
    return MaskHistory(
        position,
        label,
        tuple(Then(piece, probability, piece == label) for piece, probability in firsts),
    )
