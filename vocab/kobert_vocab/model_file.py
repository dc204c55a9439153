"""SentencePiece's model file, read and written without protobuf.

The file is one protocol buffer message (``sentencepiece_model.proto``). Only a few fields are of
interest here; all others are carried over byte by byte. SentencePiece ships classes for Google's
``protobuf``, but those of 0.2.3 refuse any before 7.36.1, the newest there is, and many a package
that stands beside this one in an environment asks for an older one.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# Field numbers of ModelProto, of its SentencePiece and of its two specs.
PIECES, TRAINER_SPEC, NORMALIZER_SPEC = 1, 2, 3
_PIECE, _SCORE, _TYPE = 1, 2, 3
INPUT, MODEL_PREFIX, MODEL_TYPE, SPACE_AS_SUFFIX, BYTE_FALLBACK, SEED_FILE = 1, 2, 3, 24, 35, 54
RULES_NAME, CHARSMAP, ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES = 1, 2, 3, 4
ESCAPE_WHITESPACES, RULES_FILE = 5, 6

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of piece

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


@dataclass(frozen=True)
class Field:
    """A field of a message: its number and its content, bytes or a whole number."""

    number: int
    wire_type: int
    value: bytes | int


@dataclass(frozen=True)
class Piece:
    """A piece with its log probability."""

    text: str
    score: float
    type: int


def read_fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, in order."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _read_varint(message, at)
            yield Field(number, wire_type, value)
            continue
        size = _FIXED.get(wire_type)
        if size is None:
            size, at = _read_varint(message, at)
        yield Field(number, wire_type, message[at : at + size])
        at += size


def write_fields(fields: Iterable[Field]) -> bytes:
    """A message of ``fields``."""
    out = bytearray()
    for field in fields:
        out += _varint(field.number << 3 | field.wire_type)
        if isinstance(field.value, int):
            out += _varint(field.value)
            continue
        if field.wire_type == _LENGTH:
            out += _varint(len(field.value))
        out += field.value
    return bytes(out)


def read_piece(message: bytes) -> Piece:
    """The piece in one field `PIECES`."""
    values = {field.number: field.value for field in read_fields(message)}
    text, score, kind = values[_PIECE], values.get(_SCORE, b"\0\0\0\0"), values.get(_TYPE, NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(kind, int):
        raise ValueError("not a SentencePiece model")
    return Piece(text.decode(), struct.unpack("<f", score)[0], kind)


def piece_field(piece: Piece) -> Field:
    """The field `PIECES` that holds ``piece``."""
    fields = [
        Field(_PIECE, _LENGTH, piece.text.encode()),
        Field(_SCORE, _FOUR_BYTES, struct.pack("<f", piece.score)),
    ]
    if piece.type != NORMAL:
        fields.append(Field(_TYPE, _VARINT, piece.type))
    return Field(PIECES, _LENGTH, write_fields(fields))


def message_field(number: int, fields: Iterable[Field]) -> Field:
    """A field that holds a message."""
    return Field(number, _LENGTH, write_fields(fields))


def read_pieces(model: bytes) -> list[Piece]:
    """All pieces of a model, by id."""
    return [
        read_piece(field.value)
        for field in read_fields(model)
        if field.number == PIECES and isinstance(field.value, bytes)
    ]


def read_spec(model: bytes, number: int) -> dict[int, bytes | int]:
    """The fields of the `TRAINER_SPEC` or `NORMALIZER_SPEC` by number; of a repeated one the last.

    What is not in the file has its default, which is not given here.
    """
    return {
        inner.number: inner.value
        for field in read_fields(model)
        if field.number == number and isinstance(field.value, bytes)
        for inner in read_fields(field.value)
    }


def read_charsmap(model: bytes) -> bytes:
    """The compiled normaliser rules of a model."""
    charsmap = read_spec(model, NORMALIZER_SPEC).get(CHARSMAP)
    if isinstance(charsmap, bytes):
        return charsmap
    raise ValueError("the model has no normaliser rules")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
