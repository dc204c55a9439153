"""``results/pretraining.json`` as Markdown: ``python benchmarks/pretraining_table.py``.

With ``--write`` it replaces what stands between the marks in the pages of ``docs/``.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import markdown
from markdown import head, row

HERE = Path(__file__).parent


def table(results: dict[str, Any]) -> Iterator[str]:
    """A row for each shape, the losing ones too."""
    shapes = {name: one for name, one in results.items() if "tokens/s" in str(one)}
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


if __name__ == "__main__":
    found = json.loads((HERE / "results" / "pretraining.json").read_text(encoding="utf-8"))
    made = "\n".join(table(found)) + "\n"
    print(made)
    if "--write" in sys.argv:
        markdown.write(made, "pretraining.md", "pretraining.ko.md")
