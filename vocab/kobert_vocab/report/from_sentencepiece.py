"""A SentencePiece model as a `Peer`, ours or any other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import sentencepiece

from kobert_vocab.errors import InputError
from kobert_vocab.normalize import nfc
from kobert_vocab.report.peers import CARRIER, Peer, Spans, Token
from kobert_vocab.vocabulary import MODEL, Vocabulary

MARK = "▁"


class Part(NamedTuple):
    """A piece with the letters it stands for, without the mark of a space."""

    id: int
    letters: str


def open_ours(folder: Path, name: str) -> Peer:
    """A folder that ``kobert vocab train`` wrote; text is composed before it is encoded.

    Raises:
        InputError: the model in it cannot be read.
    """
    vocabulary = Vocabulary.load(folder)
    spans = _spans((folder / MODEL).read_bytes())
    peer = open_model(folder / MODEL, name)
    return Peer(
        name=name,
        kind="kobert-kit",
        pieces=peer.pieces,
        texts=peer.texts,
        unknown=vocabulary.unk,
        bytes=peer.bytes,
        byte_level=False,
        specials=peer.specials | frozenset(vocabulary.specials),
        encode=vocabulary.encode_batch,
        spans=lambda words: spans([nfc(word) for word in words]),
        decode=lambda batch: [vocabulary.decode(ids) for ids in batch],
        normalize=vocabulary.normalize,
    )


def open_model(path: Path, name: str) -> Peer:
    """Any SentencePiece model, with or without byte pieces, whatever its normaliser.

    Raises:
        InputError: the file is not one.
    """
    sentencepiece.set_min_log_level(2)  # errors only
    model = path.read_bytes()
    processor = sentencepiece.SentencePieceProcessor()
    try:
        loaded = processor.LoadFromSerializedProto(model)
    except (RuntimeError, ValueError) as error:
        raise InputError(_not_a_model(path)) from error
    if not loaded or not processor.get_piece_size():
        raise InputError(_not_a_model(path))
    ids = range(processor.get_piece_size())
    pieces = [processor.id_to_piece(i) for i in ids]
    specials = frozenset(
        i
        for i in ids
        if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i)
    )
    return Peer(
        name=name,
        kind="SentencePiece",
        pieces=pieces,
        texts=[piece.replace(MARK, " ") for piece in pieces],
        unknown=processor.unk_id(),
        bytes=frozenset(i for i in ids if processor.is_byte(i)),
        byte_level=False,
        specials=specials,
        encode=lambda texts: list(processor.encode(list(texts))),
        spans=_spans(model),
        decode=lambda batch: [processor.decode(list(row)) for row in batch],
    )


def _not_a_model(path: Path) -> str:
    return f"{path}: not a SentencePiece model; give a .model file, tokenizer.json or a folder"


def _spans(model: bytes) -> Callable[[Sequence[str]], list[Spans]]:
    """Words to tokens with their places, found by way of the normalised word.

    SentencePiece counts offsets in another way from version to version, so the pieces are laid
    along the normalised word, and that along the word by the normaliser's own offsets.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    normalizer = sentencepiece.SentencePieceNormalizer(
        model_proto=model,
        add_dummy_prefix=False,
        escape_whitespaces=False,
        remove_extra_whitespaces=False,
    )
    ids = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
    unknown = processor.unk_id()
    head = len(processor.encode(CARRIER.strip()))

    def spans(words: Sequence[str]) -> list[Spans]:
        rows: list[Spans] = []
        encoded = processor.encode([CARRIER + word for word in words], out_type=str)
        for word, surfaces in zip(words, encoded, strict=True):
            parts = [
                Part(ids.get(surface, unknown), letters)  # an unknown one is written as in the text
                for surface in surfaces[head:]
                if (letters := surface.replace(MARK, ""))
            ]
            if "".join(part.letters for part in parts) == word:
                rows.append(_lay(parts, range(len(word) + 1)))
                continue
            normalized, offsets = normalizer.Normalize(word, with_offsets=True)
            whole = _characters_of_bytes(parts, processor)
            exact = "".join(part.letters for part in whole) == normalized
            rows.append(_lay(whole, offsets) if exact else None)
        return rows

    return spans


def _characters_of_bytes(
    parts: Sequence[Part], processor: sentencepiece.SentencePieceProcessor
) -> list[Part]:
    """``parts`` with each character that is written in bytes at the first of them."""
    out: list[Part] = []
    at = 0
    while at < len(parts):
        part = parts[at]
        length = 1
        if processor.is_byte(part.id):
            first = _byte(part)
            length = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            group = parts[at : at + length]
            character = bytes(map(_byte, group)).decode(errors="replace")
            out += [Part(part.id, character), *(Part(later.id, "") for later in group[1:])]
        else:
            out.append(part)
        at += length
    return out


def _byte(part: Part) -> int:
    return int(part.letters[3:5], 16)  # <0xEA>


def _lay(parts: Sequence[Part], offsets: Sequence[int]) -> list[Token]:
    """Tokens over the word; ``offsets`` leads from the normalised word's characters to its own.

    A part without letters is a later byte of the character before it.
    """
    tokens: list[Token] = []
    at = 0
    for piece, letters in parts:
        if not letters:
            tokens.append(Token(piece, tokens[-1].start, tokens[-1].end))
            continue
        start, end = offsets[at], offsets[at + len(letters)]
        at += len(letters)
        # Of two pieces for one character (ﬁ to f, i) both cover it.
        tokens.append(Token(piece, start, max(end, start + 1)))
    return tokens
