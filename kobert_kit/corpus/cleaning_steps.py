"""What the steps of cleaning took from a corpus, as rows that a reader understands."""

from collections.abc import Sequence
from dataclasses import dataclass

from kobert_kit.corpus.inspection import Inspection, LanguageFigures

# The names that `cleaning` and `personal_data` count under: unit, and what is taken.
STEPS = {
    "encoding": ("characters", "UTF-8 that was read as Latin-1, mended"),
    "line_ends": ("characters", "line ends of other systems"),
    "characters": ("characters", "characters that nobody reads"),
    "blanks": ("characters", "blanks beside blanks or at the edge of a line"),
    "boilerplate": ("lines", "copyright notices, bylines and the like"),
    "mash": ("lines", "keys hit at random"),
    "copies": ("lines", "lines that stood in the document before"),
    "runs": ("characters", "one character many times in a row, cut to three"),
    "email": ("masked", "e-mail addresses"),
    "id": ("masked", "resident, licence and passport numbers"),
    "card": ("masked", "card numbers"),
    "account": ("masked", "account numbers"),
    "phone": ("masked", "telephone numbers"),
}


@dataclass(frozen=True)
class CleaningRow:
    """One step of cleaning."""

    step: str
    what: str
    unit: str
    taken: int
    languages: int
    """In how many it took something."""
    most: LanguageFigures
    """The language it took most from."""

    @property
    def most_taken(self) -> int:
        """From that language."""
        return self.most.changed[self.step]


def cleaning_rows(inspection: Inspection) -> list[CleaningRow]:
    """The steps that took something, in the order in which they run."""
    order = [*STEPS, *(step for step in inspection.total.changed if step not in STEPS)]
    return [_row(step, inspection.languages) for step in order if step in inspection.total.changed]


def _row(step: str, languages: Sequence[LanguageFigures]) -> CleaningRow:
    unit, what = STEPS.get(step, ("", ""))
    touched = [row for row in languages if row.changed.get(step)]
    most = max(touched, key=lambda row: row.changed[step])
    taken = sum(row.changed[step] for row in touched)
    return CleaningRow(step, what, unit, taken, len(touched), most)
