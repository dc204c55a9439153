"""The plots of an inspection, as inline SVG. Labels are names of languages and reasons."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from kobert_kit.corpus.inspection import LanguageFigures
from kobert_vocab.languages import KOREAN
from kobert_vocab.report.names import language_name
from kobert_vocab.report.plots import colour, dots, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 40  # languages in a plot of one row for each; as high as a screen
CURVES = 6  # languages in a plot of curves; more cannot be told apart
ROW = 0.21  # inches


def label(row: LanguageFigures) -> str:
    """``Korean (ko)``."""
    return f"{language_name(row.language)} ({row.language})"


def with_korean(rows: Sequence[LanguageFigures], count: int) -> list[LanguageFigures]:
    """The first ``count`` that hold a document, and Korean wherever it stands."""
    kept = [row for row in rows if row.kept]
    return kept[:count] + [row for row in kept[count:] if row.language == KOREAN]


def tokens(rows: Sequence[LanguageFigures]) -> Markup:
    """Tokens of the largest languages."""
    shown = with_korean(rows, ROWS)
    return _bars([label(row) for row in shown], [row.tokens for row in shown], "tokens")


def dropped(counts: Mapping[str, int]) -> Markup:
    """Documents that were dropped, by reason."""
    return _bars(list(counts), list(counts.values()), "documents")


def fertility(rows: Sequence[LanguageFigures]) -> Markup:
    """Tokens per word of the largest languages that have spaces between words."""
    spaced = with_korean([row for row in rows if row.fertility is not None], ROWS)
    values = [[(row.fertility or 0.0, 0.0) for row in spaced]]
    return dots([label(row) for row in spaced], values, "tokens per word", [1.0])


def lengths(rows: Sequence[LanguageFigures]) -> Markup:
    """How long the documents of the largest languages are, each language in per cent."""
    shown = with_korean(rows, CURVES)
    bins = max(len(row.lengths) for row in shown)

    def draw(axes: "Axes") -> None:
        for at, row in enumerate(shown):
            counts = [*row.lengths, *[0] * (bins - len(row.lengths))]
            shares = [100 * count / row.kept for count in counts]
            axes.stairs(
                shares,
                [2**k for k in range(bins + 1)],
                color=colour(at),
                linewidth=1.6,
                label=label(row),
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks([2**k for k in range(bins + 1)], [_short(2**k) for k in range(bins + 1)])
        axes.minorticks_off()
        axes.set_xlabel("tokens in a document")
        axes.set_ylabel("% of documents")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8.5)

    return inline_svg(draw, height=3.4)


def _bars(labels: Sequence[str], values: Sequence[int], title: str) -> Markup:
    """A bar for each label on a log axis, with its number behind it."""

    def draw(axes: "Axes") -> None:
        drawn = axes.barh(range(len(values)), values, 0.72, color=colour(0))
        axes.bar_label(drawn, [f"{value:,}" for value in values], fontsize=8, padding=3)
        axes.set_xscale("log")
        # A bar has no zero here: the axis begins a power of ten below the smallest, or so that 1
        # still has a bar, and ends so that the largest has its number behind it.
        below = 10.0 ** (len(str(min(values))) - 2)
        axes.set_xlim(max(0.7, below), 4 * max(values))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")  # not as a formula
        axes.set_yticks(range(len(values)), labels)
        axes.set_ylim(len(values) - 0.3, -0.7)
        axes.minorticks_off()
        axes.grid(axis="x")
        axes.set_xlabel(title)

    return inline_svg(draw, height=0.75 + ROW * len(values))


def _short(number: int) -> str:
    """``512``, ``4k``, ``1M``: powers of two, so that the axis stays legible."""
    for size, unit in ((1 << 20, "M"), (1 << 10, "k")):
        if number >= size:
            return f"{number // size}{unit}"
    return str(number)
