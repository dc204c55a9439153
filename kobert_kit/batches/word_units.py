"""Which tokens are masked together: the words of a text, found from the marks of their pieces.

A ▁ begins a word: in Korean an eojeol, with its particles and endings (``▁서울 에서``). What is
neither letter nor digit stands alone, so that ``서울(Seoul)에서`` has five units and a full stop is
no part of the last word. Where no spaces are written (Chinese, Thai) each piece is a unit. Offsets
into the text, by which other kits find words, know nothing of these marks.
"""

import unicodedata

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.shards import Bools
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

_GOES_ON, _BEGINS, _ALONE = 0, 1, 2  # what a piece does


def piece_kinds(vocabulary: AnyVocabulary) -> npt.NDArray[np.uint8]:
    """[V] for each piece whether it begins a word, goes on with one or stands alone."""
    kinds = [_kind(vocabulary.piece(i)) for i in range(len(vocabulary))]
    return np.array(kinds, dtype=np.uint8)


def _kind(piece: str) -> int:
    text = piece.removeprefix("▁")
    if text and not any(map(_is_word, text)):
        return _ALONE
    return _BEGINS if piece.startswith("▁") else _GOES_ON


def _is_word(char: str) -> bool:
    """Letters, digits and the marks on them."""
    return unicodedata.category(char)[0] in "LNM"


def unit_starts(
    tokens: npt.NDArray[np.integer],
    *,
    kinds: npt.NDArray[np.uint8],
    first: Bools,
    spaced: Bools,
) -> Bools:
    """Where a unit begins.

    Args:
        tokens: [T] ids.
        kinds: [V] of `piece_kinds`.
        first: [T] the first token of a text, and special tokens.
        spaced: [T] whether the token's language is written with spaces.
    """
    kind = kinds[tokens]
    begins: Bools = first | (kind != _GOES_ON) | ~spaced
    begins[1:] |= kind[:-1] == _ALONE
    return begins


def at_most(longest: npt.NDArray[np.int64], begins: Bools) -> Bools:
    """Units cut so that none has more than ``longest`` [T] tokens, counted from its beginning."""
    place = np.arange(len(begins))
    start = np.maximum.accumulate(np.where(begins, place, 0))
    cut: Bools = (place - start) % longest == 0
    return cut
