import pytest

from kobert_vocab.id_layout import lay_out
from kobert_vocab.model_file import (
    CONTROL,
    NORMAL,
    TRAINER_SPEC,
    UNKNOWN,
    Field,
    Piece,
    message_field,
    piece_field,
    write_fields,
)
from kobert_vocab.rounding import Rounding
from kobert_vocab.vocabulary import Vocabulary

NAMES = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def rounding(kind: int = 1, **scores: float) -> tuple[Rounding, Vocabulary]:
    pieces = [Piece("<unk>", 0, UNKNOWN), *(Piece(n, 0, CONTROL) for n in NAMES.values())]
    pieces += [Piece(text, score, NORMAL) for text, score in scores.items()]
    trainer = message_field(TRAINER_SPEC, [Field(3, 0, kind)])
    model = write_fields([*map(piece_field, pieces), trainer])
    layout = lay_out([p.text for p in pieces], unk="<unk>", style="bert", names=NAMES)
    vocabulary = Vocabulary(model, layout)
    return Rounding(model, vocabulary), vocabulary


SCORES = {"▁": -2.0, "a": -3.0, "b": -3.0, "ab": -5.5, "▁a": -4.0}


def ids(vocabulary: Vocabulary, *pieces: str) -> list[int]:
    return [vocabulary.layout.id_of(piece) for piece in pieces]


def test_equal_sums_are_decided_by_rounding() -> None:
    found, v = rounding(**{**SCORES, "aa": -4.5, "aaa": -6.0})
    assert found.decides("aaaaa", ids(v, "▁", "aa", "aaa"), ids(v, "▁", "aaa", "aa"))


def test_a_worse_way_is_no_rounding() -> None:
    found, v = rounding(**SCORES)
    assert not found.decides("ab", ids(v, "▁", "ab"), ids(v, "▁", "a", "b"))


def test_a_way_that_is_better_by_far_is_no_rounding() -> None:
    found, v = rounding(**SCORES)
    assert not found.decides("ab", ids(v, "▁", "a", "b"), ids(v, "▁", "ab"))


@pytest.mark.parametrize(("before", "decides"), [(2000, True), (0, False)])
def test_the_bound_grows_with_the_sum_before(before, decides) -> None:
    # Behind 2,000 pieces of -3 a 32-bit sum is a multiple of 2**-11.
    found, v = rounding(**{**SCORES, "ab": -6.0 + 2.0**-12})
    first = ids(v, "▁", *["b"] * before)
    text = "b" * before + "ab"
    one, other = [*first, *ids(v, "a", "b")], [*first, *ids(v, "ab")]
    assert found.decides(text, one, other) == decides


def test_other_text_and_unknown_pieces_are_no_rounding() -> None:
    found, v = rounding(**{**SCORES, "ba": -5.5})
    assert not found.decides("ab", ids(v, "▁", "ab"), ids(v, "▁", "ba"))
    assert not found.decides("ab", ids(v, "▁", "<unk>"), ids(v, "▁", "ab"))
    assert not found.decides("ab", ids(v, "▁", "ab"), ids(v, "▁"))


def test_bpe_adds_nothing_up() -> None:
    found, v = rounding(2, **{**SCORES, "aa": -4.5, "aaa": -6.0})
    assert not found.decides("aaaaa", ids(v, "▁", "aa", "aaa"), ids(v, "▁", "aaa", "aa"))


def test_sentencepiece_does_so() -> None:
    # 0.1 and 0.2 have no exact binary form, so which of two equal ways wins goes by what is before.
    _, v = rounding(**{"▁": -2.1, "a": -9.0, "aa": -4.1, "aaa": -6.2, "b": -0.7})
    ways = {tuple(v.encode("b" * n + "aaaaa"))[-2:] for n in range(40)}
    assert ways == {tuple(ids(v, "aa", "aaa")), tuple(ids(v, "aaa", "aa"))}
