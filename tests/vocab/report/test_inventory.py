import pytest

from kobert_vocab.report.inventory import inventory, kind_of, kinds_of, longest_pieces, unreachable
from kobert_vocab.report.peers import Peer


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(
            (" 서울", "Hangul"),
            ("ㅋㅋ", "Hangul"),
            ("大韓", "Hanja"),
            ("カタ", "Kana"),
            ("ひ", "Kana"),
        ),
        *(
            ("word", "Latin"),
            ("ａｂ", "Latin"),
            ("Привет", "Cyrillic"),
            ("서울abc", "Mixed scripts"),
        ),
        *(("제1", "Hangul"), ("2024", "Digits"), ("...", "Punctuation"), ("👍", "Punctuation")),
        *(("  ", "Space"), ("\u0301", "Marks"), ("हिन्दी", "Devanagari")),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_every_piece_has_one_kind(peers: dict[str, Peer]) -> None:
    for peer in peers.values():
        found = inventory(peer)
        assert sum(found.kinds.values()) == len(peer)
        assert found.kinds.get("Special", 0) == len(peer.specials)
        assert sum(found.lengths) == found.unreachable_of
    assert kinds_of(peers["ours"]).count("Bytes") == 256


def test_lengths_by_hand(fake) -> None:
    found = inventory(fake({"가나다": ["가", "나다"], "x" * 20: ["x" * 20]}))
    assert (found.lengths[0], found.lengths[1], found.lengths[15]) == (2, 1, 1)  # a is there too
    assert found.mean_length == pytest.approx((1 + 2 + 20 + 1) / 4)
    assert found.begin_words == 0


def test_all_pieces_of_ours_are_reached(peers: dict[str, Peer]) -> None:
    assert unreachable(peers["ours"]) == []


def test_a_piece_that_its_text_does_not_become_is_found(fake) -> None:
    def encode(texts):
        return [[{"가": 1, "나": 2}.get(text[-1], 0)] for text in texts]

    names = ["[UNK]", "가", "나", "다"]
    peer = fake({}, pieces=names, texts=names, encode=encode)
    assert [names[i] for i in unreachable(peer)] == ["다"]
    found = inventory(peer)
    assert (found.unreachable, found.unreachable_of) == (1, 3)
    assert found.unreachable_examples == ["다"]


def test_a_piece_inside_words_alone_is_reached(peers: dict[str, Peer]) -> None:
    wordpiece = peers["wordpiece"]
    lost = {wordpiece.pieces[i] for i in unreachable(wordpiece)}
    assert "##에서" in wordpiece.pieces
    assert "##에서" not in lost


def test_longest_pieces(peers: dict[str, Peer]) -> None:
    found = longest_pieces(peers["ours"])
    assert next(iter(found)) == "Hangul"
    lengths = [len(text) for text in found["Hangul"]]
    assert lengths == sorted(lengths, reverse=True)
    assert all(text == text.strip() for texts in found.values() for text in texts)
