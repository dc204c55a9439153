"""Gold Korean morphemes: Universal Dependencies ``.conllu`` and KLUE-DP ``.tsv``, plain or ``.gz``.

Both hold morphemes as the grammar has them, not always as a cut of the word: 흘렸다 is 흘리+었+다.
A word counts only if its morphemes, joined, are the word as it stands.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kobert_vocab.errors import InputError
from kobert_vocab.normalize import nfc
from kobert_vocab.reading.lines import read_lines
from kobert_vocab.report.boundaries import Morphemes, morphemes

CONLLU_COLUMNS, KLUE_COLUMNS = 10, 6
_FORM, _LEMMA, _UPOS, _MISC = 1, 2, 3, 9
PREDICATES = ("VERB", "ADJ", "AUX")


@dataclass(frozen=True)
class Gold:
    """The words of a file whose morphemes are an exact cut."""

    name: str
    words: Counter[Morphemes]
    all_words: int
    """Running words with Hangul in the file."""


class _Part(NamedTuple):
    """A form with its morphemes, and whether a space follows."""

    form: str
    morphemes: list[str]
    space: bool


def read_gold(path: str | Path) -> Gold:
    """Read a file of gold morphemes.

    Raises:
        InputError: its name ends in neither .conllu nor .tsv, or it is not in that form, or it
            holds no Korean word with an exact cut.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; name one of gold morphemes")
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "conllu":
        parts = _conllu(path)
    elif kind == "tsv":
        parts = _klue(path)
    else:
        raise InputError(
            f"{path}: not gold morphemes I can read; give .conllu of Universal Dependencies or "
            ".tsv of KLUE-DP, perhaps .gz"
        )
    words: Counter[Morphemes] = Counter()
    total = 0
    for word, cuts in _words(parts):
        whole = morphemes(word, [] if cuts is None else cuts)
        if whole is None:
            continue
        total += 1
        if cuts is not None:
            words[whole] += 1
    if not words:
        raise InputError(f"{path}: no Korean word whose morphemes are a cut of it")
    return Gold(path.name, words, total)


def _words(parts: Iterable[_Part]) -> Iterator[tuple[str, set[int] | None]]:
    """Words as written between spaces with their cuts; None where the cuts are not exact."""
    word, cuts = "", set[int]()
    exact = True
    for part in parts:
        at = len(word)
        exact = exact and "".join(part.morphemes) == part.form
        for morpheme in part.morphemes:
            cuts.add(at)
            at += len(morpheme)
        word += part.form
        if part.space:
            yield word, cuts if exact else None
            word, cuts, exact = "", set(), True
    if word:
        yield word, cuts if exact else None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open("rb") as raw:
        for number, line in read_lines(path, raw):
            if line.strip() and not line.startswith("#"):
                yield number, nfc(line).split("\t")


def _conllu(path: Path) -> Iterator[_Part]:
    rows = []
    for number, columns in _rows(path):
        if len(columns) != CONLLU_COLUMNS:
            raise InputError(
                f"{path}:{number}: {len(columns)} columns where CoNLL-U has {CONLLU_COLUMNS}"
            )
        if columns[0].isdigit():  # not 3-4, which is written but has no morphemes, nor 3.1
            rows.append(columns)
    in_misc = any("MSeg=" in row[_MISC] for row in rows)
    for row in rows:
        misc = dict(field.partition("=")[::2] for field in row[_MISC].split("|"))
        parts = _of_misc(row, misc) if in_misc else _of_lemma(row)
        yield _Part(row[_FORM], parts, misc.get("SpaceAfter") != "No")


def _of_lemma(row: list[str]) -> list[str]:
    form, lemma = row[_FORM], row[_LEMMA]
    return [form] if lemma == form else lemma.split("+")  # + itself is + there


def _of_misc(row: list[str], misc: dict[str, str]) -> list[str]:
    """The morphemes in PUD, whose LEMMA has only the first of them."""
    if "MSeg" in misc:
        return misc["MSeg"].split("-")
    # A Korean predicate always has an ending, but PUD segments hardly any (52 of 2,731): it does
    # not say that 따르는 is one morpheme, so that is no cut to count.
    return [] if row[_UPOS] in PREDICATES else [row[_FORM]]


def _klue(path: Path) -> Iterator[_Part]:
    for number, columns in _rows(path):
        if len(columns) != KLUE_COLUMNS or not columns[0].isdigit():
            raise InputError(f"{path}:{number}: not a row of KLUE-DP, which has 6 columns")
        yield _Part(columns[_FORM], columns[_LEMMA].split(), space=True)
