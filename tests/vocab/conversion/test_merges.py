import pytest

from kobert_vocab.conversion.merges import _cuts, merges
from kobert_vocab.conversion.model import SentencePieceModel
from kobert_vocab.errors import InputError
from kobert_vocab.model_file import NORMAL, UNKNOWN, UNUSED, Piece


def model(*pieces: Piece) -> SentencePieceModel:
    return SentencePieceModel(
        content=b"",
        kind="bpe",
        pieces=(Piece("<unk>", 0, UNKNOWN), *pieces),
        rules="identity",
        charsmap=b"",
        add_dummy_prefix=True,
        remove_extra_whitespaces=True,
        byte_fallback=False,
    )


def normal(**scores: float) -> list[Piece]:
    return [Piece(text, score, NORMAL) for text, score in scores.items()]


def test_each_way_to_make_a_piece_is_a_merge_in_the_order_of_the_scores() -> None:
    pieces = normal(a=-9, b=-9, c=-9, abc=-2, bc=-1, ab=-3)
    assert merges(model(*pieces)) == [("b", "c"), ("ab", "c"), ("a", "bc"), ("a", "b")]


def test_halves_that_are_no_pieces_make_no_merge() -> None:
    assert merges(model(*normal(a=-9, b=-9, abab=-1, ab=-2))) == [("ab", "ab"), ("a", "b")]


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [("aba", ("ab", "a"), ("a", "ba")), ("ababa", ("ab", "aba"), ("aba", "ba"))],
)
def test_of_cuts_that_share_their_middle_the_left_one_is_first(text, before, after) -> None:
    assert _cuts(text).index(before) < _cuts(text).index(after)


def test_same_scores_are_refused() -> None:
    with pytest.raises(InputError, match="'ab' and 'bc' have the same score"):
        merges(model(*normal(a=-9, b=-9, c=-9, ab=-1, bc=-1)))


def test_a_piece_of_a_character_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="piece 'ab' has 'b', which is no piece"):
        merges(model(*normal(a=-9, ab=-1)))


def test_unused_pieces_are_refused() -> None:
    with pytest.raises(InputError, match="piece 'ab' is unused"):
        merges(model(*normal(a=-9, b=-9), Piece("ab", -1, UNUSED)))
