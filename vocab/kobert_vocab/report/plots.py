"""Plots as inline SVG whose text and lines take the colours of the page, dark or light.

Vocabularies are A, B, C in a plot and named beside it: a name may hold any character, and
matplotlib must measure what it draws.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kobert_vocab.report.metrics import UNKNOWN_AT_MOST

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

# Legible on white and on near-black; orange and blue differ for the colour-blind too.
COLOURS = ("#3f7fd0", "#e0802f", "#2fa37c", "#b763b0", "#9a8f1f", "#c9504a", "#4aa5b8", "#8a8f99")
_INK, _LINE = "#010203", "#040506"  # replaced by the page's own
WIDTH = 9.6  # inches
SCRIPTS_SHOWN = 9  # the rest are one bar


def letter(at: int) -> str:
    """What stands for a vocabulary in a plot: A for the first."""
    return chr(ord("A") + at) if at < 26 else str(at + 1)


def colour(at: int) -> str:
    """Its colour."""
    return COLOURS[at % len(COLOURS)]


Dot = tuple[float, float] | None
"""A value, and the share of unknown tokens behind it."""


def dots(
    labels: Sequence[str],
    series: Sequence[Sequence[Dot]],
    title: str,
    marks: Sequence[float],
) -> Markup:
    """A row for each label with a dot for each series, sorted by the first; lines at ``marks``.

    A dot is hollow where too much is unknown to compare.
    """

    def draw(axes: "Axes") -> None:
        first = [dot[0] if dot else 0.0 for dot in series[0]]
        order = sorted(range(len(labels)), key=lambda i: (-first[i], labels[i]))
        for at, values in enumerate(series):
            placed = [(y, dot) for y, i in enumerate(order) if (dot := values[i])]
            for hollow in (False, True):
                chosen = [(d[0], y) for y, d in placed if (d[1] > UNKNOWN_AT_MOST) == hollow]
                axes.plot(
                    [x for x, _ in chosen],
                    [y for _, y in chosen],
                    "o",
                    color=colour(at),
                    markerfacecolor="none" if hollow else None,
                    markersize=4.5,
                    alpha=0.9,
                )
        for mark in marks:
            axes.axvline(mark, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
        axes.set_yticks(range(len(labels)), [labels[i] for i in order])
        axes.set_ylim(len(labels) - 0.3, -0.7)
        axes.grid(axis="both")
        axes.set_xlabel(title)

    return inline_svg(draw, height=0.75 + 0.19 * len(labels))


def bars(labels: Sequence[str], series: Sequence[Sequence[float]]) -> Markup:
    """Shares in per cent: a group for each label, a bar for each series."""

    def draw(axes: "Axes") -> None:
        width = 0.8 / len(series)
        for at, values in enumerate(series):
            places = [x - 0.4 + width * (at + 0.5) for x in range(len(labels))]
            drawn = axes.bar(places, [100 * v for v in values], width * 0.92, color=colour(at))
            axes.bar_label(drawn, fmt="%.0f", fontsize=8, padding=1.5)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_ylabel("%")
        axes.set_ylim(0, 106)
        axes.grid(axis="y")

    return inline_svg(draw, height=2.9)


def stacks(kinds: Sequence[Mapping[str, int]]) -> Markup:
    """The pieces of each vocabulary by script, in per cent."""
    totals: dict[str, int] = {}
    for row in kinds:
        for kind, count in row.items():
            totals[kind] = totals.get(kind, 0) + count
    shown = sorted(totals, key=lambda kind: (-totals[kind], kind))[:SCRIPTS_SHOWN]

    names = [letter(i) for i in range(len(kinds))] if len(kinds) > 1 else [""]

    def draw(axes: "Axes") -> None:
        left = [0.0] * len(kinds)
        palette = _shades(len(shown) + 1)
        for kind, shade in zip([*shown, "others"], palette, strict=True):
            counts = [
                row.get(kind, 0)
                if kind != "others"
                else sum(n for k, n in row.items() if k not in shown)
                for row in kinds
            ]
            sizes = [100 * n / sum(row.values()) for n, row in zip(counts, kinds, strict=True)]
            if any(sizes):
                axes.barh(range(len(kinds)), sizes, 0.7, left=left, color=shade, label=kind)
            left = [a + b for a, b in zip(left, sizes, strict=True)]
        axes.set_yticks(range(len(kinds)), names)
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of pieces")
        axes.figure.legend(
            loc="outside upper left", ncols=5, frameon=False, fontsize=8.5, labelcolor=_INK
        )

    return inline_svg(draw, height=1.3 + 0.36 * len(kinds))


def lengths(series: Sequence[Sequence[int]]) -> Markup:
    """How many pieces are of 1, 2, ... characters, in per cent; the last is all longer ones."""

    def draw(axes: "Axes") -> None:
        for at, counts in enumerate(series):
            shares = [100 * n / max(1, sum(counts)) for n in counts]
            places = range(1, len(counts) + 1)
            axes.plot(places, shares, "o-", color=colour(at), markersize=3.5, linewidth=1.5)
        last = max(len(counts) for counts in series)
        axes.set_xticks(
            range(1, last + 1), [str(n) if n < last else f"{n}+" for n in range(1, last + 1)]
        )
        axes.set_xlabel("characters in a piece")
        axes.set_ylabel("% of learnt pieces")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")

    return inline_svg(draw, height=2.6)


def _shades(count: int) -> list[str]:
    return [*COLOURS, "#6d5fc7", "#5d6b7a"][:count]


def inline_svg(draw: Callable[["Axes"], None], height: float) -> Markup:
    """What ``draw`` draws, ``height`` inches high. Labels are escaped and are never formulas."""
    import matplotlib as mpl  # here: `import kobert_vocab` stays quick
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # not what a person has set for plots of their own
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        axes.set_axisbelow(True)
        draw(axes)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor").replace(_LINE, "var(--line)")
    return Markup(svg)  # of our own making; matplotlib escapes the labels


_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",  # the browser draws the letters
    "svg.hashsalt": "kobert",  # the same ids each time
    "text.parse_math": False,  # a dollar in a label is a dollar
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
}
