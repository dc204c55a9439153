"""TensorFlow's checkpoints: ``PREFIX.index`` and ``PREFIX.data-00000-of-00001``.

The index is a sorted table (`sorted_table`) of what each tensor is and where in the data files its
bytes lie. It may come from anybody: everything that it says is compared with the sizes of the files
before a byte is read, and no tensor comes out whose checksum is not that of the index.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kobert_kit.tensorflow1.bundle_entry import (
    ITEM_SIZES,
    SLICED,
    BundleEntry,
    header,
    read_entry,
    read_header,
)
from kobert_kit.tensorflow1.faults import Damaged, Unsupported, faults_of
from kobert_kit.tensorflow1.masked_crc import masked_crc
from kobert_kit.tensorflow1.sorted_table import Item, read_table, write_table
from kobert_vocab.errors import InputError

HEADER_KEY = b""
SLICE_KEY = b"\0"  # what that of a slice begins with; then comes its variable's name, and a 0 again


@dataclass(frozen=True, kw_only=True)
class TensorBundle:
    """A checkpoint that is open: what is in it. Tensors are read one at a time."""

    index: Path
    shards: Sequence[Path]
    """The data files."""
    entries: Mapping[str, BundleEntry]
    """By the names of the tensors, which are sorted."""

    @classmethod
    def open(cls, prefix: Path) -> Self:
        """The checkpoint of which the files begin with ``prefix``.

        Raises:
            InputError: a file is missing, or damaged, or the index does not fit the data; or what
                we do not read: slices, compression, a big-endian machine's numbers.
        """
        index = Path(f"{prefix}.index")
        if not index.is_file():
            raise InputError(f"{index}: no such file; copy it here, beside the data")
        items = read_table(index)
        with faults_of(index):
            count, entries = _read_items(items)
        shards = _find_shards(prefix, count)
        _check_places(index, entries, shards)
        return cls(index=index, shards=shards, entries=entries)

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor, of which the checksum has been compared.

        Raises:
            InputError: its bytes are not those that were written, or of a type we do not read.
            KeyError: no tensor has this name.
        """
        entry = self.entries[name]
        path = self.shards[entry.shard]
        if entry.dtype not in ITEM_SIZES:
            raise InputError(f"{self.index}: {name!r} is of {entry.dtype}, which cannot be read")
        with path.open("rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) != entry.size or masked_crc(data) != entry.crc:
            raise InputError(f"{path}: the checksum of {name!r} is wrong; copy the file again")
        dtype = np.dtype(entry.dtype).newbyteorder("<")
        return np.frombuffer(data, dtype).reshape(entry.shape)


def write_bundle(prefix: Path, tensors: Iterable[tuple[str, npt.NDArray[Any]]]) -> None:
    """Write a checkpoint with one data file, which TensorFlow's `train.load_checkpoint` reads.

    Args:
        prefix: what the names of its files begin with.
        tensors: names in ascending order, and values of a type in `ITEM_SIZES`; asked for one
            after the other, so they need not be in memory together.

    Raises:
        ValueError: the names are not in order.
    """
    items = [(HEADER_KEY, header())]
    offset = 0
    with _shard(prefix, 0, 1).open("wb") as file:
        for name, tensor in tensors:
            data = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()
            entry = BundleEntry(
                dtype=tensor.dtype.name,
                shape=tensor.shape,
                shard=0,
                offset=offset,
                size=len(data),
                crc=masked_crc(data),
            )
            items.append((name.encode(), entry.encoded()))
            offset += file.write(data)
    write_table(Path(f"{prefix}.index"), items)


def _shard(prefix: Path, number: int, count: int) -> Path:
    return Path(f"{prefix}.data-{number:05d}-of-{count:05d}")


def _read_items(items: Sequence[Item]) -> tuple[int, dict[str, BundleEntry]]:
    """The number of data files, and the entries."""
    if not items or items[0][0] != HEADER_KEY:
        raise Damaged("no header")
    count = read_header(items[0][1])
    entries = {}
    for key, value in items[1:]:
        if key.startswith(SLICE_KEY):
            raise Unsupported(f"{key.split(SLICE_KEY)[1].decode(errors='replace')!r}: {SLICED}")
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise Damaged(f"the name {key!r} is not UTF-8") from error
        try:
            entries[name] = read_entry(value)
        except Damaged as error:
            raise Damaged(f"{name!r}: {error}") from error
        except Unsupported as error:
            raise Unsupported(f"{name!r}: {error}") from error
    return count, entries


def _find_shards(prefix: Path, count: int) -> list[Path]:
    shards: list[Path] = []
    for number in range(count):  # ends at the first that is missing, whatever the count
        path = _shard(prefix, number, count)
        if not path.is_file():
            raise InputError(f"{path}: no such file, and the index asks for {count}; copy it too")
        shards.append(path)
    return shards


def _check_places(index: Path, entries: Mapping[str, BundleEntry], shards: Sequence[Path]) -> None:
    sizes = [path.stat().st_size for path in shards]
    free = [0] * len(shards)
    for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
        if entry.shard >= len(shards):
            raise InputError(
                f"{index}: {name!r} lies in data file {entry.shard} of {len(shards)}; copy it again"
            )
        end, path = entry.offset + entry.size, shards[entry.shard]
        if end > sizes[entry.shard]:
            raise InputError(
                f"{path}: has {sizes[entry.shard]:,} bytes, and {name!r} ends at {end:,}; "
                "copy the file again"
            )
        if entry.size and entry.offset < free[entry.shard]:
            raise InputError(
                f"{index}: the bytes of {name!r} are another tensor's too; copy it again"
            )
        free[entry.shard] = max(free[entry.shard], end)
