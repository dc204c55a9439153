"""Training steps of this kit beside those of transformers, on the same text.

    python benchmarks/pretraining.py CORPUS VOCAB

Both train the same model with the same optimiser on the very same sequences of a corpus, one text
each. transformers gets them as its users give them: a DataLoader with the collator that masks, rows
padded to the longest of their batch, `BertForMaskedLM`. It runs in fp32 and in bf16; so does this
kit. They take turns in one process, a few batches each, and make their batches themselves; one
lives at a time, so that memory holds batches of some thousand tokens. tokens/s counts tokens of
text. The table goes to ``benchmarks/results/pretraining.json``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
)

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.counter_random import DROPOUT, below
from kobert_kit.batches.options import DataConfig
from kobert_kit.corpus.shards import Corpus
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import OptimizerConfig
from kobert_kit.pretraining.optimizers import make_optimizers
from kobert_kit.pretraining.step import BatchTensors, losses
from kobert_vocab import Vocabulary

RESULTS = Path(__file__).parent / "results" / "pretraining.json"
CLIP = 1.0
GROUPED = "transformers bf16, full rows"
Texts = list[list[list[int]]]  # the ids of each sequence of each batch


@dataclass(frozen=True)
class Shape:
    """A model and the batches it is fed."""

    hidden_size: int
    layers: int
    heads: int
    length: int
    windows: int


SHAPES = {
    "mini, 128": Shape(256, 4, 4, 128, 32),
    # transformers computes logits of every place, padding too: with 8 windows, and with 32 of
    # BERT-Base, its step took more than 23 GB.
    "mini, 512": Shape(256, 4, 4, 512, 4),
    "base, 128": Shape(768, 12, 12, 128, 16),
}


def config_of(shape: Shape, vocabulary: Vocabulary) -> EncoderConfig:
    """As of this kit; the same numbers make that of transformers."""
    return EncoderConfig(
        vocab_size=len(vocabulary),
        pad_id=vocabulary.pad,
        hidden_size=shape.hidden_size,
        layers=shape.layers,
        heads=shape.heads,
        intermediate_size=4 * shape.hidden_size,
        max_positions=shape.length,
    )


def ours(batches: Batches, config: EncoderConfig, *, bf16: bool) -> Iterator[None]:
    """A step of this kit at each turn."""
    model = PretrainingModel(config)
    model.initialise(torch.Generator().manual_seed(0))
    model.train()
    optimizers = make_optimizers(model, OptimizerConfig())
    step = 0
    while True:
        batch = BatchTensors.on(torch.device("cpu"), batches[step])
        seed = torch.from_numpy(below(1 << 53, DROPOUT, 0, step))
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = losses(model, batch, seed).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        yield


def theirs(texts: Texts, config: EncoderConfig, vocab: Path, *, bf16: bool) -> Iterator[None]:
    """A step of transformers at each turn."""
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=config.vocab_size,
            pad_token_id=config.pad_id,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_positions,
            attn_implementation="sdpa",
        )
    )
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    collator = DataCollatorForLanguageModeling(AutoTokenizer.from_pretrained(vocab))
    sequences = [{"input_ids": sequence} for batch in texts for sequence in batch]
    ends = np.cumsum([len(batch) for batch in texts])
    sampler = [
        range(end - len(batch), end) for end, batch in zip(ends.tolist(), texts, strict=True)
    ]
    loader = DataLoader(sequences, batch_sampler=sampler, collate_fn=collator)  # type: ignore[arg-type]
    for batch in loader:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        yield


def texts_of(batches: Batches, steps: range) -> Texts:
    """The sequences of each step before they were masked."""
    found = []
    for step in steps:
        batch = batches[step]
        tokens = batch.tokens.copy()
        used = batch.labels >= 0
        tokens[batch.masked[used]] = batch.labels[used]
        ends = batch.cu_seqlens[1:][batch.language >= 0]
        found.append([part.tolist() for part in np.split(tokens[: ends[-1]], ends[:-1])])
    return found


def grouped(texts: Texts, length: int) -> Texts:
    """Each batch end to end, cut into full rows: what ``run_mlm.py`` does to be rid of padding.

    Documents run into each other there.
    """
    found = []
    for batch in texts:
        tokens = [token for sequence in batch for token in sequence]
        found.append([tokens[i : i + length] for i in range(0, len(tokens) - length + 1, length)])
    return found


def seconds_of(make: Callable[[], Iterator[None]], steps: int) -> list[float]:
    """Of each step but the first, which allocates memory and chooses kernels."""
    contender, seconds = make(), []
    for _ in range(steps + 1):
        start = time.perf_counter()
        next(contender)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def measured(
    corpus: Corpus, vocab: Path, shape: Shape, steps: int, rounds: int
) -> dict[str, object]:
    """Tokens/s of each contender, and how many times as fast as the best of transformers."""
    vocabulary = Vocabulary.load(vocab)
    config = config_of(shape, vocabulary)
    data = DataConfig(length=shape.length, windows=shape.windows, pairing="none")
    batches = Batches.of(corpus, vocabulary, 0, data)
    texts = texts_of(batches, range(steps + 1))
    rows = grouped(texts, shape.length)
    contenders: dict[str, Callable[[], Iterator[None]]] = {
        "kobert-kit fp32": lambda: ours(batches, config, bf16=False),
        "kobert-kit bf16": lambda: ours(batches, config, bf16=True),
        "transformers fp32": lambda: theirs(texts, config, vocab, bf16=False),
        "transformers bf16": lambda: theirs(texts, config, vocab, bf16=True),
        GROUPED: lambda: theirs(rows, config, vocab, bf16=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, make in contenders.items():
            seconds[name] += seconds_of(make, steps)
    tokens = [sum(map(len, batch)) for batch in texts]
    padded = [len(batch) * max(map(len, batch)) for batch in texts]
    rates = {
        name: statistics.median(n / s for n, s in zip(tokens[1:] * rounds, row, strict=True))
        for name, row in seconds.items()
    }
    grouped_rate = rates[GROUPED]
    best = {
        kit: max(rate for name, rate in rates.items() if name.startswith(kit) and name != GROUPED)
        for kit in ("kobert-kit", "transformers")
    }
    return {
        **asdict(shape),
        "vocabulary": len(vocabulary),
        "tokens a step": round(statistics.mean(tokens)),
        "padding of transformers": round(1 - sum(tokens) / sum(padded), 3),
        "tokens/s": {name: round(rate) for name, rate in rates.items()},
        "times transformers": round(best["kobert-kit"] / best["transformers"], 2),
        "times transformers without padding": round(best["kobert-kit"] / grouped_rate, 2),
    }


def main() -> None:
    """Measure every shape, and write the file after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("vocab", type=Path)
    parser.add_argument("--steps", type=int, default=4, help="of each contender at its turn")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=SHAPES)
    options = parser.parse_args()
    corpus = Corpus.load(options.corpus)
    about = {
        "versions": {name: version(name) for name in ("kobert-kit", "torch", "transformers")},
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    for name in options.only or SHAPES:
        shape = SHAPES[name]
        one = measured(corpus, options.vocab, shape, options.steps, options.rounds)
        print(name, json.dumps(one), flush=True)
        before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        found = {**about, **{key: before[key] for key in SHAPES if key in before}, name: one}
        text = json.dumps(found, ensure_ascii=False, indent=1)
        RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
