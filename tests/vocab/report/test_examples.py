import unicodedata

from kobert_vocab.report.boundaries import Morphemes
from kobert_vocab.report.examples import (
    WRITTEN,
    example,
    lines_to_show,
    most_disputed,
    written_examples,
)
from kobert_vocab.report.peers import Peer


def test_boxes_by_hand(fake) -> None:
    peer = fake({"학교에서는": ["학교", "에서는"], "뷁": ["[UNK]"]})
    found = example("x", "학교에서는 뷁", [peer], {"학교에서는": [2, 4]})
    boxes = found.boxes[0]
    assert [b.text for b in boxes] == ["학교", "에서는", "뷁"]
    assert [b.first for b in boxes] == [True, False, True]
    assert [b.crosses for b in boxes] == [False, True, False]
    assert [b.kind for b in boxes] == ["", "", "unknown"]
    assert [peer.pieces[b.id] for b in boxes] == [b.piece for b in boxes]


def test_pieces_that_cover_whole_characters_join_to_the_sentence(peers: dict[str, Peer]) -> None:
    for found in written_examples(list(peers.values())):
        for peer, boxes in zip(peers.values(), found.boxes, strict=True):
            plain = all(box.kind == "" for box in boxes)
            composed = unicodedata.is_normalized("NFC", found.text)
            folded = found.label == "compatibility forms" or peer.name in ("plain", "wordpiece")
            if plain and composed and not folded:
                joined = unicodedata.normalize("NFC", "".join(box.text for box in boxes))
                assert joined == found.text.replace(" ", "")
            assert all(box.text for box in boxes)
            assert sum(box.first for box in boxes) == len(found.text.split())


def test_bytes_are_shown_as_figures(peers: dict[str, Peer]) -> None:
    found = example("x", "🫠", [peers["ours"], peers["bpe"]], {})
    assert [b.text for b in found.boxes[0]] == ["F0", "9F", "AB", "A0"]
    assert all(b.kind == "byte" for b in found.boxes[0])
    assert "".join(b.text for b in found.boxes[1]) == "F09FABA0"


def test_a_character_shared_by_pieces_is_shown_once(peers: dict[str, Peer]) -> None:
    found = example("x", "㎏", [peers["plain"]], {})
    assert [b.text for b in found.boxes[0]] == ["<unk>", "g"]  # not twice ㎏


def test_decomposed_text_is_shown_by_its_pieces(peers: dict[str, Peer]) -> None:
    text = unicodedata.normalize("NFD", "학교에서")
    found = example("x", text, [peers["ours"]], {})
    assert [b.text for b in found.boxes[0]] == ["학교", "에서"]


def test_written_sentences_have_what_they_are_for() -> None:
    assert "ㅋㅋㅋㅋ" in WRITTEN["chat"]
    assert WRITTEN["decomposed (NFD)"] == unicodedata.normalize("NFD", WRITTEN["decomposed (NFD)"])
    assert any("\u4e00" <= char <= "\u9fff" for char in WRITTEN["Hanja"])


def test_disputed_words_are_those_with_most_different_cuts(fake) -> None:
    table = {"학교에서는": ["학교", "에서", "는"], "가나다": ["가나다"], "바다를": ["바다", "를"]}
    other = {
        "학교에서는": ["학", "교에", "서는"],
        "가나다": ["가나다"],
        "바다를": ["바", "다", "를"],
    }
    words = {
        Morphemes("학교에서는", 0, 5, ()): 1,
        Morphemes("가나다", 0, 3, ()): 9,
        Morphemes("바다를", 0, 3, ()): 5,
    }
    found = most_disputed([fake(table), fake(other)], words)
    assert [word.word for word in found] == ["학교에서는", "바다를"]
    assert most_disputed([fake(table)], words) == []


def test_lines_to_show_are_of_middle_length() -> None:
    lines = ["짧다", "가" * 500, *(f"{i:03} 어느 정도 길이가 되는 줄이다" for i in range(60))]
    found = lines_to_show(lines)
    assert len(found) == 6
    assert len(set(found)) == 6
    assert lines_to_show([]) == []
