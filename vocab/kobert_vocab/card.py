"""``vocabulary.json``: how a vocabulary was made. Names and paths of inputs stay out."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path

from kobert_vocab.fit import THREADS
from kobert_vocab.learn import Learnt, Material
from kobert_vocab.normalize import RULES, RULES_SHA256, RULES_UNICODE
from kobert_vocab.recipe import Recipe
from kobert_vocab.vocabulary import CARD


def write_card(
    folder: Path,
    recipe: Recipe,
    material: Material,
    learnt: Learnt,
    seconds: Mapping[str, float],
) -> None:
    """Write how a vocabulary was made and what came of it."""
    analyser = recipe.analyser
    card = {
        "options": {
            "size": recipe.size,
            "boundaries": analyser.boundaries if analyser else "none",
            "rate": recipe.rate,
            "alpha": recipe.alpha,
            "korean_floor": recipe.korean_floor,
            "korean_cap": recipe.korean_cap,
            "unused": recipe.unused,
        },
        "analyser": str(analyser) if analyser else None,
        "user_words": {
            "count": len(recipe.user_words),
            "sha256": _sha256("\n".join(recipe.user_words)),
        },
        "corpus": {
            "fingerprint": material.counted.hash,
            "languages": {
                code: _language(code, material, learnt) for code in sorted(material.languages)
            },
        },
        "alphabet": len(material.chars),
        "normalizer": {"rules": RULES, "unicode": RULES_UNICODE, "sha256": RULES_SHA256},
        "versions": versions(),
        "threads": THREADS,
        "seconds": dict(seconds),
    }
    content = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
    (folder / CARD).write_text(content, encoding="utf-8")


def _language(code: str, material: Material, learnt: Learnt) -> dict[str, float]:
    counts = material.languages[code].counts
    about = {
        "words": counts.words,
        "types": counts.types,
        "characters": counts.characters,
        "left_out_as_personal": counts.personal,
        "share": round(learnt.shares[code], 6),
    }
    if code in learnt.premium:
        about["premium"] = round(learnt.premium[code], 4)
    return about


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """What a vocabulary was made with."""
    packages = ("kobert-kit", "sentencepiece", "tokenizers")
    return {name: importlib.metadata.version(name) for name in packages} | {
        "python": platform.python_version()
    }
