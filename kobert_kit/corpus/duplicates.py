"""Exact and near duplicates among any number of documents, in bounded memory.

Documents that share a fingerprint or a band (`kobert_kit.corpus.signatures`) are linked, and of
each group of linked documents the first stays: groups are connected components, as in FineWeb, so
a copy of a copy belongs to the first one's group though the two may share no band.

(hash, document) pairs are spread over files by the first bits of the hash, each file is sorted on
its own, and equal neighbours are linked in one array of 32-bit parents: 200 MB for 50 million
documents. The pairs take 12 bytes each on disk, 15 per document at most: 9 GB for as many.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.signatures import BANDS

FINGERPRINTS, BANDED, BAND_HASHES = "fingerprints.bin", "banded.bin", "bands.bin"
EXACT, NEAR = 1, 2  # kinds of copies
MOST_DOCUMENTS = 1 << 32  # a document's number has 32 bits
BLOCK = 1 << 20  # pairs spread at a time: 12 MB
BUCKET = 1 << 21  # pairs of a file that is sorted, on average: 25 MB, and 75 MB while it is

_PAIR = np.dtype([("hash", "<u8"), ("document", "<u4")])

Hashes = npt.NDArray[np.uint64]
Documents = npt.NDArray[np.uint32]
Pairs = tuple[Hashes, Documents]


def write_signatures(folder: Path, fingerprints: Hashes, bands: Sequence[bytes | None]) -> None:
    """Write the signatures of one part's documents, in their order, into ``folder``.

    Args:
        folder: of the part.
        fingerprints: [D] of `signatures.fingerprint`.
        bands: [D] of `signatures.bands`.
    """
    banded = [number for number, found in enumerate(bands) if found is not None]
    fingerprints.astype("<u8").tofile(folder / FINGERPRINTS)
    np.array(banded, dtype="<u4").tofile(folder / BANDED)
    (folder / BAND_HASHES).write_bytes(b"".join(filter(None, bands)))


def find_duplicates(parts: Sequence[Path], work: Path) -> npt.NDArray[np.uint8]:
    """Which documents of parts that `write_signatures` wrote are copies of earlier ones.

    The result depends on the documents' order alone, not on where it is cut into parts.

    Returns:
        [documents] 0 for those that stay, `EXACT` for those with the letters and digits of an
        earlier one, `NEAR` for others that are linked to an earlier one by bands.

    Args:
        parts: folders, in the order of the documents.
        work: an existing folder for temporary files, 180 bytes for each document.

    Raises:
        ValueError: there are more than 2^32 documents.
    """
    sizes = [(part / FINGERPRINTS).stat().st_size // 8 for part in parts]
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if begins[-1] > MOST_DOCUMENTS:
        raise ValueError(f"{begins[-1]} documents; at most {MOST_DOCUMENTS} can be compared")
    parents = np.arange(begins[-1], dtype=np.uint32)
    firsts = [int(begin) for begin in begins[:-1]]
    _link_equal(_fingerprints(parts, firsts), int(begins[-1]), parents, work)
    copies = np.where(_is_first(parents), np.uint8(0), np.uint8(EXACT))
    banded = sum((part / BANDED).stat().st_size // 4 for part in parts)
    _link_equal(_bands(parts, firsts, parents), banded * BANDS, parents, work)
    copies[(copies == 0) & ~_is_first(parents)] = NEAR
    return copies


def _is_first(parents: Documents) -> npt.NDArray[np.bool_]:
    first: npt.NDArray[np.bool_] = parents == np.arange(len(parents), dtype=np.uint32)
    return first


def _fingerprints(parts: Sequence[Path], firsts: Sequence[int]) -> Iterator[Pairs]:
    for part, first in zip(parts, firsts, strict=True):
        for begin, hashes in _blocks(part / FINGERPRINTS, "<u8", 1, BLOCK):
            numbers = np.arange(first + begin, first + begin + len(hashes), dtype=np.uint32)
            yield hashes, numbers


def _bands(parts: Sequence[Path], firsts: Sequence[int], parents: Documents) -> Iterator[Pairs]:
    """The bands of documents that are nobody's exact copy: a copy has its original's bands."""
    for part, first in zip(parts, firsts, strict=True):
        hashes = _blocks(part / BAND_HASHES, "<u8", BANDS, BLOCK // BANDS)
        banded = _blocks(part / BANDED, "<u4", 1, BLOCK // BANDS)
        for (_, places), (_, rows) in zip(banded, hashes, strict=True):
            numbers = places + np.uint32(first)
            original = parents[numbers] == numbers
            yield rows.reshape(-1, BANDS)[original].ravel(), np.repeat(numbers[original], BANDS)


def _blocks(
    path: Path, dtype: str, width: int, rows: int
) -> Iterator[tuple[int, npt.NDArray[np.unsignedinteger]]]:
    """A file in blocks of ``rows`` rows of ``width`` numbers, each with its first row's number.

    Not memory-mapped: pages of a map count as the process's memory, and the files do not fit in it.
    """
    size = np.dtype(dtype).itemsize * width
    for begin in range(0, path.stat().st_size // size, rows):
        yield begin, np.fromfile(path, dtype=dtype, count=rows * width, offset=begin * size)


def _link_equal(blocks: Iterable[Pairs], pairs: int, parents: Documents, work: Path) -> None:
    """Link the documents of equal hashes; ``pairs`` is how many there are at most."""
    bits = max(0, (pairs - 1) // BUCKET).bit_length()
    with tempfile.TemporaryDirectory(dir=work, prefix="duplicates-") as folder:
        for block in blocks:
            _spread(block, bits, Path(folder))
        for path in sorted(Path(folder).iterdir()):
            _link_bucket(np.fromfile(path, dtype=_PAIR), parents)
            path.unlink()


def _spread(block: Pairs, bits: int, folder: Path) -> None:
    hashes, documents = block
    if not len(hashes):  # all of its documents were exact copies
        return
    # A shift by 64 is not defined: one file has no bits to look at.
    buckets = hashes >> np.uint64(64 - bits) if bits else np.zeros_like(hashes)
    order = np.argsort(buckets, kind="stable")
    rows = np.empty(len(hashes), dtype=_PAIR)
    rows["hash"], rows["document"] = hashes[order], documents[order]
    present, begins = np.unique(buckets[order], return_index=True)
    ends = [*begins[1:], len(rows)]
    for bucket, begin, end in zip(present, begins, ends, strict=True):
        # Opened anew each time: thousands of open files are more than systems allow.
        with (folder / f"{bucket:06d}").open("ab") as file:
            rows[begin:end].tofile(file)


def _link_bucket(rows: npt.NDArray[np.void], parents: Documents) -> None:
    order = np.argsort(rows["hash"], kind="stable")
    hashes, documents = rows["hash"][order], rows["document"][order]
    same = np.flatnonzero(hashes[1:] == hashes[:-1])
    _link(documents[same], documents[same + 1], parents)


def _link(left: Documents, right: Documents, parents: Documents) -> None:
    """Join the groups of ``left[i]`` and ``right[i]``; the root of a group is its first document.

    All links at once: each round hangs every root that a link leads away from below a smaller one,
    which at least halves the roots that still have to be joined.
    """
    while len(left):
        left, right = _roots(left, parents), _roots(right, parents)
        apart = left != right
        left, right = left[apart], right[apart]
        lower, higher = np.minimum(left, right), np.maximum(left, right)
        parents[higher] = lower  # of several, one: the others are still apart in the next round


def _roots(documents: Documents, parents: Documents) -> Documents:
    roots = parents[documents]
    while not np.array_equal(above := parents[roots], roots):
        roots = above
    parents[documents] = roots  # shortens the way for the next
    return roots
