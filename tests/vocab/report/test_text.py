import pytest

from kobert_vocab.report.parts import take_apart
from kobert_vocab.report.peers import Peer
from kobert_vocab.report.sample import Sample
from kobert_vocab.report.text import read_text


def sampled(name: str, language: str, *lines: str) -> Sample:
    found = Sample(name, language)
    for line in lines:
        found.add(line)
    return found


def test_figures_by_hand(fake) -> None:
    peer = fake(
        {"학교에서": ["학교", "에서"], "서울": ["서울"], "뷁": ["[UNK]"], "x": ["x"]},
        bytes=frozenset({2}),
    )
    assert peer.pieces[2] == "서울"  # taken to be a byte here, for its count
    text = take_apart([sampled("ko.txt", "ko", "학교에서 서울 뷁", "학교에서 서울")])
    found = read_text(peer, text)
    figures, words = found.all, found.all.words
    assert figures.tokens == 7
    assert figures.unknown == pytest.approx(1 / 7)
    assert figures.bytes == pytest.approx(2 / 7)
    assert figures.characters_per_token == pytest.approx(16 / 7)
    assert figures.bytes_per_token == pytest.approx((16 + 2 * 13) / 7)
    assert words.fertility == pytest.approx(7 / 5)
    assert words.continued == pytest.approx(2 / 5)
    assert words.continued_types == pytest.approx(1 / 3)
    assert words.kept_whole == pytest.approx(2 / 5)  # 뷁 is one token, but an unknown one
    assert words.with_unknown == pytest.approx(1 / 5)
    assert found.used == pytest.approx(3 / 5)  # of 에서, 서울, 학교, x and a


def test_languages_and_files_apart(fake) -> None:
    peer = fake({word: list(word) for word in ("가나", "日本", "가")})
    text = take_apart(
        [
            sampled("a.txt", "ko", "가나 가나"),
            sampled("a.txt", "ko", "가"),
            sampled("b.txt", "ja", "日本"),
        ]
    )
    found = read_text(peer, text)
    assert list(found.files) == ["a.txt", "a.txt (2)", "b.txt"]
    assert found.files["a.txt"].words.fertility == 2
    assert found.languages["ko"].words.fertility == pytest.approx(5 / 3)
    assert found.languages["ja"].words is None  # no spaces between words
    assert found.all.tokens == 7
    assert found.all.words.fertility == pytest.approx(5 / 3)  # tokens of Japanese are not in it


def test_a_lone_mark_of_a_space_counts_as_a_token_but_cuts_no_word(peers: dict[str, Peer]) -> None:
    plain = peers["plain"]
    mark = plain.pieces.index("▁")
    text = "a b c"
    assert plain.encode([text])[0].count(mark)
    assert [len(ids) for ids in plain.encode_words(["b"])] == [1]


def test_round_trip(fake) -> None:
    peer = fake({"가나": ["가나"], "다": ["다"]})  # its decoder forgets spaces
    found = read_text(peer, take_apart([sampled("x", "ko", "가나 다", "다")])).round_trip
    assert (found.lines, found.same, found.letters_same, found.normalized_same) == (2, 0.5, 1, None)


def test_round_trip_of_ours(peers: dict[str, Peer]) -> None:
    text = take_apart([sampled("x", "ko", "학교에서 먹었습니다", "ｋ팝…")])
    found = read_text(peers["ours"], text).round_trip
    assert (found.same, found.normalized_same) == (0.5, 1)


def test_decomposed_words_are_counted_composed() -> None:
    text = take_apart([sampled("x", "ko", "\u1100\u1161 가")])
    assert text.words == ["가"]
    assert text.counts_of("ko") == {"가": 2}
    assert text.counts_of("en") == {}
