"""A tokenizer of Hugging Face as a `Peer`: ``tokenizer.json``, or what ``transformers`` opens."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kobert_vocab.errors import InputError
from kobert_vocab.report.peers import CARRIER, Peer, Spans, Token

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>")


def open_file(path: Path, name: str) -> Peer:
    """A ``tokenizer.json``.

    Raises:
        InputError: the file is not one.
    """
    from tokenizers import Tokenizer  # here: `import kobert_vocab` stays quick

    try:
        content = path.read_text(encoding="utf-8")
        form = json.loads(content)
    except ValueError as error:
        raise InputError(f"{path}: not JSON; give a tokenizer.json") from error
    model = form.get("model") if isinstance(form, dict) else None
    # `Tokenizer` itself raises a bare Exception on JSON of another kind.
    if not isinstance(model, dict) or not model.get("vocab") or "version" not in form:
        raise InputError(f"{path}: JSON, but no tokenizer of Hugging Face; give a tokenizer.json")
    return _peer(Tokenizer.from_str(content), name)


def open_folder(folder: Path, name: str) -> Peer:
    """A folder without ``tokenizer.json`` that ``transformers`` opens, such as one of vocab.txt.

    Raises:
        InputError: it does not, or has no fast tokenizer for it, or is not installed.
    """
    try:
        from transformers import AutoTokenizer  # here: it takes seconds
    except ModuleNotFoundError as error:
        raise InputError(
            f"{folder}: no tokenizer.json in it, and without one it takes transformers: "
            "pip install transformers"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise InputError(
            f"{folder}: no vocabulary that I or transformers can open; "
            "give a folder with tokenizer.json, or a .model file"
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"{folder}: has no fast tokenizer; save it as tokenizer.json first")
    return _peer(backend, name)


def _peer(tokenizer: "Tokenizer", name: str) -> Peer:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "[MASK]" in a text is text
    form = json.loads(tokenizer.to_str())
    size = max(tokenizer.get_vocab().values()) + 1
    pieces = [tokenizer.id_to_token(i) or "" for i in range(size)]  # ids may have gaps
    byte_level = _names(form, "ByteLevel")
    texts = [_text(piece, form["model"], byte_level) for piece in pieces]
    is_byte = _is_partial if byte_level else _BYTE.fullmatch
    unknown = _unknown(form["model"], tokenizer)
    added = tokenizer.get_added_tokens_decoder()
    specials = {i for i, token in added.items() if token.special}
    specials |= {i for i, piece in enumerate(pieces) if not piece or _UNUSED.fullmatch(piece)}
    if unknown is not None:
        specials.add(unknown)
    plain = [i for i in range(size) if i not in specials]

    def encode(batch: Sequence[str]) -> list[list[int]]:
        rows = tokenizer.encode_batch_fast(list(batch), add_special_tokens=False)
        return [row.ids for row in rows]

    def spans(words: Sequence[str]) -> list[Spans]:
        rows = tokenizer.encode_batch([CARRIER + w for w in words], add_special_tokens=False)
        return [_inside(row.ids, row.offsets) for row in rows]

    return Peer(
        name=name,
        kind="byte-level BPE" if byte_level else form["model"]["type"],
        pieces=pieces,
        texts=texts,
        unknown=unknown,
        bytes=frozenset(i for i in plain if is_byte(pieces[i])),
        byte_level=byte_level,
        specials=frozenset(specials),
        encode=encode,
        spans=spans,
        decode=lambda batch: list(
            tokenizer.decode_batch([list(row) for row in batch], skip_special_tokens=False)
        ),
    )


def _inside(ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[Token]:
    shift = len(CARRIER)
    return [
        Token(piece, max(start - shift, 0), end - shift)
        for piece, (start, end) in zip(ids, offsets, strict=True)
        if end > shift and end > start
    ]


def _names(part: object, kind: str) -> bool:
    """Whether a part of ``tokenizer.json`` of this type is somewhere in ``part``."""
    if isinstance(part, list):
        return any(_names(inner, kind) for inner in part)
    if not isinstance(part, dict):
        return False
    steps = (part.get(key) for key in ("normalizer", "pre_tokenizer", "decoder"))
    lists = (part.get(key) for key in ("normalizers", "pretokenizers", "decoders"))
    return part.get("type") == kind or any(_names(step, kind) for step in (*steps, *lists))


def _unknown(model: Mapping[str, Any], tokenizer: "Tokenizer") -> int | None:
    if model.get("type") == "Unigram":
        unknown: int | None = model["unk_id"]
        return unknown
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def _text(piece: str, model: Mapping[str, Any], byte_level: bool) -> str:
    if byte_level:
        raw = _raw(piece)
        return piece if raw is None else raw.decode(errors="backslashreplace")
    if model.get("type") == "WordPiece":
        prefix = model.get("continuing_subword_prefix", "##")
        return piece.removeprefix(prefix) if piece.startswith(prefix) else f" {piece}"
    return piece.replace("▁", " ")


def _raw(piece: str) -> bytes | None:
    """The bytes of a byte-level piece; None for an added one, which is written as it is."""
    codes = [_BYTE_OF.get(char) for char in piece]
    return None if None in codes else bytes(code for code in codes if code is not None)


def _is_partial(piece: str) -> bool:
    raw = _raw(piece)
    return raw is not None and "\ufffd" in raw.decode(errors="replace")


def _bytes_of_characters() -> dict[str, int]:
    """The characters that byte-level vocabularies write bytes with (GPT-2's ``bytes_to_unicode``).

    Those of Latin-1 that can be seen stand for themselves, the others are moved up by 256.
    """
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [code for code in range(256) if code not in seen]
    return {chr(code): code for code in seen} | {chr(256 + i): c for i, c in enumerate(moved)}


_BYTE_OF = _bytes_of_characters()
