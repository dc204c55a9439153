"""The tables of ``results/corpus.json`` as Markdown: ``python benchmarks/corpus_table.py``.

With ``--write`` they replace what stands between the marks in the pages of ``docs/``.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import markdown
from markdown import head, row

HERE = Path(__file__).parent


def tables(results: dict[str, Any]) -> str:
    """A table for building, one for reading, and one for languages."""
    made = [
        _builds(results),
        _batches(results["loader"]),
        _by_workers(results["loader"]),
        _shares(results["languages"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in made) + "\n"


def _builds(results: dict[str, Any]) -> Iterator[str]:
    yield from head("built", "MB of text", "MB/s", "MiB", "documents", "kept", "dropped")
    rows = {
        "all Korean text": results["build"]["Korean"],
        "English": results["build"]["English"],
        "421 languages and Korean": results["languages"]["build"],
    }
    rows["all Korean text, ten times"] = results["tenfold"]["Korean, ten times"]
    for name, how in results["kiwi"].items():
        if isinstance(how, dict) and "kiwi" in how:
            rows |= {f"{name}, by {way}": how[way] for way in ("rules", "kiwi")}
    for name, one in rows.items():
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in one["dropped"].items())
        yield row(
            name,
            one["MB"],
            one["MB/s"],
            one["mib"],
            f"{one['documents']:,}",
            f"{one['kept']:,}",
            dropped or "–",
        )


def _batches(section: dict[str, Any]) -> Iterator[str]:
    names = ("seconds to open", "million tokens/s", "full", "ms to find what step 10,000,000 has")
    yield from head("batches of 65,536 tokens", "pairs, unit, length", *names)
    for corpus, rows in section.items():
        if isinstance(rows, dict) and "none, piece, 512" in rows:
            for name, one in rows.items():
                cells = [f"{one[key]:.2%}" if key == "full" else one[key] for key in names]
                yield row(corpus, name, *cells)


def _by_workers(section: dict[str, Any]) -> Iterator[str]:
    rows = {name: one for name, one in section.items() if name.endswith(", by workers")}
    workers = list(next(iter(rows.values())))
    yield from head("million tokens/s with workers that load pairs of 512", *workers)
    for name, one in rows.items():
        yield row(name.removesuffix(", by workers"), *one.values())


def _shares(section: dict[str, Any]) -> Iterator[str]:
    furthest = section["largest difference of a share in any 1,000 windows"]
    yield from head(f"{section['languages']} languages", *furthest)
    yield row(
        "largest difference of a share in 1,000 windows", *(f"{x:.2%}" for x in furthest.values())
    )


if __name__ == "__main__":
    found = tables(json.loads((HERE / "results" / "corpus.json").read_text(encoding="utf-8")))
    print(found)
    if "--write" in sys.argv:
        markdown.write(found, "corpus.md", "corpus.ko.md")
