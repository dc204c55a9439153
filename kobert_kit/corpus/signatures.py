"""What of a document is compared when duplicates are sought: a fingerprint, and bands of a MinHash.

Both look at letters, marks and digits alone, casefolded and composed (NFC), so that copies that
differ in blanks, punctuation, case or decomposed Hangul are the same.

The near-duplicate signature is that of FineWeb (Penedo et al. 2024, section 3.4): 112 MinHashes in
14 bands of 8, which finds two documents whose sets of n-grams have Jaccard similarity s with
probability 1 - (1 - s^8)^14: 0.17 at 0.5, 0.56 at 0.7, 0.92 at 0.8, 0.9997 at 0.9. Its n-grams are
five words; ours are windows of 24 UTF-8 bytes, which are as long (five English words have 24
letters on average, three Korean ones eight syllables) and need no words: Chinese, Thai and Korean
with other spacing are treated alike.
"""

import hashlib
import re
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt
import rensa

BANDS, ROWS = 14, 8
WINDOW = 24  # bytes
# Letters and digits. A shorter text has so few windows that one shared phrase makes two texts
# near; it is compared exactly. 200 letters are two Korean sentences.
SHORTEST = 200
SEED = 1
# rensa gives other hashes when its algorithm changes: signatures of two versions do not compare.
VERSION = f"{rensa.RMinHash.ALGORITHM_VERSION}.2"

_MIX_1, _MIX_2, _MIX_3 = (
    np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
# Odd: a bijection per row.
_BAND_WEIGHTS = np.arange(1, ROWS + 1, dtype=np.uint64) * _MIX_1 | np.uint64(1)


def signature(text: str) -> tuple[int, bytes | None]:
    """`fingerprint` and `bands` of ``text``, which is folded once."""
    folded = _folded(text)
    return _fingerprint(folded), _bands(folded)


def fingerprint(text: str) -> int:
    """64 bits that two texts share if their letters, marks and digits are the same.

    Among 50 million documents two different ones share one by chance with probability 7e-5.

    >>> fingerprint("비가 온다.") == fingerprint("비가온다") != fingerprint("비가 온다2")
    True
    """
    return _fingerprint(_folded(text))


def _fingerprint(folded: bytes) -> int:
    digest = hashlib.blake2b(folded, digest_size=8).digest()
    return int.from_bytes(digest, "little")


def bands(text: str) -> bytes | None:
    """The 14 band hashes of ``text``, uint64 little-endian, 112 bytes; None if it is too short.

    Two texts that share one are taken for near copies. Equal hashes of different bands do not
    happen: eight MinHashes of 32 bits would have to be equal by chance.
    """
    return _bands(_folded(text))


def _bands(folded: bytes) -> bytes | None:
    if len(folded) < SHORTEST or len(folded.decode()) < SHORTEST:
        return None
    hashes = _window_hashes(folded)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, [0, len(hashes)], BANDS * ROWS, SEED
    )
    rows = np.array(matrix.to_rows()[0], dtype=np.uint64).reshape(BANDS, ROWS)
    return _mixed((rows * _BAND_WEIGHTS).sum(axis=1)).astype("<u8").tobytes()


def _folded(text: str) -> bytes:
    """Letters, marks and digits of ``text``, composed and casefolded, in UTF-8."""
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = text.casefold()
    if not text.isascii():
        for char in set(_not_compared().findall(text)):  # a few: ’ and “, or 、 and 。
            text = text.replace(char, "")
    # As bytes, and ASCII by itself: an expression takes six times as long.
    return text.encode().translate(None, _NOT_COMPARED_ASCII)


def _is_compared(char: str) -> bool:
    # Marks too, which \w lacks: they are the vowels of Indic scripts.
    return unicodedata.category(char)[0] not in "CPSZ"


_NOT_COMPARED_ASCII = bytes(code for code in range(0x80) if not _is_compared(chr(code)))


@cache
def _not_compared() -> re.Pattern[str]:
    """What is no letter, mark or number, beyond ASCII.

    The set ends with the basic plane, where a set is one table look-up (beyond it a text takes ten
    times as long), so emoji are compared too.
    """
    ignored = (char for char in map(chr, range(0x80, 0x10000)) if not _is_compared(char))
    return re.compile(f"[{re.escape(''.join(ignored))}]")


def _window_hashes(data: bytes) -> npt.NDArray[np.uint64]:
    """A hash of each window of `WINDOW` bytes that begins with a character."""
    octets = np.frombuffer(data, dtype=np.uint8)
    last = len(data) - WINDOW + 1
    begins = (octets[:last] & 0xC0) != 0x80
    # Eight bytes from every place on. Mixed before they are added up: of a bare product the last
    # byte reaches the last bits alone, and windows that differ there would be alike.
    words = np.ndarray(len(data) - 7, dtype="<u8", buffer=data, strides=(1,)).astype(np.uint64)
    words *= _MIX_1
    words ^= words >> np.uint64(32)
    hashes = words[:last] * _MIX_1
    hashes += words[8 : 8 + last] * _MIX_2
    hashes += words[16 : 16 + last] * _MIX_3
    return _mixed(hashes if begins.all() else hashes[begins])


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(31))) * _MIX_2
    return x ^ (x >> np.uint64(29))
