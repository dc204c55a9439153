"""A stock BERT of transformers with its own attention and with ours, on Korean text.

    python benchmarks/drop_in.py CORPUS

Batches of 64 sentences (at most 128 tokens) and of 64 documents (at most 256), drawn from a corpus,
through a `BertModel` with some layers of BERT-Base's size: forward alone, and with backward, with
dropout and without. The contenders take turns in one process, with the same batches and weights:

    sdpa, padded     as it comes: rows padded to the longest of the batch
    sdpa, sorted     the same texts by length, in four batches of 16: what one does against padding
    ours, padded     the batch as it comes; attention alone leaves padding out
    ours, packed     the texts end to end in one row, which stock attention would let leak
    ours, packed, norms     with our norms too

tokens/s counts tokens of text, in seconds of the clock. The table goes to
``benchmarks/results/drop_in.json``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertModel

from kobert_kit.corpus.shards import Corpus
from kobert_kit.drop_in import packed, use_kobert_kernels

RESULTS = Path(__file__).parent / "results" / "drop_in.json"
ROWS = 64
Texts = list[list[int]]
Batch = dict[str, Tensor | int]


@dataclass(frozen=True)
class Case:
    """What is cut from the corpus, and what is done with it."""

    unit: str
    longest: int
    backward: bool
    dropout: float


CASES = {
    f"{unit}, {work}": Case(unit, longest, work != "forward", 0.1 if work == "dropout" else 0.0)
    for unit, longest in (("sentences", 128), ("documents", 256))
    for work in ("forward", "backward", "dropout")
}


def texts_of(corpus: Corpus, case: Case, number: int) -> Texts:
    """Ids of sentences or documents drawn at random, cut at the longest."""
    shard = corpus.shards["ko"]
    bounds = shard.sentences
    if case.unit == "documents":
        bounds = bounds[shard.documents]
    drawn = np.random.default_rng(0).choice(len(bounds) - 1, number, replace=False)
    return [
        shard.tokens[bounds[i] : min(bounds[i + 1], bounds[i] + case.longest)].tolist()
        for i in drawn
    ]


def padded(texts: Texts) -> Batch:
    """Rows of the longest length, and their mask."""
    rows = [torch.tensor(text) for text in texts]
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return {"input_ids": pad_sequence(rows, batch_first=True), "attention_mask": mask}


def in_one_row(texts: Texts, config: BertConfig) -> list[Batch]:
    """All texts end to end."""
    return [packed(texts, config)]


def by_length(texts: Texts) -> list[Batch]:
    """Four padded batches of texts of similar length."""
    ordered = sorted(texts, key=len)
    return [padded(ordered[i : i + ROWS // 4]) for i in range(0, len(ordered), ROWS // 4)]


def run(model: BertModel, batches: list[Batch], case: Case, weights: Tensor) -> float:
    """Seconds of a forward pass, and of a backward pass where the case has one."""
    model.train(case.backward)
    model.zero_grad()
    start = time.perf_counter()
    with torch.set_grad_enabled(case.backward):
        for batch in batches:
            hidden = model(**batch).last_hidden_state @ weights
            if case.backward:
                (hidden * batch.get("attention_mask", 1)).sum().backward()
    return time.perf_counter() - start


def measured(corpus: Corpus, case: Case, steps: int, layers: int) -> dict[str, object]:
    """Tokens/s of each contender, and how many times as fast as the stock ones."""
    config = BertConfig(
        vocab_size=corpus.manifest.vocabulary_size,
        num_hidden_layers=layers,
        hidden_dropout_prob=case.dropout,
        attention_probs_dropout_prob=case.dropout,
        attn_implementation="sdpa",
    )
    stock = BertModel(config, add_pooling_layer=False)
    models = {"sdpa": stock}
    for name in ("ours", "ours, norms"):
        models[name] = BertModel(BertConfig(**config.to_dict()), add_pooling_layer=False)
        models[name].load_state_dict(stock.state_dict())
        use_kobert_kernels(models[name], norms=name == "ours, norms")
    contenders: dict[str, tuple[BertModel, Callable[[Texts], list[Batch]]]] = {
        "sdpa, padded": (stock, lambda texts: [padded(texts)]),
        "sdpa, sorted": (stock, by_length),
        "ours, padded": (models["ours"], lambda texts: [padded(texts)]),
        "ours, packed": (models["ours"], lambda texts: in_one_row(texts, config)),
        "ours, packed, norms": (models["ours, norms"], lambda texts: in_one_row(texts, config)),
    }
    texts = texts_of(corpus, case, ROWS * (steps + 1))
    weights = torch.randn(config.hidden_size, generator=torch.Generator().manual_seed(0))
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    share = []
    for step in range(steps + 1):
        batch = texts[ROWS * step : ROWS * (step + 1)]
        tokens = sum(map(len, batch))
        share.append(1 - tokens / (ROWS * max(map(len, batch))))
        for name, (model, make) in contenders.items():
            seconds = run(model, make(batch), case, weights)
            if step > 0:  # the first allocates memory and chooses kernels
                rates[name].append(tokens / seconds)
    median = {name: statistics.median(found) for name, found in rates.items()}
    return {
        **asdict(case),
        "tokens a batch": round(sum(map(len, texts)) / (steps + 1)),
        "padding": round(statistics.mean(share), 3),
        "tokens/s": {name: round(rate) for name, rate in median.items()},
        **{
            f"times {stock_name}": {
                name: round(rate / median[stock_name], 2)
                for name, rate in median.items()
                if name.startswith("ours")
            }
            for stock_name in ("sdpa, padded", "sdpa, sorted")
        },
    }


def main() -> None:
    """Measure every case and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--steps", type=int, default=3, help="of each contender, after a first")
    parser.add_argument("--layers", type=int, default=4, help="of BERT-Base's twelve")
    parser.add_argument("--only", nargs="*", choices=CASES)
    options = parser.parse_args()
    corpus = Corpus.load(options.corpus)
    found: dict[str, object] = {
        "versions": {name: version(name) for name in ("kobert-kit", "torch", "transformers")},
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "layers": options.layers,
        "batch": ROWS,
    }
    for name in options.only or CASES:
        found[name] = measured(corpus, CASES[name], options.steps, options.layers)
        print(name, json.dumps(found[name]), flush=True)
        text = json.dumps(found, ensure_ascii=False, indent=1) + "\n"
        RESULTS.write_text(text, encoding="utf-8")  # each time: the last cases take long


if __name__ == "__main__":
    main()
