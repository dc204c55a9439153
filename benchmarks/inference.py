"""Texts encoded by this kit beside `transformers`, with the same weights.

    python benchmarks/inference.py CORPUS VOCAB

A BERT-Base of random weights gives the mean vector of Korean documents, drawn at random from a
corpus. transformers gets them as its users give them, 64 in a batch, padded to the longest of it:
in their order, and sorted by length first. All take turns in one process. tokens/s counts tokens
of text. The table goes to ``benchmarks/results/inference.json``.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoTokenizer

from kobert_kit.corpus.shards import Corpus
from kobert_kit.encoder import Encoder, EncoderConfig
from kobert_kit.inference import TextEncoder
from kobert_vocab import Vocabulary

RESULTS = Path(__file__).parent / "results" / "inference.json"
BATCH, LONGEST = 64, 512
Vectors = npt.NDArray[np.float32]


def texts_of(corpus: Corpus, vocabulary: Vocabulary, count: int) -> list[str]:
    """Documents of all lengths, drawn at random."""
    [shard] = corpus.shards.values()
    drawn = np.random.default_rng(0).choice(shard.counts.documents, count, replace=False)
    texts = []
    for number in drawn:
        first, last = shard.sentences[shard.documents[number : number + 2]]
        texts.append(vocabulary.decode(shard.tokens[first:last].tolist()))
    return texts


def write_model(folder: Path, vocab: Path) -> None:
    """BERT-Base with the tokenizer of a vocabulary."""
    vocabulary = Vocabulary.load(vocab)
    config = EncoderConfig(vocab_size=len(vocabulary), pad_id=vocabulary.pad)
    encoder = Encoder(config, pooler=True)  # as transformers expects one
    for parameter in encoder.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    encoder.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        copyfile(vocab / name, folder / name)


def theirs(folder: Path, *, bf16: bool, by_length: bool) -> Callable[[list[str]], Vectors]:
    """Mean vectors by transformers."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Vectors:
        order = sorted(range(len(texts)), key=lambda n: -len(texts[n]) if by_length else n)
        found = torch.empty(len(texts), model.config.hidden_size)
        for start in range(0, len(texts), BATCH):
            part = order[start : start + BATCH]
            inputs = tokenizer(
                [texts[n] for n in part],
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                x = model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"][..., None]
            found[part] = (x * mask).sum(1) / mask.sum(1)
        return found.numpy()

    return encode


def main() -> None:
    """Measure, compare the vectors, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("vocab", type=Path)
    parser.add_argument("--texts", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = texts_of(Corpus.load(options.corpus), Vocabulary.load(options.vocab), options.texts)
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_model(folder, options.vocab)
        plain, half = TextEncoder(folder), TextEncoder(folder, bf16=True)
        contenders: dict[str, Callable[[list[str]], Vectors]] = {
            "kobert-kit fp32": lambda texts: plain.encode(texts, progress=False),
            "kobert-kit bf16": lambda texts: half.encode(texts, progress=False),
            "transformers fp32": theirs(folder, bf16=False, by_length=False),
            "transformers bf16": theirs(folder, bf16=True, by_length=False),
            "transformers fp32, sorted": theirs(folder, bf16=False, by_length=True),
            "transformers bf16, sorted": theirs(folder, bf16=True, by_length=True),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        vectors: dict[str, Vectors] = {}
        for encode in contenders.values():
            encode(texts[:8])
        for _ in range(options.rounds):
            for name, encode in contenders.items():
                start = time.perf_counter()
                vectors[name] = encode(texts)
                seconds[name].append(time.perf_counter() - start)
        lengths = [len(encoding.ids) for encoding in plain.tokenizer.encode_batch(texts)]
    tokens = sum(lengths)
    rates = {name: tokens / statistics.median(row) for name, row in seconds.items()}
    reference = vectors["transformers fp32"]
    apart = np.abs(vectors["kobert-kit fp32"] - reference).max() / np.abs(reference).max()
    found = {
        "versions": {name: version(name) for name in ("kobert-kit", "torch", "transformers")},
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "texts": len(texts),
        "tokens": tokens,
        "longest": max(lengths),
        "median": statistics.median(lengths),
        "tokens/s": {name: round(rate) for name, rate in rates.items()},
        "times transformers": {
            f"{kind}{order}": round(
                rates[f"kobert-kit {kind}"] / rates[f"transformers {kind}{order}"], 2
            )
            for kind in ("fp32", "bf16")
            for order in ("", ", sorted")
        },
        "vectors apart, of the largest value": float(f"{apart:.1e}"),
    }
    print(json.dumps(found, indent=1))
    RESULTS.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
