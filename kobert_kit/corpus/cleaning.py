"""A document made clean, or dropped, with a count of what each step took.

Steps and the names they count under: ``encoding`` (characters), ``line_ends``, ``characters`` and
``blanks`` (characters), ``boilerplate``, ``mash`` and ``copies`` (lines), ``runs`` (characters).
Reasons to drop a document: ``short``, ``symbols``, ``language``, ``repetitive``.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kobert_kit.corpus.boilerplate import drop_boilerplate
from kobert_kit.corpus.characters import Changes, drop_needless, mend_encoding, shorten_runs
from kobert_kit.corpus.document_filters import reason_to_drop
from kobert_kit.corpus.mash import drop_mash

# A menu has its lines on top and again at the bottom; a poem repeats its refrain.
LONG_DOCUMENT = 20  # lines
LONG_LINE = 5  # blanks; a line of fewer words may be a heading or an answer

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `clean` makes of a document."""

    text: str
    """Empty if the document is dropped."""
    dropped: str | None
    """The reason, or None."""
    changes: Mapping[str, int]
    """What each step took, where it took something."""


def clean(text: str, language: str) -> Cleaned:
    r"""``text`` without what is no language, or the reason why nothing of it is kept.

    Decomposed Hangul stays decomposed. ``language`` is a code of the table of languages; text of
    another one (``und``) is not judged by its script.

    >>> clean("영화\u200b가  좋다\r\n무단 전재 및 재배포 금지", "ko").text
    '영화가 좋다'
    """
    changes: Changes = defaultdict(int)
    text = mend_encoding(text, changes)
    text = drop_needless(text, changes)
    text = drop_boilerplate(text, changes)
    text = drop_mash(text, changes)
    text = shorten_runs(text, changes)
    reason = reason_to_drop(text, language)
    if reason is not None:
        return Cleaned("", reason, _taken(changes))
    text = _drop_copies(text, changes)
    return Cleaned(text, None, _taken(changes))


def _taken(changes: Changes) -> Mapping[str, int]:
    if not changes:
        return _NOTHING
    return {name: number for name, number in changes.items() if number}


def _drop_copies(text: str, changes: Changes) -> str:
    lines = text.split("\n")
    if len(lines) < LONG_DOCUMENT or len(set(lines)) == len(lines):
        return text
    seen: set[str] = set()
    kept: list[str] = []
    for line in lines:
        if line in seen and line.count(" ") >= LONG_LINE:
            continue
        seen.add(line)
        kept.append(line)
    if len(kept) == len(lines):
        return text
    changes["copies"] += len(lines) - len(kept)
    return "\n".join(kept)
