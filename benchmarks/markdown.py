"""Tables of results in Markdown, and the places in the documentation that they stand in."""

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
MARKS = re.compile(r"(<!-- table -->\n).*?(<!-- /table -->)", re.DOTALL)


def results(name: str) -> dict[str, Any]:
    """What a benchmark has left in ``results/``."""
    found: dict[str, Any] = json.loads((HERE / "results" / name).read_text(encoding="utf-8"))
    return found


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(*cells: str) -> list[str]:
    """The two lines above a table."""
    return [row(*cells), row(*("---" for _ in cells))]


def write(found: str, *pages: str) -> None:
    """Replace what stands between the marks of each page by the tables ``found``."""
    for name in pages:
        text = (DOCS / name).read_text(encoding="utf-8")
        text = MARKS.sub(lambda m: f"{m[1]}\n{found}\n{m[2]}", text)
        (DOCS / name).write_text(text, encoding="utf-8")
