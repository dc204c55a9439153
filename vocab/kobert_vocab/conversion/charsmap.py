r"""SentencePiece's compiled normaliser rules: what is replaced by what.

A charsmap is the size of a trie in bytes, the trie as a double array of Darts-clone, and all
replacements, each ended by a zero byte. A unit of the array has 32 bits: bits 0 to 7 the byte that
leads to it, bit 8 whether a string ends here, bits 10 to 30 the distance to its children (times 256
if bit 9 is set); where a string ends the child for the byte zero holds where its replacement
begins.
"""

import struct
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece

from kobert_vocab.model_file import read_charsmap

MOST_RULES = 2_000_000  # nmt_nfkc has 225,276; a damaged trie may run in a circle
Units = npt.NDArray[np.uint32]
_BYTES = np.arange(1, 256, dtype=np.uint32)
_LABEL, _ENDS, _FAR, _VALUE = 0x800000FF, 1 << 8, 1 << 9, 0x7FFFFFFF


def read_rules(charsmap: bytes) -> dict[str, str]:
    """All rules of a charsmap; none if it is empty.

    Raises:
        ValueError: it is damaged.
    """
    if not charsmap:
        return {}
    try:
        (size,) = struct.unpack_from("<I", charsmap)
        units = np.frombuffer(charsmap, dtype="<u4", offset=4, count=size // 4)
        targets = charsmap[4 + size :]
        return {
            source.decode(): targets[at : targets.index(0, at)].decode()
            for source, at in islice(_entries(units), MOST_RULES)
        }
    except (IndexError, struct.error) as error:
        raise ValueError("the rules are damaged") from error


def _entries(units: Units) -> Iterator[tuple[bytes, int]]:
    """Each string of the trie with its value."""
    steps: dict[int, list[tuple[int, int, int | None]]] = {}
    waiting = [(b"", _children(units, 0))]
    while waiting:
        prefix, base = waiting.pop()
        if base not in steps:  # many strings share their ends
            steps[base] = list(_steps(units, base))
        for byte, below, value in steps[base]:
            string = prefix + bytes([byte])
            if value is not None:
                yield string, value
            waiting.append((string, below))


def _steps(units: Units, base: int) -> Iterator[tuple[int, int, int | None]]:
    """The bytes that lead on from a node, where their children are, and the value if one ends."""
    slots = base ^ _BYTES
    inside = slots < len(units)
    slots, labels = slots[inside], _BYTES[inside]
    taken = (units[slots] & _LABEL) == labels
    for slot, byte in zip(slots[taken].tolist(), labels[taken].tolist(), strict=True):
        below = _children(units, slot)
        ends = int(units[slot]) & _ENDS
        yield byte, below, int(units[below]) & _VALUE if ends else None


def _children(units: Units, node: int) -> int:
    unit = int(units[node])
    return node ^ ((unit >> 10) << (8 if unit & _FAR else 0))


def compile_rules(rules: Mapping[str, str]) -> bytes:
    """The charsmap of ``rules``, of which there is at least one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.tsv"
        rows = (f"{_codes(source)}\t{_codes(target)}\n" for source, target in rules.items())
        path.write_text("".join(rows), encoding="ascii")
        sentencepiece.set_min_log_level(2)  # errors only: it reports every step on stderr
        made = sentencepiece.SentencePieceNormalizer(rule_tsv=str(path))
        return read_charsmap(_bytes_of(made))


def _bytes_of(normalizer: sentencepiece.SentencePieceNormalizer) -> bytes:
    """A normaliser as its file would be."""
    try:
        found = normalizer.serialized_model_proto()
    except UnicodeDecodeError as error:  # SentencePiece 0.2.1 takes the bytes for text
        return error.object
    return found if isinstance(found, bytes) else str(found).encode()


def _codes(text: str) -> str:
    return " ".join(f"{ord(char):X}" for char in text)
