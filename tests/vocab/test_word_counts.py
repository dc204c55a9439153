from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_vocab.word_counts import (
    MANY,
    LanguageCounts,
    merge,
    most_frequent,
    read_counts,
    summarize,
    write_counts,
)

COUNTS = st.dictionaries(st.text("가나다ab ￿𐀀", min_size=1, max_size=3), st.integers(1, 99))


def summary(tmp_path: Path, rows: list[tuple[str, int]]) -> LanguageCounts:
    out = tmp_path / "about.json"
    assert list(summarize(rows, out, personal="\0p")) == [row for row in rows if row[0] != "\0p"]
    return LanguageCounts.read(out)


@given(parts=st.lists(COUNTS, min_size=1, max_size=4))
def test_merged_files_hold_the_sums_sorted(tmp_path_factory, parts: list[dict[str, int]]) -> None:
    folder = tmp_path_factory.mktemp("counts")
    for i, part in enumerate(parts):
        write_counts(folder / str(i), sorted(part.items()))
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    assert list(merge([folder / str(i) for i in range(len(parts))])) == sorted(total.items())


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [(" 가", 3), ("\u2029x", 1), ("나", 10**12)]
    write_counts(tmp_path / "a", rows)
    assert list(read_counts(tmp_path / "a")) == rows


def test_summary(tmp_path: Path) -> None:
    counts = summary(tmp_path, [("\0p", 7), (" 가나", 3), (" 나", 1), ("a", 500)])
    assert (counts.types, counts.words, counts.characters, counts.personal) == (3, 504, 511, 7)
    assert counts.alphabet == {" ": 4, "a": 500, "가": 3, "나": 4}
    assert counts.types_by_count[0] == counts.types_by_count[2] == counts.types_by_count[-1] == 1
    assert sum(counts.types_by_count) == 3


def test_empty_language(tmp_path: Path) -> None:
    counts = summary(tmp_path, [])
    assert (counts.types, counts.alphabet, counts.least_count(1)) == (0, {}, 1)


@pytest.mark.parametrize(("most", "least"), [(6, 1), (5, 2), (3, 2), (2, 3), (1, 4), (0, MANY)])
def test_least_count_keeps_as_many_types_as_asked(tmp_path: Path, most: int, least: int) -> None:
    rows = sorted({"a": 1, "b": 1, "c": 1, "d": 2, "e": 3, "f": 1000}.items())
    counts = summary(tmp_path, rows)
    assert counts.least_count(most) == least
    assert counts.types_from(least) == sum(n >= least for _, n in rows)


def test_the_most_frequent_words_and_of_equals_some(tmp_path: Path) -> None:
    often = [(f"a{i}", 5) for i in range(100)]
    rows = sorted([*often, *((f"b{i}", 2) for i in range(2000)), *((f"c{i}", 1) for i in range(9))])
    counts = summary(tmp_path, rows)
    found = dict(most_frequent(rows, counts, 1100))
    assert {word for word, n in often} <= set(found)
    assert not [word for word in found if word[0] == "c"]
    assert 1000 < len(found) < 1200
    assert dict(most_frequent(reversed(rows), counts, 1100)) == found
    assert dict(most_frequent(rows, counts, 100)) == dict(often)
    assert dict(most_frequent(rows, counts, 10**6)) == dict(rows)
