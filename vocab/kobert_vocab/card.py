"""``vocabulary.json``: how a vocabulary was made."""

import hashlib
import importlib.metadata
import json
import logging
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kobert_vocab.count import count_characters
from kobert_vocab.fit import THREADS
from kobert_vocab.normalize import RULES, RULES_SHA256, RULES_UNICODE
from kobert_vocab.segment import Analyser

FILE = "vocabulary.json"
log = logging.getLogger(__name__)


class Clock:
    """Seconds spent on each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step and log it when it is done."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        log.info("%s: %.1f s", name, self.seconds[name])


def fingerprint(counts: Mapping[str, Counter[str]]) -> str:
    """SHA-256 over the counts of all words, whatever files they came from and in what order."""
    digest = hashlib.sha256()
    for language, words in sorted(counts.items()):
        digest.update(f"{language}\n".encode())
        for word, count in sorted(words.items()):
            digest.update(f"{word}\t{count}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Card:
    """What shapes a vocabulary: its options and a fingerprint of its text."""

    size: int
    boundaries: str
    alpha: float
    korean_floor: float
    unused: int
    analyser: Analyser | None
    """None where no word is cut."""
    corpus: str

    def write(
        self,
        folder: Path,
        *,
        counts: Mapping[str, Counter[str]],
        shares: Mapping[str, float],
        alphabet: int,
        seconds: Mapping[str, float],
    ) -> None:
        """Write the card with what came of it; names and paths of inputs stay out."""
        card = {
            "options": self._options(),
            "analyser": self.analyser and f"{self.analyser.name} {self.analyser.version}",
            "corpus": {
                "fingerprint": self.corpus,
                "languages": {
                    language: {
                        "words": words.total(),
                        "types": len(words),
                        "characters": count_characters(words),
                        "share": round(shares.get(language, 0.0), 6),
                    }
                    for language, words in sorted(counts.items())
                },
            },
            "alphabet": alphabet,
            "normalizer": {"rules": RULES, "unicode": RULES_UNICODE, "sha256": RULES_SHA256},
            "versions": _versions(),
            "threads": THREADS,
            "seconds": dict(seconds),
        }
        content = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
        (folder / FILE).write_text(content, encoding="utf-8")

    def _options(self) -> dict[str, object]:
        return {
            "size": self.size,
            "boundaries": self.boundaries,
            "alpha": self.alpha,
            "korean_floor": self.korean_floor,
            "unused": self.unused,
        }


def _versions() -> dict[str, str]:
    packages = ("kobert-kit", "sentencepiece", "tokenizers")
    return {name: importlib.metadata.version(name) for name in packages} | {
        "python": platform.python_version()
    }
