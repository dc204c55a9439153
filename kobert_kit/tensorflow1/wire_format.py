"""Numbers and messages as Protocol Buffers write them (protobuf.dev, "Encoding").

Three messages of five fields do not pay for a library with a compiler. Reading is stricter than
protobuf's: a field that is unknown, of another wire type or there twice is an error.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kobert_kit.tensorflow1.faults import Damaged

LONGEST_VARINT = 10  # bytes of 7 bits each: 64 bits

Kind = Literal["varint", "message", "fixed32"]
_WIRE_TYPES: dict[Kind, int] = {"varint": 0, "message": 2, "fixed32": 5}


@dataclass(frozen=True, kw_only=True)
class Fields:
    """A message, by the numbers of its fields."""

    numbers: Mapping[int, int]
    """Unsigned; a negative one is 2**63 or more."""
    messages: Mapping[int, list[bytes]]
    """Messages within, and texts."""

    def number(self, field: int) -> int:
        """The value of a field, 0 if it is not there: protobuf leaves zeros out."""
        return self.numbers.get(field, 0)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at byte ``at``, below 2**64, and where it ends.

    Raises:
        Damaged: it runs past the end of ``data``, or is too large.
    """
    value = 0
    for place in range(LONGEST_VARINT):
        if at + place >= len(data):
            raise Damaged("a number runs past the end")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at + place + 1
    raise Damaged("a number of more than 64 bits")


def varint(value: int) -> bytes:
    """A number from 0 to 2**64 - 1: seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_fields(data: bytes, kinds: Mapping[int, Kind]) -> Fields:
    """The fields of a message; only messages may be there more than once.

    Args:
        data: the whole message.
        kinds: what each field that may be there is.

    Raises:
        Damaged: ``data`` is no such message.
    """
    numbers: dict[int, int] = {}
    messages: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        field, kind = tag >> 3, kinds.get(tag >> 3)
        if kind is None or _WIRE_TYPES[kind] != tag & 7:
            raise Damaged(f"field {field} of wire type {tag & 7} is not of this format")
        if kind == "message":
            size, at = read_varint(data, at)
            messages.setdefault(field, []).append(_slice(data, at, size))
            at += size
            continue
        if field in numbers:
            raise Damaged(f"field {field} is there twice")
        if kind == "fixed32":
            numbers[field] = struct.unpack("<I", _slice(data, at, 4))[0]
            at += 4
        else:
            numbers[field], at = read_varint(data, at)
    return Fields(numbers=numbers, messages=messages)


def number_field(field: int, value: int) -> bytes:
    """A number in a message; nothing for 0, which is what a reader takes a missing one for."""
    return varint(field << 3) + varint(value) if value else b""


def message_field(field: int, message: bytes) -> bytes:
    """A message in a message."""
    return varint(field << 3 | 2) + varint(len(message)) + message


def fixed32_field(field: int, value: int) -> bytes:
    """A number of always four bytes in a message; nothing for 0."""
    return varint(field << 3 | 5) + struct.pack("<I", value) if value else b""


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Damaged("a field runs past the end")
    return data[at : at + size]
