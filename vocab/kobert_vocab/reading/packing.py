"""Packed files as the bytes in them, a bounded block at a time."""

import bz2
import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import IO, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKINGS = ("", ".gz", ".bz2", ".zst")
BLOCK = 128 << 10  # bytes read at once; a gzip file gives about 30 KiB


class BrokenArchiveError(Exception):
    """A packed file ends early or is damaged; what was read before is good."""


class Unpacked:
    """The bytes of ``raw``, the open file ``path``, unpacked as the name says.

    All three libraries unpack at most what was asked for, so a small file of gigabytes of zeros
    costs time and no memory. An archive of several parts, as ``pbzip2`` makes, is read whole.
    """

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self._stream: io.BufferedIOBase | _Bz2Stream
        if path.suffix == ".gz":
            self._stream = gzip.GzipFile(fileobj=raw, mode="rb")
        elif path.suffix == ".bz2":
            self._stream = _Bz2Stream(raw)
        elif path.suffix == ".zst":
            self._stream = zstd.ZstdFile(raw)
        else:
            self._stream = cast(io.BufferedReader, raw)

    def read_block(self, most: int | None = None) -> bytes:
        """The next bytes, ``most`` or fewer; none at the end.

        Raises:
            BrokenArchiveError: the archive cannot be read further.
        """
        try:
            return self._stream.read1(BLOCK if most is None else most)
        except (EOFError, zlib.error, zstd.ZstdError) as error:
            raise BrokenArchiveError(str(error)) from error
        except OSError as error:
            if error.errno is not None:  # the disk's; bz2 and gzip give none with theirs
                raise
            raise BrokenArchiveError(str(error)) from error


class _Bz2Stream:
    """As `bz2.BZ2File`, which takes whatever follows a damaged part for the end of the file."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._decompressor = bz2.BZ2Decompressor()
        self._is_between = True  # parts, where the file may end

    def read1(self, most: int) -> bytes:
        while True:
            packed = b""
            if self._decompressor.eof:
                packed = self._decompressor.unused_data
                self._decompressor, self._is_between = bz2.BZ2Decompressor(), True
            if not packed and self._decompressor.needs_input:
                packed = self._raw.read(io.DEFAULT_BUFFER_SIZE)
                if not packed and self._is_between:
                    return b""
                if not packed:
                    raise EOFError("ended before the end-of-stream marker")
            self._is_between = False
            if block := self._decompressor.decompress(packed, most):
                return block


def kind_of(name: str) -> str:
    """The suffix that says what is in a file once it is unpacked.

    >>> kind_of("news.2020.jsonl.gz"), kind_of("CC-MAIN-0.warc.wet.gz"), kind_of("README")
    ('.jsonl', '.wet', '')
    """
    path = Path(name)
    return Path(path.stem if path.suffix in PACKINGS else name).suffix
