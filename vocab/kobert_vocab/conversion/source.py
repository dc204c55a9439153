"""What a SentencePiece model comes in: a file, or a folder of a model with its settings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kobert_vocab.errors import InputError

MODEL_NAMES = (
    "spiece.model",  # ALBERT, XLNet, T5
    "spm.model",  # DeBERTa
    "sentencepiece.bpe.model",  # XLM-R, CamemBERT
    "tokenizer_78b3253a26.model",  # KoBERT
    "tokenizer.model",
)
CONFIG, TOKENIZER_CONFIG, SPECIAL_TOKENS = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
PURPOSES = ("pad", "unk", "cls", "sep", "mask")

Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ConversionSource:
    """A model's file and what stands beside it."""

    model: Path
    config: Settings
    """``config.json`` of the model; empty without one."""
    tokenizer: Settings
    """``tokenizer_config.json``; empty without one."""
    names: dict[str, str]
    """Special pieces that the settings name, by purpose."""
    added: dict[str, int]
    """Pieces that the settings give an id beside the file's."""

    @property
    def family(self) -> str | None:
        """``model_type``; without ``config.json`` the tokenizer's class says it where it can."""
        by_class = {"XLMRoberta": "xlm-roberta", "Camembert": "camembert", "XLNet": "xlnet"}
        kind = self.config.get("model_type")
        if isinstance(kind, str):
            return kind
        name = str(self.tokenizer.get("tokenizer_class", "")).removesuffix("Fast")
        return by_class.get(name.removesuffix("Tokenizer"))


def open_source(path: Path) -> ConversionSource:
    """Find the model at ``path`` and read the settings beside it.

    Raises:
        InputError: there is no model, or more than one; or a file of settings is damaged.
    """
    if path.is_file():
        return ConversionSource(model=path, config={}, tokenizer={}, names={}, added={})
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; name a SentencePiece .model")
    tokenizer = _read(path / TOKENIZER_CONFIG)
    special = _read(path / SPECIAL_TOKENS)
    config = _read(path / CONFIG)
    # ALBERT's tokenizer does so unless it is told not to.
    if tokenizer.get("do_lower_case", config.get("model_type") == "albert"):
        raise InputError(
            f"{path / TOKENIZER_CONFIG}: do_lower_case: text is lower-cased before SentencePiece "
            "sees it, which is not in the model; name the .model itself for its plain ids"
        )
    return ConversionSource(
        model=_find(path),
        config=config,
        tokenizer=tokenizer,
        names={
            purpose: name
            for purpose in PURPOSES
            for settings in (special, tokenizer)
            if (name := _text(settings.get(f"{purpose}_token")))
        },
        added=_added(path, tokenizer),
    )


def _find(folder: Path) -> Path:
    for name in MODEL_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted((*folder.glob("*.model"), *folder.glob("*.spiece")))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{folder}: several models ({names}); name the one that is meant")
    raise InputError(f"{folder}: no SentencePiece model in it ({', '.join(MODEL_NAMES)})")


def _read(path: Path) -> Settings:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); copy it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not an object of settings; copy it again")
    return content


def _text(token: object) -> str | None:
    """A token of the settings, which may be written with how it is to be matched."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _added(folder: Path, tokenizer: Settings) -> dict[str, int]:
    decoder = tokenizer.get("added_tokens_decoder")
    pairs = decoder.items() if isinstance(decoder, dict) else ()
    found = {name: int(i) for i, token in pairs if (name := _text(token)) and str(i).isdigit()}
    older = _read(folder / "added_tokens.json")
    return found | {name: i for name, i in older.items() if isinstance(i, int)}
