"""The messages in a checkpoint's index: its header, and where and what each tensor is.

After tensor_bundle.proto, tensor_shape.proto and versions.proto of TensorFlow.
"""

import math
from dataclasses import dataclass

from kobert_kit.tensorflow1.faults import Damaged, Unsupported
from kobert_kit.tensorflow1.wire_format import (
    Kind,
    fixed32_field,
    message_field,
    number_field,
    read_fields,
)

# Fields of the messages, by their numbers in the .proto files.
_SHARDS, _ENDIANNESS, _VERSION = 1, 2, 3
_HEADER: dict[int, Kind] = {_SHARDS: "varint", _ENDIANNESS: "varint", _VERSION: "message"}
_PRODUCER, _MIN_CONSUMER = 1, 2
_VERSIONS: dict[int, Kind] = {_PRODUCER: "varint", _MIN_CONSUMER: "varint", 3: "message"}
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CRC, _SLICES = range(1, 8)
_ENTRY: dict[int, Kind] = {
    _DTYPE: "varint",
    _SHAPE: "message",
    _SHARD: "varint",
    _OFFSET: "varint",
    _SIZE: "varint",
    _CRC: "fixed32",
    _SLICES: "message",
}
_DIMENSION, _UNKNOWN_RANK = 2, 3
_SHAPES: dict[int, Kind] = {_DIMENSION: "message", _UNKNOWN_RANK: "varint"}
_LENGTH = 1
_DIMENSIONS: dict[int, Kind] = {_LENGTH: "varint", 2: "message"}

FORMAT = 1  # kTensorBundleVersion of TensorFlow, unchanged since 2016
# types.proto: what TensorFlow's number for a type is called, of those that a BERT is made of.
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 19: "float16"}
_NUMBERS = {name: number for number, name in _DTYPES.items()}
ITEM_SIZES = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "float16": 2}
SLICED = (
    "a partitioned variable, whose slices are stored apart; load the checkpoint in TensorFlow and "
    "save it without a partitioner"
)
MOST_DIMENSIONS = 64  # of NumPy's arrays


@dataclass(frozen=True, kw_only=True)
class BundleEntry:
    """Where a tensor's bytes lie, and what they are."""

    dtype: str
    """A name of `ITEM_SIZES`, or ``type N`` with TensorFlow's number for another one."""
    shape: tuple[int, ...]
    shard: int
    """Number of the data file, from 0."""
    offset: int
    """Byte of the data file at which it begins."""
    size: int
    """Bytes."""
    crc: int
    """`masked_crc` of its bytes."""

    def encoded(self) -> bytes:
        """The message in the index."""
        dimensions = (message_field(_DIMENSION, number_field(_LENGTH, n)) for n in self.shape)
        return (
            number_field(_DTYPE, _NUMBERS[self.dtype])
            + message_field(_SHAPE, b"".join(dimensions))
            + number_field(_SHARD, self.shard)
            + number_field(_OFFSET, self.offset)
            + number_field(_SIZE, self.size)
            + fixed32_field(_CRC, self.crc)
        )


def read_header(message: bytes) -> int:
    """The number of data files.

    Raises:
        Damaged: no such message.
        Unsupported: a newer format, or numbers with the highest byte first.
    """
    header = read_fields(message, _HEADER)
    versions = header.messages.get(_VERSION, [b""])
    if header.number(_SHARDS) < 1 or len(versions) > 1:
        raise Damaged("a header without its number of data files")
    needed = read_fields(versions[0], _VERSIONS).number(_MIN_CONSUMER)
    if needed > FORMAT:
        raise Unsupported(f"of version {needed} of the format; only {FORMAT} can be read")
    if header.number(_ENDIANNESS) != 0:
        raise Unsupported(
            "written on a big-endian machine; load the checkpoint in TensorFlow on another one "
            "and save it again"
        )
    return header.number(_SHARDS)


def header() -> bytes:
    """The header of a checkpoint with one data file, lowest byte first."""
    version = message_field(_VERSION, number_field(_PRODUCER, FORMAT))
    return number_field(_SHARDS, 1) + version


def read_entry(message: bytes) -> BundleEntry:
    """Where a tensor is and what, with a size that its shape and type explain.

    Raises:
        Damaged: no such message, or one that contradicts itself.
        Unsupported: a variable that was saved in slices.
    """
    fields = read_fields(message, _ENTRY)
    if _SLICES in fields.messages:
        raise Unsupported(SLICED)
    number = fields.number(_DTYPE)
    entry = BundleEntry(
        dtype=_DTYPES.get(number, f"type {number}"),
        shape=_read_shape(fields.messages.get(_SHAPE, [])),
        shard=fields.number(_SHARD),
        offset=fields.number(_OFFSET),
        size=fields.number(_SIZE),
        crc=fields.number(_CRC),
    )
    # Texts and the like have sizes of their own, and we read none of them.
    if entry.dtype in ITEM_SIZES:
        size = math.prod(entry.shape) * ITEM_SIZES[entry.dtype]
        if entry.size != size:
            raise Damaged(f"{entry.size} bytes of {entry.dtype} in the shape {list(entry.shape)}")
    return entry


def _read_shape(messages: list[bytes]) -> tuple[int, ...]:
    if len(messages) > 1:
        raise Damaged("two shapes")
    shape = read_fields(messages[0] if messages else b"", _SHAPES)
    dimensions = shape.messages.get(_DIMENSION, [])
    if shape.number(_UNKNOWN_RANK) or len(dimensions) > MOST_DIMENSIONS:
        raise Damaged(f"a shape of unknown rank or of more than {MOST_DIMENSIONS} dimensions")
    lengths = tuple(read_fields(dimension, _DIMENSIONS).number(_LENGTH) for dimension in dimensions)
    # Empty tensors too must stay within what an array may be: 2**63 bytes, of 8 each.
    if math.prod(max(1, length) for length in lengths) >= 2**60:
        raise Damaged(f"the shape {list(lengths)}")
    return lengths
