"""The held-out loss of this kit and of transformers after the same time on the same text.

    python benchmarks/equal_time.py CORPUS VOCAB [--minutes 20]

The same model of 4 layers of 256 begins with the same weights and learns from the same sequences,
4,096 tokens a step, with the same AdamW and a schedule that ends with the time. transformers gets
them as its users give them, padded (`BertForMaskedLM`, its collator) or end to end in full rows; it
runs in bf16, in which it is faster. Held-out documents are scored by one program. The table goes to
``benchmarks/results/equal_time.json``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pretraining import grouped, texts_of
from torch.utils.data import DataLoader, IterableDataset
from transformers import AutoTokenizer, BertForMaskedLM, DataCollatorForLanguageModeling

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import DataConfig
from kobert_kit.corpus.shards import Corpus
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import ModelConfig, OptimizerConfig, PretrainConfig
from kobert_kit.pretraining.evaluation import evaluate
from kobert_kit.pretraining.run import pretrain
from kobert_kit.pretraining.schedule import share_of_peak
from kobert_vocab import Vocabulary

RESULTS = Path(__file__).parent / "results" / "equal_time.json"
LENGTH, WINDOWS = 128, 32
MODEL = ModelConfig(
    hidden_size=256,
    layers=4,
    heads=4,
    intermediate_size=1024,
    max_positions=LENGTH,
    hidden_dropout=0.0,  # less than one epoch: nothing to overfit
    attention_dropout=0.0,
    init_std=0.04,  # 0.02 * sqrt(768 / width), as in configs/small-cpu.toml
)
OPTIMIZER = OptimizerConfig(learning_rate=1e-3, warmup=0.06)
DATA = DataConfig(length=LENGTH, windows=WINDOWS, pairing="none")
HELD_OUT = 512  # sequences
CPU = torch.device("cpu")


class Texts(IterableDataset):  # type: ignore[type-arg]
    """The sequences of each step of a run."""

    def __init__(self, batches: Batches, *, full_rows: bool) -> None:
        self._batches, self._full_rows = batches, full_rows

    def __iter__(self) -> Iterator[list[dict[str, list[int]]]]:
        for step in count():
            texts = texts_of(self._batches, range(step, step + 1))
            [sequences] = grouped(texts, LENGTH) if self._full_rows else texts
            yield [{"input_ids": sequence} for sequence in sequences]


def theirs(
    start: Path, vocab: Path, batches: Batches, seconds: float, *, full_rows: bool
) -> tuple[PretrainingModel, dict[str, float]]:
    """The model of transformers after so many seconds, and its steps."""
    model = BertForMaskedLM.from_pretrained(start, attn_implementation="sdpa").train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=OPTIMIZER.learning_rate,
        betas=(OPTIMIZER.beta1, OPTIMIZER.beta2),
        eps=OPTIMIZER.eps,
        weight_decay=OPTIMIZER.weight_decay,
        fused=True,
    )
    collator = DataCollatorForLanguageModeling(AutoTokenizer.from_pretrained(vocab))
    texts = Texts(batches, full_rows=full_rows)
    loader = DataLoader(texts, batch_size=None, collate_fn=collator, num_workers=1)
    began, steps = time.perf_counter(), 0
    for batch in loader:
        done = (time.perf_counter() - began) / seconds
        if done >= 1:
            break
        steps += 1
        for group in optimizer.param_groups:
            group["lr"] = OPTIMIZER.learning_rate * share_of_peak(done, done / steps, OPTIMIZER)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER.clip)
        optimizer.step()
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return PretrainingModel.from_pretrained(Path(folder)), {"steps": steps}


def ours(
    corpus: Path, vocab: Path, seconds: float, out: Path
) -> tuple[PretrainingModel, dict[str, float]]:
    """This kit's model after so many seconds, its steps, and its share of waiting for batches."""
    config = PretrainConfig(
        vocab=vocab,
        corpus=corpus,
        out=out,
        budget=f"{seconds}s",
        evaluate_every=1_000_000,
        evaluate_sequences=1,
        precision="bf16",
        model=MODEL,
        data=DATA,
        optimizer=OPTIMIZER,
    )
    pretrain(config)
    rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    waits = [row["loader_wait"] for row in rows if "loader_wait" in row]
    facts = {"steps": len(waits), "waited for batches": round(statistics.mean(waits), 5)}
    return PretrainingModel.from_pretrained(out / "model"), facts


def main() -> None:
    """Train all three, one after the other, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("vocab", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args()
    vocabulary = Vocabulary.load(options.vocab)
    batches = Batches.of(Corpus.load(options.corpus), vocabulary, 0, DATA)
    seconds = 60 * options.minutes
    found: dict[str, object] = {}
    with TemporaryDirectory() as folder:
        first = PretrainingModel(
            EncoderConfig(vocab_size=len(vocabulary), pad_id=vocabulary.pad, **vars(MODEL))
        )
        first.initialise(torch.Generator().manual_seed(0))
        start = Path(folder) / "start"
        start.mkdir()
        first.save_pretrained(start)
        contenders = {
            "kobert-kit": lambda: ours(
                options.corpus, options.vocab, seconds, Path(folder) / "run"
            ),
            "transformers": lambda: theirs(start, options.vocab, batches, seconds, full_rows=False),
            "transformers, full rows": lambda: theirs(
                start, options.vocab, batches, seconds, full_rows=True
            ),
        }
        for name, train in contenders.items():
            model, facts = train()
            scored = evaluate(model, batches, vocabulary, HELD_OUT, CPU)
            found[name] = {
                **facts,
                "loss": round(scored.loss, 3),
                "accuracy": round(scored.accuracy, 4),
                "bits per character": round(scored.bits_per_character or 0.0, 3),
            }
            print(name, json.dumps(found[name]), flush=True)
    about = {
        "versions": {name: version(name) for name in ("kobert-kit", "torch", "transformers")},
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "minutes": options.minutes,
        "vocabulary": len(vocabulary),
        "tokens a step": LENGTH * WINDOWS,
    }
    text = json.dumps(about | {"after training": found}, ensure_ascii=False, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
