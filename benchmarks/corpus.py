"""How fast corpora are built and read, in how much memory, and how well batches are filled.

    python benchmarks/corpus.py CORPORA [SECTION...] --vocab DIR

CORPORA is a folder with ``ko/`` and ``multilingual/``; DIR a vocabulary of both. A section is
build, tenfold, kiwi, languages or loader; all of them by default, and they need those before them.
Their results replace the earlier ones in ``benchmarks/results/corpus.json``.
"""

import argparse
import dataclasses
import gzip
import json
import os
import platform
import random
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from measured import run

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.language_plan import LanguagePlan
from kobert_kit.batches.loader import load
from kobert_kit.batches.options import DataConfig, Masking, Phase
from kobert_kit.corpus.shards import Corpus
from kobert_vocab import Vocabulary

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "corpus.json"
WORK = Path("build/benchmark-corpus")
AT_MOST = 3600.0  # seconds for one build
ENGLISH = "eng.txt.gz"
ENGLISH_MB = 120  # as much as there is of Korean
NEWS = 500  # characters; the other documents are single sentences
TENFOLD = 10
KIWI_MB = 2.0
STEPS, TOKENS = 40, 1 << 16  # batches timed, and tokens in each
MANY_STEPS = 200  # timed with workers, which run ahead by eight
WORKERS = (0, 1, 2)
FAR = 10_000_000  # a step to jump to
ROWS = 1_000  # windows in which languages are counted
ALPHAS = (0.0, 0.3, 0.7, 1.0)


def build(corpora: Path, vocab: Path) -> dict[str, object]:
    """All Korean text, and English, on one core."""
    english = _fresh(WORK / "english.txt")
    english.write_text(_english(corpora), encoding="utf-8")
    return {
        "Korean": _built(vocab, "ko", f"ko={corpora / 'ko'}"),
        "English": _built(vocab, "en", f"en={english}"),
    }


def _english(corpora: Path) -> str:
    """English news, repeated with another letter each time so that none is a copy."""
    text = "\n".join(_lines(corpora / "multilingual" / ENGLISH))
    documents = [document for document in text.split("\n\n") if len(document) >= NEWS]
    text = "\n\n".join(documents)
    letters = "abcdefghijklmnopqrstuvwxyz"
    turns = max(1, ENGLISH_MB * 1_000_000 // len(text))
    return "\n\n".join(
        document.replace(" the ", f" the {letters[turn % 26]}{letters[turn // 26]} ")
        for turn in range(turns)
        for document in documents
    )


def tenfold(corpora: Path, vocab: Path) -> dict[str, object]:
    """All Korean text ten times, the words of each document shuffled, so that none is a copy.

    Compare its memory with that of `build`.
    """
    draw = random.Random(0)
    path = _fresh(WORK / "tenfold.jsonl")
    with path.open("w", encoding="utf-8") as out:
        for _ in range(TENFOLD):
            for source in sorted((corpora / "ko").glob("*.jsonl.gz")):
                for line in _lines(source):
                    words = json.loads(line)["text"].split(" ")
                    draw.shuffle(words)
                    out.write(json.dumps({"text": " ".join(words)}, ensure_ascii=False) + "\n")
    found = _built(vocab, "tenfold", f"ko={path}")
    path.unlink()
    shutil.rmtree(WORK / "tenfold")
    return {"Korean, ten times": found}


def kiwi(corpora: Path, vocab: Path) -> dict[str, object]:
    """What splitting by the analyser costs, on a sample of each kind of Korean text."""
    found: dict[str, object] = {}
    for name in ("reviews_nsmc", "regulations", "wikinews"):
        path = _fresh(WORK / f"{name}.jsonl")
        with path.open("w", encoding="utf-8") as out:
            size = 0
            for line in _lines(corpora / "ko" / f"{name}.jsonl.gz"):
                text = json.loads(line)["text"]
                size += len(text.encode())
                out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                if size > KIWI_MB * 1e6:
                    break
        found[name] = {
            how: _built(vocab, f"{name}-{how}", f"ko={path}", "--sentences", how)
            for how in ("rules", "kiwi")
        }
    return found


def languages(corpora: Path, vocab: Path) -> dict[str, object]:
    """All languages together, and how far the languages of windows are from the plan."""
    built = _built(vocab, "all", f"ko={corpora / 'ko'}", str(corpora / "multilingual"))
    manifest = Corpus.load(WORK / "all").manifest
    tokens = {code: counts.tokens for code, counts in manifest.languages.items()}
    return {
        "build": built,
        "languages": len(tokens),
        "largest difference of a share in any 1,000 windows": {
            f"alpha {alpha}": _furthest(tokens, alpha) for alpha in ALPHAS
        },
    }


def _furthest(tokens: dict[str, int], alpha: float) -> float:
    plan = LanguagePlan(tokens, [Phase(alpha=alpha)], 512)
    language, _ = plan.find(np.arange(1 << 17))
    furthest = 0.0
    for number, share in enumerate(plan.shares().values()):
        seen = np.concatenate([[0], np.cumsum(language == number)])
        away = (seen[ROWS:] - seen[:-ROWS]) / ROWS - share
        furthest = max(furthest, float(np.abs(away).max()))
    return round(furthest, 5)


def loader(corpora: Path, vocab: Path) -> dict[str, object]:
    """Batches of 65,536 tokens, from Korean alone and from all languages."""
    vocabulary = Vocabulary.load(vocab)
    found: dict[str, object] = {}
    for name, folder in (("Korean", "ko"), ("all languages", "all")):
        corpus = Corpus.load(WORK / folder)
        found[name] = dict(_read(corpus, vocabulary))
        found[f"{name}, by workers"] = {
            str(workers): _through_workers(corpus, vocabulary, workers) for workers in WORKERS
        }
    return found


def _through_workers(corpus: Corpus, vocabulary: Vocabulary, workers: int) -> float:
    """Million tokens/s that reach the process which would feed the device."""
    batches = Batches(corpus, vocabulary, seed=0, windows=TOKENS // 512, length=512)
    loaded = load(batches, range(STEPS + MANY_STEPS), workers=workers)
    for _ in range(STEPS):  # until what was made ahead is used up
        next(loaded)
    start = time.perf_counter()
    tokens = sum(batch.text_tokens for [batch] in loaded)
    return round(tokens / (time.perf_counter() - start) / 1e6, 2)


def _read(corpus: Corpus, vocabulary: Vocabulary) -> Iterator[tuple[str, dict[str, float]]]:
    for pairing in ("none", "next", "order"):
        for unit in ("piece", "word"):
            for length in (128, 512):
                masking = Masking(unit=unit)
                data = DataConfig(
                    length=length, windows=TOKENS // length, pairing=pairing, masking=masking
                )
                yield f"{pairing}, {unit}, {length}", _timed(corpus, vocabulary, data)


def _timed(corpus: Corpus, vocabulary: Vocabulary, data: DataConfig) -> dict[str, float]:
    start = time.perf_counter()
    batches = Batches.of(corpus, vocabulary, 0, data)
    opened = time.perf_counter() - start
    seconds, fills, used = [], [], []
    for step in range(STEPS):
        start = time.perf_counter()
        batch = batches[step]
        seconds.append(time.perf_counter() - start)
        fills.append(batch.text_tokens / len(batch.tokens))
        used.append(float((batch.labels >= 0).mean()))
    start = time.perf_counter()
    batches.drawn(FAR, 0, 1)
    jump = time.perf_counter() - start
    start = time.perf_counter()
    batches.part(FAR, 0, data.windows)
    window = time.perf_counter() - start
    tokens = TOKENS * float(np.mean(fills))
    return {
        "seconds to open": round(opened, 2),
        "million tokens/s": round(tokens / float(np.median(seconds)) / 1e6, 2),
        "full": round(float(np.mean(fills)), 4),
        "slots used": round(float(np.mean(used)), 3),
        "ms to find what step 10,000,000 has": round(1e3 * jump, 2),
        "ms to make a window of it": round(1e3 * window, 2),
    }


def _built(vocab: Path, name: str, *inputs: str) -> dict[str, object]:
    out = _fresh(WORK / name)
    shutil.rmtree(WORK / f".{name}.steps", ignore_errors=True)
    command = [sys.executable, "-m", "kobert_kit", "corpus", "build", *inputs]
    took = run(
        [*command, "--vocab", str(vocab), "--out", str(out)],
        log=WORK / f"{name}.log",
        at_most=AT_MOST,
    )
    manifest = Corpus.load(out).manifest
    read = sum(row.read_bytes for row in manifest.counts)
    dropped: dict[str, int] = {}
    for row in manifest.counts:
        for reason, count in row.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    print(f"{name}: {read / 1e6 / took.seconds:.2f} MB/s, {took}", flush=True)
    return {
        **dataclasses.asdict(took),
        "MB": round(read / 1e6, 1),
        "MB/s": round(read / 1e6 / took.seconds, 2),
        "documents": sum(row.read for row in manifest.counts),
        "kept": sum(row.kept for row in manifest.counts),
        "tokens": sum(row.tokens for row in manifest.counts),
        "dropped": dict(sorted(dropped.items())),
    }


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from (line.rstrip("\n") for line in lines)


def _fresh(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


SECTIONS = {f.__name__: f for f in (build, tenfold, kiwi, languages, loader)}


def main() -> None:
    """Run the sections asked for and write their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--vocab", type=Path, required=True)
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in arguments.sections or SECTIONS:
        found = SECTIONS[name](arguments.corpora, arguments.vocab)
        about = {
            "versions": {name: version(name) for name in ("kobert-kit", "numpy", "sentencepiece")},
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        }
        results[name] = about | found
        RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
