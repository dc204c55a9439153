import pytest

from kobert_kit.corpus.morphemes import token_starts


def marked(vocabulary, text, starts):
    ids = vocabulary.encode(text)
    pieces = [vocabulary.piece(i) for i in ids]
    found = token_starts(pieces, text, starts)
    assert len(found) == len(pieces)
    return [piece for piece, begins in zip(pieces, found, strict=True) if begins]


def places(text, *morphemes):
    """Where the morphemes begin in ``text``, found one after another."""
    at, found = 0, []
    for morpheme in morphemes:
        at = text.index(morpheme, at)
        found.append(at)
        at += len(morpheme)
    return found


def test_pieces_that_begin_a_morpheme(vocabulary):
    text = "학교에서 아이들이 놀았다"
    pieces = vocabulary.pieces(text)
    found = marked(vocabulary, text, places(text, "학교", "에서", "아이", "들", "이", "놀"))
    assert found[0] == pieces[0] == "▁학교"
    assert "에서" in found
    assert "▁아이" in found
    assert not {"다", "았다"} & set(found)


def test_a_morpheme_within_a_piece_begins_none(vocabulary):
    text = "학교에서"
    assert marked(vocabulary, text, [1]) == []


@pytest.mark.parametrize("before", ["뷁쀍", "🫠🫠 ", "Ünïcode ", "ab cd "])
def test_what_stands_before_does_not_shift_it(vocabulary, before):
    text = vocabulary.normalize(f"{before} 학교에서")
    place = text.index("에서")
    assert marked(vocabulary, text, [place]) == ["에서"]


def test_the_first_byte_of_a_character_begins(vocabulary):
    text = "한 🫠"
    assert marked(vocabulary, text, [2]) == ["▁"]
    assert marked(vocabulary, "한🫠", [1]) == ["<0xF0>"]


@pytest.mark.parametrize(
    "character",
    [["<0x41>"], ["<0xC3>", "<0xA9>"], ["<0xE1>", "<0x84>", "<0x80>"], ["<0xF0>"] + ["<0x9F>"] * 3],
)
def test_bytes_of_a_character_count_as_one(character):
    # With another one of a single byte and a particle behind it.
    found = token_starts(["▁", *character, "<0x41>", "에서"], "가가에서", [0, 2])
    assert found == [True, *[False] * (len(character) + 1), True]


def test_what_follows_a_character_in_bytes_may_begin_a_morpheme(vocabulary):
    text = "한 🫠에서"
    assert "<0xF0>" in vocabulary.pieces(text)
    assert marked(vocabulary, text, [0, 3])[-1] == "에서"
