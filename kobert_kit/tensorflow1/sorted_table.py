"""Sorted tables of LevelDB: the ``.index`` file of a TensorFlow checkpoint.

Blocks of entries, each with a checksum; an empty block of meta data; a block that says where the
others lie; a footer of 48 bytes. In a block each key leaves out what it shares with the one before
it, but for the keys of which the block's end has a list, so that one can be looked up. LevelDB's
doc/table_format.md is the specification.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from kobert_kit.tensorflow1.faults import Damaged, Unsupported, faults_of
from kobert_kit.tensorflow1.masked_crc import masked_crc
from kobert_kit.tensorflow1.wire_format import read_varint, varint

Item = tuple[bytes, bytes]

FOOTER, TRAILER = 48, 5  # bytes; the trailer of a block is its compression and its checksum
MAGIC = 0xDB4775248B80FB57
HANDLES = 40  # bytes of the footer before the magic number
BLOCK = 262_144  # bytes that TensorFlow fills a block to
RESTART = 16  # keys from one that is whole to the next, as LevelDB has them
COMPRESSIONS = {1: "snappy", 2: "zstd"}
# Bounds on what a file that was made to do harm can have us build in memory: 16 MiB are 150 times
# the index of BERT-Large with its optimiser's state, whose longest name has 70 bytes.
LARGEST_FILE, LONGEST_KEY, MOST_ITEMS = 16 * 2**20, 1_024, 100_000


def read_table(path: Path) -> list[Item]:
    """All keys and their values, in the order of the keys, none twice.

    Raises:
        InputError: the file is no such table, damaged, compressed or far too large.
    """
    with faults_of(path):
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise Unsupported(f"{size:,} bytes; no index of a BERT has more than {LARGEST_FILE:,}")
        return _items_of_table(path.read_bytes())


def write_table(path: Path, items: Sequence[Item]) -> None:
    """Write a table.

    Args:
        path: file to make.
        items: keys and values; each key above the one before it.

    Raises:
        ValueError: the keys are not in order.
    """
    if any(left >= right for (left, _), (right, _) in pairwise(items)):
        raise ValueError("the keys of a sorted table must go up")
    table = bytearray()
    bounds = [
        (block[-1][0], _append(table, _packed(block, RESTART))) for block in _in_blocks(items)
    ]
    meta = _append(table, _packed([], RESTART))
    index = _append(table, _packed(bounds, 1))
    table += (meta + index).ljust(HANDLES, b"\0") + struct.pack("<Q", MAGIC)
    path.write_bytes(table)


def _items_of_table(data: bytes) -> list[Item]:
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise Damaged("its end is not that of a TensorFlow index")
    footer = data[-FOOTER:]
    meta, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    _block(data, *meta)  # nothing is in it, but its checksum counts
    items: list[Item] = []
    last, free = b"", 0
    for bound, value in _items_of_block(_block(data, *index)):
        (begin, size), at = _handle(value, 0)
        if at != len(value) or begin < free:  # so no block is read more than once
            raise Damaged(f"the block at byte {begin} overlaps another")
        free = begin + size + TRAILER
        for item in _items_of_block(_block(data, begin, size)):
            if items and item[0] <= last:
                raise Damaged(f"the key {item[0]!r} is there twice or out of order")
            items.append(item)
            last = item[0]
            if len(items) > MOST_ITEMS:
                raise Unsupported(f"more than {MOST_ITEMS:,} tensors; no BERT has so many")
        if last > bound:
            raise Damaged(f"the key {last!r} lies outside its block's bound")
        last = bound
    return items


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Begin and size of a block, and where its handle ends."""
    begin, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (begin, size), at


def _block(data: bytes, begin: int, size: int) -> bytes:
    end = begin + size
    if end + TRAILER > len(data) - FOOTER:
        raise Damaged(f"the block at byte {begin} runs past the end")
    compression, crc = struct.unpack_from("<BI", data, end)
    if masked_crc(data[begin : end + 1]) != crc:
        raise Damaged(f"the checksum of the block at byte {begin} is wrong")
    if compression:
        name = COMPRESSIONS.get(compression, f"method {compression}")
        raise Unsupported(
            f"compressed ({name}), which TensorFlow's Saver never does; load the checkpoint in "
            "TensorFlow and save it again"
        )
    return data[begin:end]


def _items_of_block(block: bytes) -> Iterator[Item]:
    count = struct.unpack("<I", block[-4:])[0] if len(block) >= 4 else 0
    limit = len(block) - 4 - 4 * count
    if count < 1 or limit < 0:
        raise Damaged("a block without its list of whole keys")
    whole = set()
    key, at = b"", 0
    while at < limit:
        begin = at
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + own + size > limit:
            raise Damaged(f"the entry at byte {begin} of a block runs past its end")
        if shared + own > LONGEST_KEY:
            raise Unsupported(f"a name of {shared + own:,} bytes; no tensor of a BERT has such")
        if shared == 0:
            whole.add(begin)
        key = key[:shared] + block[at : at + own]
        at += own + size
        yield key, block[at - size : at]
    if count > len(whole) or not whole.issuperset(struct.unpack_from(f"<{count}I", block, limit)):
        raise Damaged("a block's list of whole keys names others")


def _in_blocks(items: Sequence[Item]) -> Iterator[list[Item]]:
    block: list[Item] = []
    size = 0
    for item in items:
        block.append(item)
        size += len(item[0]) + len(item[1])
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _packed(items: Sequence[Item], restart: int) -> bytes:
    block, restarts = bytearray(), []
    previous = b""
    for number, (key, value) in enumerate(items):
        shared = 0
        if number % restart == 0:
            restarts.append(len(block))
        else:
            shared = _shared(previous, key)
        block += varint(shared) + varint(len(key) - shared) + varint(len(value))
        block += key[shared:] + value
        previous = key
    restarts = restarts or [0]
    return bytes(block) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def _shared(left: bytes, right: bytes) -> int:
    """How many bytes both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))


def _append(table: bytearray, block: bytes) -> bytes:
    """Append a block with its trailer, not compressed; gives its handle."""
    begin = len(table)
    content = block + b"\0"
    table += content + struct.pack("<I", masked_crc(content))
    return varint(begin) + varint(len(block))
