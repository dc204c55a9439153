"""NTREX-128 in the multilingual corpus, parted by document into text to learn from and to test on.

The corpus (a folder of ``<key>.txt.gz`` with ``SECTIONS.tsv``) has 123 news documents in 122
languages, but only 91 of them in 20 languages, English and Korean among them. Which 91 these are is
not written anywhere: it is found from the documents' numbers of lines and the numbers in them.
"""

import csv
import gzip
import re
from collections import defaultdict
from itertools import groupby
from pathlib import Path

Document = list[str]
TEST, DEV = 3, 4  # of every five common documents the fourth is for testing, the fifth for parity
ALL_DOCUMENTS = 123
REFERENCE = "dan"  # has them all, in Latin letters


def part(corpus: Path, out: Path) -> None:
    """Write ``out/train/<key>.txt``, and line-aligned ``out/dev/`` and ``out/test/``."""
    sections = defaultdict(list)
    with (corpus / "SECTIONS.tsv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            sections[row["key"]].append(row)
    news = {key: _news(corpus, key, rows) for key, rows in sections.items()}
    news = {key: documents for key, documents in news.items() if documents}
    common = _common(news["eng"], news[REFERENCE])
    for folder in ("train", "dev", "test"):
        (out / folder).mkdir(parents=True)
    for key, rows in sections.items():
        text = _lines(corpus, key)
        if key in news:
            documents = news[key]
            kept = range(len(documents)) if len(documents) < ALL_DOCUMENTS else common
            assert [len(documents[i]) for i in kept] == [len(news["eng"][i]) for i in range(91)]
            held = {"test": kept[TEST::5], "dev": kept[DEV::5]}
            for folder, numbers in held.items():
                lines = [line for i in numbers for line in documents[i]]
                (out / folder / f"{key}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            rest = [d for i, d in enumerate(documents) if i not in {*held["test"], *held["dev"]}]
            others = [text[first:last] for name, first, last in _spans(rows) if name != "ntrex"]
            text = [line for d in [*rest, *others] for line in [*d, ""]]
        (out / "train" / f"{key}.txt").write_text("\n".join(text) + "\n", encoding="utf-8")


def _lines(corpus: Path, key: str) -> list[str]:
    with gzip.open(corpus / f"{key}.txt.gz", "rt", encoding="utf-8") as file:
        return file.read().split("\n")


def _spans(rows: list[dict[str, str]]) -> list[tuple[str, int, int]]:
    return [(row["source"], int(row["first_line"]) - 1, int(row["last_line"])) for row in rows]


def _news(corpus: Path, key: str, rows: list[dict[str, str]]) -> list[Document]:
    spans = [(first, last) for name, first, last in _spans(rows) if name == "ntrex"]
    if not spans:
        return []
    lines = _lines(corpus, key)[slice(*spans[0])]
    return [list(group) for filled, group in groupby(lines, key=bool) if filled]


def _common(some: list[Document], every: list[Document]) -> list[int]:
    """Which documents of ``every`` are ``some``, in order: the way with most numbers shared."""
    best = [[0.0] * (len(every) + 1) for _ in range(len(some) + 1)]
    for i in range(len(some) - 1, -1, -1):
        best[i][len(every)] = float("-inf")
        for j in range(len(every) - 1, -1, -1):
            best[i][j] = best[i][j + 1]
            if len(some[i]) == len(every[j]):
                best[i][j] = max(best[i][j], best[i + 1][j + 1] + _alike(some[i], every[j]))
    found, j = [], 0
    for i in range(len(some)):
        while best[i][j] == best[i][j + 1]:
            j += 1
        found.append(j)
        j += 1
    return found


def _alike(a: Document, b: Document) -> float:
    """The share of numbers and capitalised words that two documents have in common."""
    ours, theirs = (set(re.findall(r"\d+|[A-Z]\w{3,}", " ".join(d))) for d in (a, b))
    return len(ours & theirs) / max(1, len(ours | theirs))
