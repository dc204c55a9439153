"""The tables of ``results/vocabulary.json`` as Markdown: ``python benchmarks/vocabulary_table.py``.

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
    """A table for each thing that was measured."""
    made = [_korean(results["korean"]), _premiums(results["parity"]), _others(results)]
    return "\n\n".join("\n".join(lines) for lines in made) + "\n"


def _systems(section: dict[str, Any]) -> dict[str, Any]:
    return {
        name: one for name, one in section.items() if isinstance(one, dict) and "training" in one
    }


def _korean(section: dict[str, Any]) -> Iterator[str]:
    systems = _systems(section)
    texts = next(list(one["text"]) for one in systems.values() if "text" in one)
    yield "32,000 pieces from the same 122 MB of Korean text, in one run:"
    yield ""
    yield from head(
        *("", "F1 on gold morphemes", "crossing"),
        *(f"tokens per word: {name}" for name in texts),
        *("unknown, byte tokens", "syllables in 1 or 2 pieces", "seconds", "MiB"),
    )
    for name, one in systems.items():
        took = one["training"]
        if "text" not in one:
            stopped = f"not done after {took['seconds']:.0f} s"
            yield row(name, *(["–"] * (4 + len(texts))), stopped, took["mib"])
            continue
        reviews = one["text"][texts[0]]
        hangul = one["hangul"]
        yield row(
            name,
            f"{100 * one['gold']['f1']:.1f}",
            f"{one['gold']['crossing']:.1%}",
            *(f"{one['text'][text]['tokens_per_word']:.2f}" for text in texts),
            f"{reviews['unknown']:.2%}, {reviews['bytes']:.2%}",
            f"{hangul['all']['at_most_two']:,}",
            f"{took['seconds']:.0f}",
            took["mib"],
        )


def _premiums(section: dict[str, Any]) -> Iterator[str]:
    yield "128,000 pieces in 421 languages; tokens over English, on 302 held-out news sentences in"
    yield "122 languages:"
    yield ""
    yield from head("", "median", "largest", "Korean", "Gini", "seconds", "MiB")
    for name, one in _systems(section).items():
        took = one["training"]
        cells = [one[key] for key in ("median", "max", "korean", "gini")] if "gini" in one else []
        shown = [f"{cell:.3f}" for cell in cells] or ["–"] * 4
        yield row(name, *shown, f"{took['seconds']:.0f}", took["mib"])


def _others(results: dict[str, Any]) -> Iterator[str]:
    yield from head("", "")
    for name, one in results["exact"].items():
        if name not in ("corpora", "fuzz"):
            continue
        corpora = "lines of the corpora, composed and decomposed"
        yield row(
            f"{one['texts']:,} {corpora if name == 'corpora' else 'fuzzed texts'}",
            f"{one['ids_differ']} with other ids in `tokenizer.json`, "
            f"{one['text_differs']} that do not come back, {one['unknown']} unknown tokens",
        )
    if speed := results.get("speed"):
        yield row(
            f"encoding, {speed['lines']:,} lines on one thread",
            f"{speed['lines_per_second']:,} lines/s; "
            f"{speed['times_as_fast_as_sentencepiece']:.2f} times as fast as SentencePiece with a "
            "unigram model of its own",
        )
    million = results["million"]
    took = million["training"]
    yield row(
        f"32,000 pieces from {million['words']:,} different words, one core",
        f"{took['seconds']:.0f} s, {took['mib']} MiB",
    )
    for name, one in _systems(results["tenfold"]).items():
        took = one["training"]
        yield row(
            f"film reviews, {name}: {one['bytes'] / 1e6:.0f} MB, all steps",
            f"{took['seconds']:.0f} s, {took['mib']} MiB",
        )


if __name__ == "__main__":
    found = tables(json.loads((HERE / "results" / "vocabulary.json").read_text(encoding="utf-8")))
    print(found)
    if "--write" in sys.argv:
        markdown.write(found, "vocabulary.md", "vocabulary.ko.md")
