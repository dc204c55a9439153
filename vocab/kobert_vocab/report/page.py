"""A comparison as one page of HTML that asks for nothing from outside."""

from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from kobert_vocab.report import plots
from kobert_vocab.report.compare import Comparison, Measured
from kobert_vocab.report.names import language_name
from kobert_vocab.report.rows import rows
from kobert_vocab.report.summary import sentences
from kobert_vocab.report.table import used
from kobert_vocab.report.templates import environment
from kobert_vocab.report.text import TextFigures


def write_page(comparison: Comparison, path: str | Path) -> None:
    """Write the page to ``path``."""
    Path(path).write_text(page(comparison), encoding="utf-8")


def page(comparison: Comparison) -> str:
    """The page; the same comparison gives the same bytes."""
    vocabularies = comparison.vocabularies
    places = range(len(vocabularies))
    labels, fertility = _fertility(vocabularies)
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            version=version("kobert-kit"),
            sentences=sentences(comparison),
            used=" ".join(used(comparison)),
            vocabularies=vocabularies,
            letters=[plots.letter(i) for i in places],
            colours=[plots.colour(i) for i in places],
            sections=[
                (section, list(group))
                for section, group in groupby(rows(comparison), key=lambda row: row.section)
            ],
            standard="gold" if comparison.gold else "silver",
            morphemes=_morphemes(vocabularies),
            gold=comparison.gold,
            analyser=comparison.analyser,
            parity=_parity(vocabularies),
            parity_languages=_parity_languages(vocabularies),
            fertility=plots.dots(labels, fertility, "tokens per word", []) if labels else "",
            groups=_groups(vocabularies),
            scripts=plots.stacks([v.pieces.kinds for v in vocabularies]),
            lengths=plots.lengths([v.pieces.lengths for v in vocabularies]),
            examples=comparison.examples,
            disputed=comparison.disputed,
            from_text=comparison.from_text,
            files=comparison.files,
        )
    )


def _morphemes(vocabularies: list[Measured]) -> Markup:
    scores = [score for v in vocabularies if (score := v.gold or v.silver)]
    if not scores:
        return Markup()
    values = [[s.recall, s.precision, s.f1, s.crossing] for s in scores]
    return plots.bars(["recall", "precision", "F1", "tokens that cross"], values)


def _parity_languages(vocabularies: list[Measured]) -> list[tuple[str, str]]:
    parity = vocabularies[0].parity
    if parity is None:
        return []
    codes = sorted(parity.languages, key=lambda code: -parity.languages[code].premium)
    return [(code, language_name(code)) for code in codes]


def _parity(vocabularies: list[Measured]) -> Markup:
    languages = _parity_languages(vocabularies)
    found = [v.parity.languages for v in vocabularies if v.parity]
    series = [[(row[c].premium, row[c].unknown) for c, _ in languages] for row in found]
    labels = [f"{name} ({code})" for code, name in languages]
    title = "tokens, over those of English"
    return plots.dots(labels, series, title, [1.0]) if series else Markup()


def _fertility(vocabularies: list[Measured]) -> tuple[list[str], list[list[plots.Dot]]]:
    """Languages with words between spaces and their values in each vocabulary, if several."""
    texts = [v.text.languages for v in vocabularies]
    codes = [code for code, figures in texts[0].items() if figures.words]
    if len(codes) < 2:
        return [], []
    labels = [f"{language_name(code)} ({code})" for code in codes]
    return labels, [[_of_words(text[code]) for code in codes] for text in texts]


def _of_words(figures: TextFigures) -> tuple[float, float] | None:
    return (figures.words.fertility, figures.unknown) if figures.words else None


def _groups(vocabularies: list[Measured]) -> list[tuple[str, list[TextFigures]]]:
    """Each language, then each file, with what each vocabulary makes of it."""
    first = vocabularies[0].text
    languages = [
        (f"{language_name(code)} ({code})", [v.text.languages[code] for v in vocabularies])
        for code in first.languages
    ]
    files = [(name, [v.text.files[name] for v in vocabularies]) for name in first.files]
    return [*languages, *files] if len(first.files) > 1 else languages
