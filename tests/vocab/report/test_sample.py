import pytest

from kobert_vocab.report import sample
from kobert_vocab.report.sample import Sample, evenly, read_samples


def test_small_text_is_used_whole(write) -> None:
    path = write("ko.txt", "가 나\n\n  다 라 \n")
    (found,) = read_samples([path])
    assert (found.lines, found.seen, found.language) == (["가 나", "다 라"], 2, "ko")


def test_large_text_is_bounded_and_drawn_evenly(write, monkeypatch) -> None:
    monkeypatch.setattr(sample, "LINES_AT_MOST", 400)
    path = write("ko.txt", "\n".join(f"가 {i}" for i in range(5000)))
    (found,) = read_samples([path])
    assert found.seen == 5000
    assert 150 <= len(found.lines) <= 400
    places = [int(line.split()[1]) for line in found.lines]
    assert places == sorted(places)
    assert sum(place < 2500 for place in places) == pytest.approx(len(places) / 2, rel=0.25)
    assert sum(place % 2 for place in places) == pytest.approx(len(places) / 2, rel=0.25)
    assert read_samples([path])[0].lines == found.lines


def test_a_small_file_is_not_thinned_for_a_large_one(write, monkeypatch) -> None:
    monkeypatch.setattr(sample, "LINES_AT_MOST", 300)
    small = write("en.txt", "\n".join(f"a {i}" for i in range(50)))
    large = write("ko.txt", "\n".join(f"가 {i}" for i in range(5000)))
    found = {s.language: len(s.lines) for s in read_samples([small, large])}
    assert found["en"] == 50
    assert 100 <= found["ko"] <= 250


def test_characters_are_bounded_too(write, monkeypatch) -> None:
    monkeypatch.setattr(sample, "CHARACTERS_AT_MOST", 3000)
    monkeypatch.setattr(sample, "LONGEST_LINE", 100)
    path = write("ko.txt", "\n".join("가" * 500 for _ in range(200)))
    (found,) = read_samples([path])
    assert {len(line) for line in found.lines} == {100}
    assert 500 < found.characters == sum(map(len, found.lines)) <= 3000


def test_halving_lets_half_go() -> None:
    found = Sample("x", "ko")
    for _ in range(4000):
        found.add("가")
    found.halve()
    assert len(found.lines) == pytest.approx(2000, rel=0.1)
    for _ in range(4000):
        found.add("가")
    assert len(found.lines) == pytest.approx(4000, rel=0.1)
    assert found.seen == 8000


def test_evenly() -> None:
    lines = [str(i) for i in range(10)]
    assert evenly(lines, 100) == lines
    assert evenly(lines, 4) == ["0", "3", "6", "9"]
    assert evenly([], 4) == []
