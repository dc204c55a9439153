"""Pieces learnt from ``FOLDER/rows/rows.tsv``: ``python vocabulary_million.py FOLDER``."""

import sys
from pathlib import Path

from kobert_vocab.fit import fit_unigram, mine_seeds
from kobert_vocab.word_counts import read_counts

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    rows = folder / "rows" / "rows.tsv"
    chars = frozenset("".join({c for word, _ in read_counts(rows) for c in word})) - set(" \u2581")
    for step in ("seeds", "model"):
        (folder / step).mkdir()
    mine_seeds(rows, folder / "seeds" / "seeds.tsv", chars, size=32_000)
    fit_unigram(
        rows,
        folder / "seeds" / "seeds.tsv",
        folder / "model" / "unigram.model",
        chars,
        size=32_000,
        unused=100,
        reserved=[],
    )
