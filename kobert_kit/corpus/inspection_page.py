"""An inspection as one page of HTML that asks for nothing from outside."""

from itertools import groupby
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader

from kobert_kit import __version__
from kobert_kit.corpus import inspection_plots as plots
from kobert_kit.corpus.cleaning_steps import cleaning_rows
from kobert_kit.corpus.inspection import Inspection
from kobert_kit.corpus.inspection_table import decimals, listed
from kobert_vocab.report import templates
from kobert_vocab.report.names import language_name

SHOWN = 20  # rows of a table before one has to open the rest
# What the names in `document_filters` and `part` mean.
REASONS = {
    "short": "fewer than two letters",
    "symbols": "few letters among signs and digits",
    "language": "in the script of another language",
    "repetitive": "says the same again and again",
    "empty": "nothing is left of it for the vocabulary",
}


def write_page(inspection: Inspection, path: Path) -> None:
    """Write the page to ``path``."""
    path.write_text(page(inspection), encoding="utf-8")


def page(inspection: Inspection) -> str:
    """The page; the same corpus gives the same bytes."""
    languages, total = inspection.languages, inspection.total
    return (
        _environment()
        .get_template("inspection.html.jinja")
        .render(
            version=__version__,
            inspection=inspection,
            shown=SHOWN,
            plotted=plots.ROWS,
            reasons=REASONS,
            held_languages=sum(row.kept > 0 for row in languages),
            tokens=plots.tokens(languages),
            lengths=plots.lengths(languages),
            fertility=plots.fertility(languages) if total.fertility is not None else "",
            dropped=plots.dropped(total.dropped) if total.dropped else "",
            dropped_documents=sum(total.dropped.values()),
            cleaning=cleaning_rows(inspection),
            faulty=[source for source in inspection.sources if source.problems],
            samples=[
                (language, list(group))
                for language, group in groupby(inspection.samples, key=lambda one: one.language)
            ],
        )
    )


def _environment() -> Environment:
    """That of the vocabulary's pages, whose style this one has, with the template beside this."""
    theirs = templates.environment()
    assert theirs.loader is not None
    own = PackageLoader("kobert_kit.corpus", ".")
    environment = theirs.overlay(loader=ChoiceLoader([own, theirs.loader]))
    environment.filters.update(decimals=decimals, listed=listed, name=language_name)
    return environment
