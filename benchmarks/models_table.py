"""``results/inference.json`` and ``results/drop_in.json`` as Markdown tables.

With ``--write`` it replaces what stands between the marks in the pages of ``docs/``.
"""

import sys
from collections.abc import Iterator
from typing import Any

import markdown
from markdown import head, results, row


def inference_table(found: dict[str, Any]) -> Iterator[str]:
    """A row for each precision."""
    yield from head(
        "texts to vectors",
        *("kobert-kit", "transformers", "sorted by length"),
        *("times transformers", "times sorted"),
    )
    rates, times = found["tokens/s"], found["times transformers"]
    for kind in ("fp32", "bf16"):
        systems = (f"kobert-kit {kind}", f"transformers {kind}", f"transformers {kind}, sorted")
        yield row(
            kind, *(f"{rates[name]:,}" for name in systems), times[kind], times[f"{kind}, sorted"]
        )


def drop_in_table(found: dict[str, Any]) -> Iterator[str]:
    """A row for each case, the losing ones too."""
    cases = {name: case for name, case in found.items() if "tokens/s" in str(case)}
    systems = list(next(iter(cases.values()))["tokens/s"])
    yield from head(
        *("a stock model", "tokens a batch", "padding"),
        *systems,
        *("packed, times padded", "packed, times sorted"),
    )
    for name, case in cases.items():
        yield row(
            name,
            f"{case['tokens a batch']:,}",
            f"{case['padding']:.0%}",
            *(f"{case['tokens/s'][system]:,}" for system in systems),
            *(case[f"times sdpa, {form}"]["ours, packed"] for form in ("padded", "sorted")),
        )


if __name__ == "__main__":
    inference, drop_in = results("inference.json"), results("drop_in.json")
    made = "\n".join([*inference_table(inference), "", *drop_in_table(drop_in)]) + "\n"
    print(made)
    if "--write" in sys.argv:
        markdown.write(made, "models.md", "models.ko.md")
