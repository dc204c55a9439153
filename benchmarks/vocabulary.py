"""How good, how fast and how exact vocabularies are, ours beside others, on the same text.

    python benchmarks/vocabulary.py CORPORA [SECTION...]

CORPORA is a folder with ``ko/``, ``multilingual/``, ``morphemes/`` and ``tasks/``. A section is
korean, parity, million, tenfold, speed or exact; all of them by default. Each is one run; its
results replace the earlier ones in ``benchmarks/results/vocabulary.json``.
"""

import argparse
import dataclasses
import gzip
import json
import os
import platform
import random
import shutil
import statistics
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import ntrex
import numpy as np
import sentencepiece
from measured import run
from vocabulary_peers import PEERS

from kobert_vocab import Vocabulary
from kobert_vocab.languages import find_language
from kobert_vocab.report import compare
from kobert_vocab.report.compare import Measured
from kobert_vocab.report.metrics import gini
from kobert_vocab.report.parallel import read_parallel
from kobert_vocab.report.peers import open_peer
from kobert_vocab.selftest import text_kinds
from kobert_vocab.specials import NAMED
from kobert_vocab.verify import load_fast
from kobert_vocab.weigh import language_shares

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "vocabulary.json"
WORK = Path("build/benchmark-vocabulary")
SIZE, LARGE = 32_000, 128_000
AT_MOST = 900.0  # seconds for one training
GOLD = ("ko_kaist-ud-dev.conllu.gz", "ko_gsd-ud-dev.conllu.gz", "klue-dp-v1.1_dev.tsv.gz")
OURS, STRICT = "ours", "ours, rate 1"
FUZZED, LONG_LINES, LONG = 100_000, 40, 100_000
SAMPLED_LINES = 1_500_000  # for plain SentencePiece in many languages


def korean(corpora: Path) -> dict[str, object]:
    """Vocabularies of 32,000 pieces from all of ``ko/``: boundaries, tokens per word, time."""
    text = _plain_text(corpora)
    tests = _korean_tests(corpora)
    done: dict[str, dict[str, object]] = {}
    for name in (OURS, STRICT, *PEERS):
        out = _fresh(WORK / "korean" / name.replace(" ", "-").replace(",", ""))
        if name in PEERS:
            command = [HERE / "vocabulary_peers.py", name, text, out, SIZE]
        else:
            rate = ["--rate", 1.0] if name == STRICT else []
            shutil.rmtree(out)
            inputs = ["vocab", "train", f"ko={corpora / 'ko'}", "--size", SIZE, "--out", out]
            command = ["-m", "kobert_kit", *inputs, *rate]
        took = run(_python(command), log=WORK / "korean.log", at_most=AT_MOST)
        print(f"{name}: {took}", flush=True)
        done[name] = {"training": dataclasses.asdict(took)}
        if took.finished:
            found = out / "spm.model" if (out / "spm.model").is_file() and name in PEERS else out
            done[name] |= _figures(found, tests, corpora)
    return done


def _figures(vocabulary: Path, tests: dict[str, Path], corpora: Path) -> dict[str, object]:
    golds = [corpora / "morphemes" / name for name in GOLD]
    texts = [f"ko={path}" for path in tests.values()]
    (found,) = compare([vocabulary], texts, gold=golds).vocabularies
    assert found.gold is not None
    return {
        "gold": {
            "f1": found.gold.f1,
            "precision": found.gold.precision,
            "recall": found.gold.recall,
            "crossing": found.gold.crossing,
            "left_out": found.gold.left_out,
            "files": {
                name: {"f1": one.f1, "crossing": one.crossing}
                for name, one in found.gold_files.items()
            },
        },
        "text": {name: _text_figures(found, path) for name, path in tests.items()},
        "hangul": dataclasses.asdict(found.hangul),
    }


def _text_figures(found: Measured, path: Path) -> dict[str, float]:
    figures = found.text.files[path.name]
    assert figures.words is not None
    return {
        "tokens_per_word": figures.words.fertility,
        "unknown": figures.unknown,
        "bytes": figures.bytes,
    }


def _korean_tests(corpora: Path) -> dict[str, Path]:
    """Text of the kinds that were learnt from, and of others; none of it was learnt from."""
    folder = _fresh(WORK / "korean-tests")
    tasks = corpora / "tasks"
    sib = (row for row in _rows(tasks / "sib200" / "dev.jsonl.gz") if row["lang"] == "kor_Hang")
    texts = {
        "reviews (as learnt)": [r["document"] for r in _rows(tasks / "nsmc" / "dev.jsonl.gz")],
        "KLUE-NLI premises": [r["premise"] for r in _rows(tasks / "klue_nli" / "dev.jsonl.gz")],
        "KorSTS sentences": [r["sentence1"] for r in _rows(tasks / "korsts" / "test.jsonl.gz")],
        "FLORES sentences": [r["text"] for r in sib],
    }
    paths = {}
    for name, lines in texts.items():
        paths[name] = folder / f"{name.split()[0]}.txt"
        unique = dict.fromkeys(" ".join(line.split()) for line in lines)
        paths[name].write_text("\n".join(unique) + "\n", encoding="utf-8")
    return paths


def parity(corpora: Path) -> dict[str, object]:
    """128,000 pieces in 421 languages: tokens over those of English, on documents held out."""
    folder = _fresh(WORK / "parity")
    ntrex.part(corpora / "multilingual", folder / "text")
    for split in ("dev", "test"):
        for path in (folder / "text" / split).iterdir():
            path.rename(path.with_name(f"{find_language(path.stem)}.txt"))
    inputs = [f"ko={corpora / 'ko'}", folder / "text" / "train"]
    ours = ["-m", "kobert_kit", "vocab", "train", *inputs, "--size", LARGE]
    sample = _sampled(corpora, folder)
    runs = {
        "ours": [*ours, "--out", folder / "ours", "--parallel", folder / "text" / "dev"],
        "ours, alpha 0.3 alone": [*ours, "--out", folder / "alone"],
        "sentencepiece unigram, alpha 0.3": [
            *(HERE / "vocabulary_peers.py", "sentencepiece unigram", sample),
            *(_fresh(folder / "plain"), LARGE),
        ],
    }
    places = dict(zip(runs, ("ours", "alone", "plain/spm.model"), strict=True))
    lines = read_parallel(folder / "text" / "test")
    done: dict[str, object] = {}
    for name, command in runs.items():
        took = run(_python(command), log=folder / "log", at_most=2 * AT_MOST)
        print(f"{name}: {took}", flush=True)
        done[name] = {"training": dataclasses.asdict(took)}
        if took.finished:
            done[name] |= _premiums(folder / places[name], lines)
    return done


def _premiums(vocabulary: Path, lines: dict[str, list[str]]) -> dict[str, object]:
    peer = open_peer(vocabulary)
    tokens = {code: sum(map(len, peer.encode(texts))) for code, texts in lines.items()}
    premium = {code: count / tokens["en"] for code, count in sorted(tokens.items())}
    others = [value for code, value in premium.items() if code != "en"]
    return {
        "median": statistics.median(others),
        "max": max(others),
        "korean": premium["ko"],
        "gini": gini(list(premium.values())),
        "premium": premium,
    }


def _sampled(corpora: Path, folder: Path) -> Path:
    """Lines drawn by smoothed language shares, as one trains on without a weighing builder."""
    texts = {
        path.stem: path.read_text(encoding="utf-8").splitlines()
        for path in sorted((folder / "text" / "train").glob("*.txt"))
    }
    texts["ko"] = _plain_text(corpora).read_text(encoding="utf-8").splitlines()
    sizes = {code: sum(map(len, lines)) for code, lines in texts.items()}
    shares = language_shares(sizes, alpha=0.3, korean_floor=0.15, korean_cap=1)
    draw = random.Random(0)
    characters = SAMPLED_LINES * 50  # the mean line
    out = folder / "sampled.txt"
    with out.open("w", encoding="utf-8") as file:
        for code, lines in texts.items():
            room = shares[code] * characters
            while room > 0:
                line = draw.choice(lines)
                file.write(line + "\n")
                room -= len(line) + 1
    return out


def million(corpora: Path) -> dict[str, object]:
    """32,000 pieces from a million different words, on one core."""
    folder = _fresh(WORK / "million")
    rows = folder / "rows"
    rows.mkdir()
    words: set[str] = set()
    with _plain_text(corpora).open(encoding="utf-8") as lines:
        for line in lines:
            words.update(" " + word for word in line.split() if len(word) <= 30)
            if len(words) > 1_000_000:
                break
    some = sorted(words)[:1_000_000]
    with (rows / "rows.tsv").open("w", encoding="utf-8") as file:
        file.writelines(f"{word}\t{1 + 1000 // (i % 1000 + 1)}\n" for i, word in enumerate(some))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the child inherits it
    took = run(_python([HERE / "vocabulary_million.py", folder]), log=folder / "log", at_most=600)
    return {"words": len(some), "training": dataclasses.asdict(took)}


def tenfold(corpora: Path) -> dict[str, object]:
    """Memory for the reviews once, and for ten times as much text with ten times the words."""
    folder = _fresh(WORK / "tenfold")
    done: dict[str, object] = {}
    for times in (1, 10):
        text = folder / f"{times}.txt"
        with text.open("w", encoding="utf-8") as file:
            for turn in range(times):
                for row in _rows(corpora / "ko" / "reviews_nsmc.jsonl.gz"):
                    file.write(_turned(str(row["text"]), turn) + "\n")
        out = folder / f"{times}"
        command = ["-m", "kobert_kit", "vocab", "train", f"ko={text}", "--size", SIZE, "--out", out]
        took = run(_python(command), log=folder / "log", at_most=2 * AT_MOST)
        done[f"{times}x"] = {"bytes": text.stat().st_size, "training": dataclasses.asdict(took)}
        print(times, took, flush=True)
        text.unlink()
    return done


def _turned(text: str, turn: int) -> str:
    """Other words of the same letters: each syllable by ``turn`` further in KS X 1001's rows."""
    if not turn:
        return text
    return "".join(
        chr(0xAC00 + (ord(c) - 0xAC00 + 28 * turn) % 11_172) if "가" <= c <= "힣" else c
        for c in text
    )


def speed(corpora: Path) -> dict[str, object]:
    """Lines a second on one thread, ours over SentencePiece with its own unigram model."""
    lines = _plain_text(corpora).read_text(encoding="utf-8").splitlines()[::8]
    ours = Vocabulary.load(WORK / "korean" / "ours")
    plain = sentencepiece.SentencePieceProcessor(
        model_file=str(WORK / "korean" / "sentencepiece-unigram" / "spm.model")
    )
    ratios, seconds = [], []
    for _ in range(9):
        start = time.perf_counter()
        plain.encode(lines, num_threads=1)
        middle = time.perf_counter()
        ours.encode_batch(lines)
        end = time.perf_counter()
        seconds.append(end - middle)
        ratios.append((middle - start) / (end - middle))
    return {
        "lines": len(lines),
        "lines_per_second": round(len(lines) / statistics.median(seconds)),
        "times_as_fast_as_sentencepiece": statistics.median(ratios),
        "quartiles": list(np.quantile(ratios, [0.25, 0.75])),
    }


def exact(corpora: Path) -> dict[str, object]:
    """Ids of tokenizer.json against SentencePiece's, and decoded text, over everything there is."""
    folder = WORK / "parity" / "ours"
    return {
        "corpora": _differences(folder, _all_lines(corpora)),
        "fuzz": _differences(folder, _fuzzed(folder)),
    }


def _differences(folder: Path, texts: Iterable[str]) -> dict[str, object]:
    vocabulary, fast = Vocabulary.load(folder), load_fast(folder)
    fast.encode_special_tokens = True  # [MASK] in text is text here
    count = ids_differ = text_differs = unknown = 0
    examples: list[str] = []
    rest = iter(texts)
    while batch := list(islice(rest, 5000)):
        encoded = fast.encode_batch_fast(batch, add_special_tokens=False)
        for text, ids, other in zip(batch, vocabulary.encode_batch(batch), encoded, strict=True):
            count += 1
            unknown += ids.count(vocabulary.unk)
            if ids != other.ids:
                ids_differ += 1
                examples.append(ascii(text[:200]))
            text_differs += vocabulary.decode(ids) != vocabulary.normalize(text)
    return {
        "texts": count,
        "ids_differ": ids_differ,
        "text_differs": text_differs,
        "unknown": unknown,
        "examples": examples[:10],
    }


def _all_lines(corpora: Path) -> Iterator[str]:
    def composed() -> Iterator[str]:
        yield from _plain_text(corpora).open(encoding="utf-8")
        for path in sorted((corpora / "multilingual").glob("*.txt.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                yield from lines
        for path in sorted((corpora / "tasks").glob("*/*.jsonl.gz")):
            for row in _rows(path):
                yield from (value for value in row.values() if isinstance(value, str))

    for line in composed():
        yield line
        yield unicodedata.normalize("NFD", line)


def _fuzzed(folder: Path) -> Iterator[str]:
    draw = random.Random(1)
    kinds = text_kinds(draw)
    blanks = [
        chr(c) for c in (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200E), 0x3000)
    ]
    vocabulary = Vocabulary.load(folder)
    literal = [*NAMED, "<0x41>", "[unused7]", "▁", "<s>"]
    for number in range(FUZZED):
        parts = [draw.choice(kinds)() for _ in range(draw.randint(1, 3))]
        parts += draw.choices(literal, k=draw.randint(0, 2)) + draw.choices(blanks, k=2)
        draw.shuffle(parts)
        yield "".join(parts)
        if number % (FUZZED // LONG_LINES) == 0:
            pieces = [vocabulary.piece(draw.randrange(400, len(vocabulary))) for _ in range(LONG)]
            yield "".join(pieces)[:LONG]
            yield draw.choice("가ㅋ-a1 ") * LONG


def _rows(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _plain_text(corpora: Path) -> Path:
    """All of ``ko/`` as lines."""
    out = WORK / "ko.txt"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", encoding="utf-8") as file:
            for path in sorted((corpora / "ko").glob("*.jsonl.gz")):
                for row in _rows(path):
                    lines = str(row["text"]).splitlines()
                    file.writelines(f"{line}\n" for line in lines if line.strip())
    return out


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _python(arguments: list[object]) -> list[str]:
    return [sys.executable, *map(str, arguments)]


SECTIONS = {f.__name__: f for f in (korean, parity, million, tenfold, speed, exact)}


def main() -> None:
    """Run the sections, keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("sections", nargs="*", default=[*SECTIONS])
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in given.sections:
        packages = ("sentencepiece", "tokenizers", "kiwipiepy", "kobert-kit")
        results[name] = {
            "versions": {package: version(package) for package in packages},
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            **_rounded(SECTIONS[name](given.corpora)),
        }
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
