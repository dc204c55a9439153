"""``results/pretraining.json`` and ``results/equal_time.json`` as Markdown tables.

With ``--write`` it replaces what stands between the marks in the pages of ``docs/``.
"""

import sys
from collections.abc import Iterator
from typing import Any

import markdown
from markdown import head, results, row


def table(found: dict[str, Any]) -> Iterator[str]:
    """A row for each shape, the losing ones too."""
    shapes = {name: one for name, one in found.items() if "tokens/s" in str(one)}
    systems = list(next(iter(shapes.values()))["tokens/s"])
    times = ("times transformers", "times transformers without padding")
    yield from head(
        "layers, width, length", "tokens a step", "padding of transformers", *systems, *times
    )
    for one in shapes.values():
        yield row(
            f"{one['layers']}, {one['hidden_size']}, {one['length']}",
            f"{one['tokens a step']:,}",
            f"{one['padding of transformers']:.0%}",
            *(f"{one['tokens/s'][name]:,}" for name in systems),
            *(one[name] for name in times),
        )


def equal_time_table(found: dict[str, Any]) -> Iterator[str]:
    """A row for each system that had the same time."""
    measures = ("steps", "loss", "accuracy", "bits per character")
    yield from head(f"after {found['minutes']:g} minutes", *measures)
    for name, one in found["after training"].items():
        yield row(name, *(f"{one[measure]:,}" for measure in measures))


if __name__ == "__main__":
    speed, time = results("pretraining.json"), results("equal_time.json")
    made = "\n".join([*table(speed), "", *equal_time_table(time)]) + "\n"
    print(made)
    if "--write" in sys.argv:
        markdown.write(made, "pretraining.md", "pretraining.ko.md")
