"""The curves of a run as SVG with real text: loss, the steps themselves, accuracy by language."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from kobert_vocab.languages import languages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 300  # points in a curve; more than a screen shows only makes the page heavy
SHOWN = 8  # languages with a curve of their own: the colours that can be told apart
WIDTH = 7.5  # inches, of the page's column
TRAINING, HELD_OUT = "#3b6fb6", "#c2571a"
# What is known of a step beside its losses, and its title.
ABOUT = {
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm",
    "tokens_per_second": "tokens a second",
    "loader_wait": "waiting for batches",
}

Rows = Sequence[Mapping[str, Any]]  # of metrics.jsonl


def loss_curve(rows: Rows) -> str:
    """Training and held-out loss over the steps."""
    held = [(row["step"], row["evaluation"]["loss"]) for row in rows if "evaluation" in row]
    with _drawing(1, height=3.2) as (figure, (axes,)):
        axes.plot(*_binned(rows, "masked_loss"), color=TRAINING, label="training")
        axes.plot(*zip(*held, strict=True), "o-", color=HELD_OUT, markersize=4, label="held out")
        axes.set_ylabel("masked-LM loss (nats)")
        axes.legend(frameon=False)
        return _svg(figure)


def step_curves(rows: Rows) -> str:
    """Learning rate, norm of the gradient, speed, and the share of the time spent waiting."""
    with _drawing(len(ABOUT), height=2.0) as (figure, all_axes):
        for axes, (name, title) in zip(all_axes, ABOUT.items(), strict=True):
            axes.plot(*_binned(rows, name), color=TRAINING)
            axes.set_title(title, fontsize=8)
            axes.set_ylim(bottom=0)
            axes.tick_params(labelsize=6)
        return _svg(figure)


def language_curves(rows: Rows) -> str:
    """Accuracy and bits per character of the languages that most is masked in, Korean first."""
    found = [(row["step"], row["evaluation"]["languages"]) for row in rows if "evaluation" in row]
    _, last = found[-1]
    codes = sorted(last, key=lambda code: (code != "ko", -last[code]["masked"], code))[:SHOWN]
    with _drawing(2, height=3.2) as (figure, (accuracy, bits)):
        for code in codes:
            name = languages()[code].name if code in languages() else code
            accuracy.plot(*_of_language(found, code, "accuracy"), "o-", markersize=3, label=name)
            bits.plot(*_of_language(found, code, "bits_per_character"), "o-", markersize=3)
        accuracy.set_ylabel("masked tokens right")
        accuracy.set_ylim(bottom=0)
        accuracy.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        accuracy.legend(frameon=False, fontsize=8)
        bits.set_ylabel("bits per character")
        return _svg(figure)


def _of_language(
    found: Sequence[tuple[int, Mapping[str, Any]]], code: str, name: str
) -> tuple[list[int], list[float]]:
    """Steps and scores; a run begun by an older version lacks what that did not measure."""
    scored = [(step, scores.get(code, {}).get(name)) for step, scores in found]
    known = [(step, score) for step, score in scored if score is not None]
    return [step for step, _ in known], [score for _, score in known]


def _binned(rows: Rows, name: str) -> tuple[list[int], list[float]]:
    """Steps and means of ``name``; a step that was left out has none."""
    known = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    stride = max(1, len(known) // BINS)
    bins = [known[i : i + stride] for i in range(0, len(known), stride)]
    means = [sum(value for _, value in one) / len(one) for one in bins]
    return [one[-1][0] for one in bins], means


@contextmanager
def _drawing(count: int, height: float) -> Iterator[tuple["Figure", Sequence["Axes"]]]:
    """A figure with ``count`` axes side by side."""
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kobert", "font.size": 10}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = figure.subplots(1, count, squeeze=False)[0]
        for axes in grid:
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel("step", fontsize=8)
        yield figure, grid


def _svg(figure: "Figure") -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
