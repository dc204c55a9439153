"""The rows of the comparison: a label, a value for each vocabulary, and which of them is best."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kobert_vocab.report.compare import Comparison, Measured
from kobert_vocab.report.metrics import UNKNOWN_AT_MOST
from kobert_vocab.report.names import language_name
from kobert_vocab.report.parallel import KOREAN
from kobert_vocab.report.text import TextFigures

WHOLE, TWO, THREE = "{:,.0f}", "{:.2f}", "{:.3f}"
PERCENT, FINE_PERCENT = "{:.1%}", "{:.2%}"
LOW, HIGH = "low", "high"
NONE = "–"
LANGUAGES_AT_MOST = 12  # in the table, those with most tokens; a page has all


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    section: str
    label: str
    note: str
    cells: list[str]
    best: list[bool]
    """Which cells are the best; none where there is no better, or all are equal."""
    unfair: list[bool]
    """Which cells cannot be: too much of the text is unknown there, which makes it short."""


class _Metric(NamedTuple):
    label: str
    value: Callable[[Measured], float | None]
    form: str
    better: str = ""
    note: str = ""
    unknown: Callable[[Measured], float] = lambda v: 0.0
    """The share of unknown tokens in what is measured."""


def rows(comparison: Comparison) -> list[Row]:
    """All rows that have a value."""
    made = (
        _row(section, metric, comparison.vocabularies)
        for section, metrics in _sections(comparison.vocabularies[0])
        for metric in metrics
    )
    return [row for row in made if any(cell != NONE for cell in row.cells)]


def _row(section: str, metric: _Metric, vocabularies: list[Measured]) -> Row:
    values = [metric.value(v) for v in vocabularies]
    cells = [NONE if value is None else show(value, metric.form) for value in values]
    unfair = [metric.unknown(v) > UNKNOWN_AT_MOST for v in vocabularies]
    fair = [v for v, bad in zip(values, unfair, strict=True) if v is not None and not bad]
    best = [False] * len(values)
    if metric.better and fair and len(set(cells)) > 1:
        # As printed: a difference that is not shown does not win.
        top = show(min(fair) if metric.better == LOW else max(fair), metric.form)
        best = [cell == top and not bad for cell, bad in zip(cells, unfair, strict=True)]
    return Row(section, metric.label, metric.note, cells, best, unfair)


def show(value: float, form: str) -> str:
    """``value`` in a form of this file; of a share that is not quite 0, that it is not."""
    text = form.format(value)
    if value > 0 and form == FINE_PERCENT and text == form.format(0):
        return "<0.01%"
    return text


def _sections(first: Measured) -> Iterator[tuple[str, list[_Metric]]]:
    yield "Size", [_Metric("pieces", lambda v: v.size, WHOLE, note="special ones included")]
    yield "Text", [*_text(), *_words(), *_back()]
    codes = sorted(first.text.languages, key=lambda code: -first.text.languages[code].tokens)
    codes = codes[:LANGUAGES_AT_MOST]
    if len(codes) > 1:
        yield "Tokens per word, by language", [_of_language(c, _fertility, TWO, LOW) for c in codes]
        yield (
            "Characters per token, by language",
            [_of_language(c, lambda f: f.characters_per_token, TWO, HIGH) for c in codes],
        )
        yield (
            "Byte tokens, by language",
            [_of_language(c, lambda f: f.bytes, FINE_PERCENT, LOW) for c in codes],
        )
    if len(first.text.languages) < len(first.text.files) <= LANGUAGES_AT_MOST:
        yield "Tokens per word, by file", [_of_file(name) for name in first.text.files]
    yield "Gold morphemes", _boundaries("gold")
    yield "Silver morphemes", _boundaries("silver")
    yield "Parity with English", _parity()
    yield "Hangul", _hangul()
    yield "Pieces", _pieces()


def _text() -> list[_Metric]:
    def number(name: str) -> Callable[[Measured], float]:
        return lambda v: getattr(v.text.all, name)

    in_words = "fertility; where words have spaces between them"
    partial = "share of tokens; byte-level: those that are not whole characters"
    lost = number("unknown")
    return [
        _Metric("tokens per word", lambda v: _fertility(v.text.all), THREE, LOW, in_words, lost),
        _Metric("characters per token", number("characters_per_token"), TWO, HIGH, "", lost),
        _Metric("bytes per token", number("bytes_per_token"), TWO, HIGH, "of UTF-8", lost),
        _Metric("unknown tokens", number("unknown"), FINE_PERCENT, LOW, "share of tokens"),
        _Metric("byte tokens", number("bytes"), FINE_PERCENT, LOW, partial),
    ]


def _words() -> list[_Metric]:
    def number(name: str) -> Callable[[Measured], float | None]:
        return lambda v: getattr(v.text.all.words, name, None)

    cut = "share of running words in more than one piece"
    whole = "share of running words that are one known piece (STRR)"
    unknown = "share of running words with an unknown token"
    return [
        _Metric("words cut", number("continued"), PERCENT, note=cut),
        _Metric("different words cut", number("continued_types"), PERCENT),
        _Metric("words kept whole", number("kept_whole"), PERCENT, note=whole),
        _Metric("words with unknown", number("with_unknown"), FINE_PERCENT, LOW, unknown),
    ]


def _back() -> list[_Metric]:
    def number(name: str) -> Callable[[Measured], float | None]:
        return lambda v: getattr(v.text.round_trip, name)

    same = "share of lines that decode to themselves, spaces included"
    normalized = "share of lines; only ours says what it normalises to"
    renyi = "alpha 2.5; reported only, as better need not be better in use"
    return [
        _Metric("text comes back", number("same"), PERCENT, HIGH, same),
        _Metric("letters come back", number("letters_same"), PERCENT, HIGH, "whatever the spaces"),
        _Metric("normalised text too", number("normalized_same"), PERCENT, note=normalized),
        _Metric("vocabulary used", lambda v: v.text.used, PERCENT, note="share of pieces"),
        _Metric("Rényi efficiency", lambda v: v.text.renyi_efficiency, THREE, note=renyi),
    ]


def _fertility(figures: TextFigures) -> float | None:
    return figures.words.fertility if figures.words else None


def _of_language(
    code: str, number: Callable[[TextFigures], float | None], form: str, better: str
) -> _Metric:
    return _Metric(
        language_name(code),
        lambda v: number(v.text.languages[code]),
        form,
        better,
        unknown=lambda v: v.text.languages[code].unknown,
    )


def _of_file(name: str) -> _Metric:
    return _Metric(
        name,
        lambda v: _fertility(v.text.files[name]),
        TWO,
        LOW,
        unknown=lambda v: v.text.files[name].unknown,
    )


def _boundaries(standard: str) -> list[_Metric]:
    def number(name: str) -> Callable[[Measured], float | None]:
        return lambda v: getattr(getattr(v, standard), name, None)

    left_out = number("left_out")
    inside = "tokens that a morpheme starts inside of"
    return [
        _Metric("F1", number("f1"), PERCENT, HIGH, "token starts against morpheme starts"),
        _Metric("precision", number("precision"), PERCENT, HIGH, "cuts that are at a morpheme"),
        _Metric("recall", number("recall"), PERCENT, HIGH, "morphemes that are cut"),
        _Metric("crossing", number("crossing"), PERCENT, LOW, inside),
        # A row of zeros says nothing.
        _Metric("words left out", lambda v: left_out(v) or None, WHOLE, note="places unknown"),
    ]


def _parity() -> list[_Metric]:
    def number(name: str) -> Callable[[Measured], float | None]:
        return lambda v: getattr(v.parity, name, None)

    def lost(v: Measured) -> float:
        return v.parity.unknown if v.parity else 0.0

    premium = "tokens over those of English for the same"
    per_line = "of tokens per line over languages"
    return [
        _Metric("Korean", number("korean"), TWO, LOW, premium, _unknown_korean),
        _Metric("median", number("median"), TWO, LOW, "over languages", lost),
        _Metric("most", number("max"), TWO, LOW, "the dearest language", lost),
        _Metric("Gini", number("gini"), THREE, LOW, per_line, lost),
    ]


def _unknown_korean(v: Measured) -> float:
    korean = v.parity.languages.get(KOREAN) if v.parity else None
    return korean.unknown if korean else 0.0


def _hangul() -> list[_Metric]:
    def all_of(name: str) -> Callable[[Measured], float]:
        return lambda v: getattr(v.hangul.all, name)

    def nfd(name: str) -> Callable[[Measured], float | None]:
        return lambda v: getattr(v.hangul.nfd, name, None)

    blow_up = "tokens of Korean text in NFD over those in NFC"
    in_one = "of 2,350 syllables"
    return [
        _Metric("KS X 1001 in one piece", lambda v: v.hangul.ks_x_1001.one, WHOLE, HIGH, in_one),
        _Metric("all in one piece", all_of("one"), WHOLE, HIGH, "of 11,172 syllables"),
        _Metric("all in at most two", all_of("at_most_two"), WHOLE, HIGH),
        _Metric("all in at most three", all_of("at_most_three"), WHOLE, HIGH),
        _Metric("unknown syllables", all_of("unknown"), WHOLE, LOW, "of 11,172"),
        _Metric("jamo kept", lambda v: v.hangul.jamo_kept, WHOLE, HIGH, "of 51, such as ㅋ and ㅠ"),
        _Metric("decomposed blow-up", nfd("blow_up"), TWO, LOW, blow_up),
        _Metric("decomposed same ids", nfd("same_ids"), PERCENT, HIGH, "share of lines"),
    ]


def _pieces() -> list[_Metric]:
    never = "learnt but never made of text"
    return [
        _Metric("unreachable", lambda v: v.pieces.unreachable, WHOLE, LOW, never),
        _Metric("mean length", lambda v: v.pieces.mean_length, TWO, note="characters"),
        _Metric("that begin words", lambda v: v.pieces.begin_words, WHOLE),
        _Metric("in Hangul", lambda v: v.pieces.kinds.get("Hangul", 0), WHOLE),
    ]
