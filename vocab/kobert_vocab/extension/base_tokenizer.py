"""Somebody else's ``tokenizer.json``: opened, and written again with pieces after the last id.

``tokenizer.json`` is not all that decides how ``transformers`` 5 reads text. The classes of BERT
and XLM-R take its vocabulary and template, and build normaliser and pre-tokenizer anew from
``tokenizer_config.json``. A folder in which the two disagree is refused, since new pieces are
chosen by what ``tokenizer.json`` does to text.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kobert_vocab.errors import InputError
from kobert_vocab.hub import fetch, may_be_on_hub

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER, CONFIG, VOCAB_TXT = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
NAMES, ADDED = "special_tokens_map.json", "added_tokens.json"
MODEL_CONFIG = "config.json"
SPACE = "▁"  # before a word, in Unigram
WORDPIECE, UNIGRAM = "WordPiece", "Unigram"
_AS_WRITTEN = ("PreTrainedTokenizerFast", "TokenizersBackend")  # both read tokenizer.json whole
_BERT = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_XLM_R = ("XLMRobertaTokenizer",)
_CLASS_OF_MODEL = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}
# What a class calls its special pieces where the folder does not say.
_BERT_NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_XLM_R_NAMES = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>")
# They name files of the folder, or of the machine that wrote it.
_FILE_KEYS = {"name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file"} | {
    "fast_tokenizer_files"
}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A tokenizer to extend. Ids run from 0 to ``len(pieces) - 1``, added tokens included."""

    name: str
    """Of the folder, without where it lies."""
    kind: str
    """``WordPiece`` or ``Unigram``."""
    raw: dict[str, Any]
    """``tokenizer.json``."""
    sha256: str
    config: dict[str, Any]
    """``tokenizer_config.json``, with a class and without the names of files."""
    copied: dict[str, dict[str, Any]]
    """What of ``special_tokens_map.json`` and ``added_tokens.json`` is there."""
    has_vocab_txt: bool
    tokenizer: "Tokenizer"
    pieces: list[str]
    """By id."""

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each piece."""
        return {piece: i for i, piece in enumerate(self.pieces)}

    @cached_property
    def scores(self) -> dict[str, float]:
        """The log probability of each piece of a Unigram model."""
        return dict(self.raw["model"]["vocab"])

    @property
    def unk(self) -> int:
        """The id that stands for what has no piece; -1 if there is none."""
        if self.kind == WORDPIECE:
            return self.ids.get(self.raw["model"]["unk_token"], -1)
        unk = self.raw["model"].get("unk_id")
        return -1 if unk is None else int(unk)

    @property
    def prefix(self) -> str:
        """What marks a WordPiece piece that goes on with a word: ``##``."""
        return str(self.raw["model"]["continuing_subword_prefix"])

    @cached_property
    def added(self) -> list[str]:
        """The tokens that are cut out of text before anything else is done to it."""
        return [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]

    @cached_property
    def unused(self) -> list[int]:
        """The ids that the makers of the base kept free."""
        return [i for i, piece in enumerate(self.pieces) if _UNUSED.fullmatch(piece)]

    @cached_property
    def learnt(self) -> npt.NDArray[np.bool_]:
        """For each id whether it stands for text: not special, unknown or unused. [old]."""
        stands = np.ones(len(self.pieces), dtype=np.bool_)
        special = self.tokenizer.get_added_tokens_decoder()
        stands[[i for i, token in special.items() if token.special]] = False
        stands[self.unused] = False
        if self.unk >= 0:
            stands[self.unk] = False
        return stands


def find_base(base: str | Path) -> Path:
    """The folder ``base``, or that of the tokenizer files of a model on the hub.

    Raises:
        InputError: there is no such folder, nor a model of that name within reach.
    """
    path = Path(base)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{base}: not a folder; give one with {TOKENIZER} in it")
    if not may_be_on_hub(base):
        raise InputError(f"{base}: no such folder; give one with {TOKENIZER} in it")
    return fetch(base, [TOKENIZER, CONFIG, NAMES, ADDED, MODEL_CONFIG, VOCAB_TXT])


def open_base(folder: Path, name: str) -> Base:
    """The tokenizer in ``folder``, if it is of a kind that can be extended.

    Raises:
        InputError: it is not, or ``transformers`` would not read text as its file says.
    """
    from tokenizers import models

    path = folder / TOKENIZER
    raw = _read_object(path)
    if raw is None:
        raise InputError(
            f"{folder}: no {TOKENIZER} in it; write one with transformers: "
            "AutoTokenizer.from_pretrained(BASE).save_pretrained(DIR)"
        )
    try:
        tokenizer = read_tokenizer(json.dumps(raw))
    except ValueError as error:
        raise InputError(f"{path}: not a tokenizer file ({_first_line(error)})") from error
    kinds = ((models.WordPiece, WORDPIECE), (models.Unigram, UNIGRAM))
    kind = next((name for model, name in kinds if isinstance(tokenizer.model, model)), None)
    if kind is None:
        raise InputError(
            f"{path}: a model of the kind {type(tokenizer.model).__name__}; {WORDPIECE} (BERT) and "
            f"{UNIGRAM} (XLM-R) can be extended, byte-level BPE (GPT-2, RoBERTa, ModernBERT) cannot"
        )
    base = Base(
        name=name,
        kind=kind,
        raw=raw,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        config=_read_config(folder),
        copied={n: o for n in (NAMES, ADDED) if (o := _read_object(folder / n)) is not None},
        has_vocab_txt=(folder / VOCAB_TXT).is_file(),
        tokenizer=tokenizer,
        pieces=_pieces(path, tokenizer),
    )
    _check_words(path, base)
    _check_class(folder, base)
    _check_names(folder, base)
    return base


def _read_object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({_first_line(error)}); fetch it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object but a {type(value).__name__}")
    return value


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]


def _read_config(folder: Path) -> dict[str, Any]:
    config = _read_object(folder / CONFIG)
    if config is None:
        raise InputError(
            f"{folder}: no {CONFIG} in it; write one with transformers: "
            "AutoTokenizer.from_pretrained(BASE).save_pretrained(DIR)"
        )
    if "auto_map" in config:
        raise InputError(
            f"{folder / CONFIG}: the tokenizer runs code of its own (auto_map), which is not "
            "carried over; save it as a plain one first"
        )
    if "tokenizer_class" not in config:
        model_type = (_read_object(folder / MODEL_CONFIG) or {}).get("model_type")
        if model_type not in _CLASS_OF_MODEL:
            raise InputError(
                f"{folder / CONFIG}: no tokenizer_class, and {MODEL_CONFIG} names no model that "
                f'tells it; add for example "tokenizer_class": "BertTokenizer"'
            )
        # The new folder has no config.json to tell it.
        config["tokenizer_class"] = _CLASS_OF_MODEL[model_type]
    return {key: value for key, value in config.items() if key not in _FILE_KEYS}


def _pieces(path: Path, tokenizer: "Tokenizer") -> list[str]:
    ids = tokenizer.get_vocab(with_added_tokens=True)
    pieces = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise InputError(
            f"{path}: its ids do not run from 0 to {len(pieces) - 1} without gaps, so new ones "
            "have no place; save it again with transformers"
        )
    return pieces


def _check_words(path: Path, base: Base) -> None:
    """That a piece can be told to begin a word or not."""
    expected = [SPACE + "a"] if base.kind == UNIGRAM else ["a"]
    if base.tokenizer.pre_tokenizer is None or words_of(base.tokenizer, "a") != expected:
        raise InputError(
            f"{path}: its pre-tokenizer is not that of BERT (words) or XLM-R (words that begin "
            f"with {SPACE}); such a {base.kind} model cannot be extended"
        )


def words_of(tokenizer: "Tokenizer", text: str) -> list[str]:
    """``text`` as the model gets it: normalised and cut into words."""
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def _check_class(folder: Path, base: Base) -> None:
    """That ``transformers`` reads text as ``tokenizer.json`` does."""
    name = str(base.config["tokenizer_class"])
    if name in _AS_WRITTEN:
        return
    plain = name.removesuffix("Fast")
    if plain in _BERT:
        wrong = _unlike_bert(base)
    elif plain in _XLM_R:
        wrong = _unlike_xlm_r(base)
    else:
        known = ", ".join((*_BERT, *_XLM_R))
        wrong = f"not among the classes that were tested ({known})"
    if wrong:
        raise InputError(
            f"{folder / CONFIG}: tokenizer_class {name}: {wrong}; correct it, or set "
            f'"{_AS_WRITTEN[0]}", which reads {TOKENIZER} as it stands, and name all special tokens'
        )


def _unlike_bert(base: Base) -> str | None:
    normalizer, cutter = base.raw.get("normalizer") or {}, base.raw.get("pre_tokenizer") or {}
    if (base.kind, normalizer.get("type"), cutter.get("type")) != (
        *(WORDPIECE, "BertNormalizer", "BertPreTokenizer"),
    ):
        return f"but {TOKENIZER} is not WordPiece with BERT's normaliser and pre-tokenizer"
    lowercase = base.config.get("do_lower_case", True)
    accents = base.config.get("strip_accents")
    stated = {
        "do_lower_case": (lowercase, normalizer["lowercase"]),
        "strip_accents": (
            lowercase if accents is None else accents,
            normalizer["lowercase"]
            if normalizer["strip_accents"] is None
            else normalizer["strip_accents"],
        ),
        "tokenize_chinese_chars": (
            base.config.get("tokenize_chinese_chars", True),
            normalizer["handle_chinese_chars"],
        ),
    }
    for option, (there, here) in stated.items():
        if there != here:
            return f"{option} is {there} there (or by default) but {here} in {TOKENIZER}"
    return None


def _unlike_xlm_r(base: Base) -> str | None:
    normalizer = base.raw.get("normalizer") or {}
    steps = normalizer["normalizers"] if normalizer.get("type") == "Sequence" else [normalizer]
    if base.kind != UNIGRAM or any(
        step and step["type"] not in ("Precompiled", "Replace", "Strip") for step in steps
    ):
        return f"but {TOKENIZER} is not Unigram with a compiled normaliser alone"
    if base.unk != _XLM_R_NAMES.index("<unk>") or base.raw["model"].get("byte_fallback"):
        return "but <unk> is not 3, or there is byte fallback"
    return None


def _check_names(folder: Path, base: Base) -> None:
    """That ``transformers`` adds no token when it loads the base: it would take a new id."""
    plain = str(base.config["tokenizer_class"]).removesuffix("Fast")
    names = dict(zip(_slots(plain), _BERT_NAMES if plain in _BERT else _XLM_R_NAMES, strict=False))
    for source in (base.copied.get(NAMES, {}), base.config):
        names |= dict(_named(source))
    decoder = base.config.get("added_tokens_decoder", {})
    listed = [(str(i), token) for i, token in decoder.items()] if isinstance(decoder, dict) else []
    names |= {f"added_tokens_decoder {i}": _content(token) for i, token in listed}
    names |= {f"{ADDED} {content}": content for content in base.copied.get(ADDED, {})}
    for key, content in names.items():
        if content not in base.ids:
            raise InputError(
                f"{folder}: the token {content!r} ({key}) is not in {TOKENIZER}, so its id would "
                "move; load the folder with transformers and save it again"
            )


def _slots(plain: str) -> Sequence[str]:
    if plain in _BERT:
        return ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    if plain in _XLM_R:
        return ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    return ()


def _named(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in source.items():
        if key.endswith("_token") and isinstance(value, str | dict):
            yield key, _content(value)
        elif key in ("additional_special_tokens", "extra_special_tokens"):
            for token in value.values() if isinstance(value, dict) else value or ():
                yield f"{key} {_content(token)}", _content(token)


def _content(token: object) -> str:
    return str(token.get("content")) if isinstance(token, dict) else str(token)


def extended(base: Base, pieces: Sequence[str], scores: Sequence[float]) -> str:
    """``tokenizer.json`` with ``pieces`` after the last id; ``scores`` are used by Unigram only.

    The ids of a model are those of its own vocabulary first, and added tokens come after. So
    added tokens beyond it are taken in, where they keep their ids; they are cut out of text
    before, so that the model never meets them.

    It is not written by ``tokenizers``, whose numbers change in the last digit when they are read:
    that of an old piece must stay the same, or ties may fall in another way.
    """
    model = dict(base.raw["model"])
    if base.kind == WORDPIECE:
        model["vocab"] = {piece: i for i, piece in enumerate([*base.pieces, *pieces])}
    else:
        rows = model["vocab"]
        # The lowest score there is: a lower one would change that of unknown characters.
        lowest = min(score for _, score in rows)
        rows = [*rows, *([piece, lowest] for piece in base.pieces[len(rows) :])]
        model["vocab"] = [*rows, *([p, s] for p, s in zip(pieces, scores, strict=True))]
    return _json(base.raw | {"model": model})


def read_tokenizer(content: str) -> "Tokenizer":
    """A tokenizer that neither cuts off nor fills up text.

    Raises:
        ValueError: it is no ``tokenizer.json``.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(content.encode())  # `from_str` raises a bare Exception
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def write_extended(base: Base, content: str, folder: Path) -> None:
    """Write the tokenizer files. Names are fixed: none is taken from the base's files."""
    files = {name: _json(old) for name, old in base.copied.items()}
    files |= {TOKENIZER: content, CONFIG: _json(base.config)}
    if base.has_vocab_txt:
        ids = read_tokenizer(content).get_vocab(with_added_tokens=True)
        files[VOCAB_TXT] = "".join(f"{piece}\n" for piece in sorted(ids, key=ids.__getitem__))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
