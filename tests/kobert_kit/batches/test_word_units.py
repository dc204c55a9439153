import itertools
from pathlib import Path

import numpy as np
import pytest

from kobert_kit.batches.word_units import at_most, piece_kinds, unit_starts
from kobert_vocab.normalize import normalize

EOJEOLS = (Path(__file__).parent / "korean_units.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def kinds(vocabulary):
    return piece_kinds(vocabulary)


def units(text, vocabulary, kinds, *, spaced=True):
    """The units of a text, as text."""
    ids = np.array(vocabulary.encode(text))
    begins = unit_starts(
        ids,
        kinds=kinds,
        first=np.arange(len(ids)) == 0,
        spaced=np.full(len(ids), spaced),
    )
    cuts = [*np.flatnonzero(begins).tolist(), len(ids)]
    return [vocabulary.decode(ids[a:b].tolist()) for a, b in itertools.pairwise(cuts)]


def signs_joined(found):
    """Signs side by side are one piece or more, as the vocabulary has it."""
    runs = itertools.groupby(found, key=lambda unit: not any(map(str.isalnum, unit)))
    return [unit for is_sign, run in runs for unit in (["".join(run)] if is_sign else run)]


def test_there_are_200_eojeols():
    assert sum(len(line.replace("|", "").split()) for line in EOJEOLS) >= 200


@pytest.mark.parametrize("line", EOJEOLS)
def test_korean_words_are_eojeols(line, vocabulary, kinds):
    expected = [normalize(unit) for unit in line.replace(" ", "|").split("|") if unit]
    found = units(line.replace("|", ""), vocabulary, kinds)
    assert signs_joined(found) == signs_joined(expected)


def test_a_syllable_in_bytes_or_two_pieces_is_in_one_unit(vocabulary, kinds):
    text = "뷁스러운 쀍이다"
    assert len(vocabulary.encode(text)) > 6
    assert units(text, vocabulary, kinds) == ["뷁스러운", "쀍이다"]


def test_a_text_is_never_one_unit_nor_none(vocabulary, kinds):
    # What finding words by gaps between offsets makes of such vocabularies: all, or nothing.
    for line in EOJEOLS:
        found = units(line.replace("|", ""), vocabulary, kinds)
        assert 3 <= len(found) < len(line)


def test_other_languages(vocabulary, kinds):
    assert units("Don't stop, Ми́ша!", vocabulary, kinds) == [
        *("Don", "'", "t", "stop", ",", "Ми́ша", "!"),
    ]


class Pieces(list):
    """A vocabulary of no more than pieces."""

    def piece(self, number):
        return self[number]


def test_a_piece_of_marks_alone_goes_on_with_its_word():
    # A vowel sign, an accent, a tone mark; then signs, and a mark that brings a letter.
    pieces = ("▁न", "ि", "\u0301", "่", "▁", ".", "▁.", "₩", "a.", "▁7")
    assert piece_kinds(Pieces(pieces)).tolist() == [1, 0, 0, 0, 1, 2, 2, 2, 0, 1]


def test_where_no_spaces_are_written_each_piece_is_a_unit(vocabulary, kinds):
    text = "我们今天去学校。"
    ids = vocabulary.encode(text)
    assert len(units(text, vocabulary, kinds, spaced=False)) == len(ids)


def test_long_units_are_cut():
    begins = np.array([1, 0, 0, 0, 0, 1, 1, 0, 0], dtype=bool)
    cut = at_most(np.array([2] * 6 + [3] * 3), begins)
    assert cut.tolist() == [True, False, True, False, True, True, True, False, False]
