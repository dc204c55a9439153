"""What is wrong with text that is read: an error at the first fault, or counted and left out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from kobert_vocab.errors import InputError

Kind = Literal[
    "broken archive",  # a packed file that ends early or whose check sum is wrong
    "broken dump",
    "broken encoding",  # bytes that are not UTF-16 or CP949 in a file of that
    "broken record",  # of a WET archive
    "broken table",
    "line too long",  # also a field, a row or a record
    "no text",  # in a whole file
    "no text field",
    "not CSV",
    "not JSON",
    "not UTF-8",
    "NUL bytes",
    "page too long",
    "tangled page",  # wikitext that would take minutes to parse
    "unknown language",
]
SHOWN = 5  # messages kept of each kind: enough to see what it is, bounded for any input

Report = Callable[[Kind, str], None]
"""Told of a fault, in one line with its place. Where it returns, reading goes on without it."""


def refuse(_: Kind, message: str) -> None:
    """The `Report` of those who want all of the text or none.

    Raises:
        InputError: always.
    """
    raise InputError(message)


@dataclass
class Problems:
    """Faults in what was read: how many of each kind, and the first few as they read."""

    counts: Counter[Kind] = field(default_factory=Counter)
    messages: dict[Kind, list[str]] = field(default_factory=dict)
    """One line each, that names the file and place; at most `SHOWN` of a kind."""

    def add(self, kind: Kind, message: str) -> None:
        """Count a fault; this is a `Report`."""
        self.counts[kind] += 1
        shown = self.messages.setdefault(kind, [])
        if len(shown) < SHOWN:
            shown.append(message)


def report_to(problems: Problems | None) -> Report:
    """Where faults go: into ``problems``, or with None to whoever reads, as an error."""
    return refuse if problems is None else problems.add
