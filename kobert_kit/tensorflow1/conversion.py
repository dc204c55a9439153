"""What a conversion has done, tensor by tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kobert_kit.tensorflow1.matching import Match
from kobert_kit.tensorflow1.variable_names import Shape, Side

AS_IS, TRANSPOSED, SKIPPED, LEFT_OUT = "as it is", "transposed", "skipped", "left out"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One tensor; a name is empty where that side does not have it."""

    tf1: str
    shape: Shape
    """In the checkpoint that was read."""
    huggingface: str
    what: str
    """`AS_IS`, `TRANSPOSED`, `SKIPPED` or `LEFT_OUT`."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A report: all tensors that were in the checkpoint, and what else a person has to know."""

    rows: tuple[Row, ...]
    absent: tuple[str, ...]
    """Parts of BERT that are not in the checkpoint."""
    notes: tuple[str, ...]
    """On GELU and the vocabulary, a line each."""

    def count(self, *whats: str) -> int:
        """How many rows say one of ``whats``."""
        return sum(row.what in whats for row in self.rows)

    def render(self) -> str:
        """The report as a table of text, and the notes under it."""
        header = ("TensorFlow 1", "shape", "Hugging Face", "")
        cells = [
            (_plain(row.tf1), _times(row.shape), _plain(row.huggingface), row.what)
            for row in self.rows
        ]
        lines = [*_aligned([header, *cells]), ""]
        lines.append(f"{self.count(AS_IS, TRANSPOSED)} tensors converted")
        if skipped := self.count(SKIPPED):
            lines.append(f"{skipped} tensors skipped: the optimiser's state and the step")
        if left_out := self.count(LEFT_OUT):
            lines.append(f"{left_out} tensors left out: a copy of another, or plain counting")
        lines += [f"absent: {part}" for part in self.absent]
        return "\n".join([*lines, *self.notes]) + "\n"


def rows_of(match: Match, shapes: Mapping[str, Shape], side: Side) -> list[Row]:
    """The rows of the tensors that are converted, with the shapes that they had on ``side``."""
    return [
        Row(
            tf1=variable.tf1,
            shape=shapes[variable.name(side)],
            huggingface=variable.huggingface,
            what=TRANSPOSED if variable.transposed else AS_IS,
        )
        for variable in match.variables
    ]


def _plain(name: str) -> str:
    """A name from a file, without what a terminal would act on."""
    return (name if name.isprintable() else repr(name)) or "-"


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
