import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_vocab.report.metrics import covers, cut_places, f1, gini, renyi_efficiency, share

CUTS = st.sets(st.integers(1, 30))


def agreement(a: set[int], b: set[int]) -> float:
    return f1(len(a & b), len(a), len(b))


@given(CUTS, CUTS)
def test_f1_is_symmetric_and_1_only_where_equal(a: set[int], b: set[int]) -> None:
    assert agreement(a, b) == agreement(b, a)
    assert 0 <= agreement(a, b) <= 1
    assert (agreement(a, b) == 1) == (a == b)


def test_f1_by_hand() -> None:
    assert f1(2, 4, 3) == pytest.approx(2 * (0.5 * 2 / 3) / (0.5 + 2 / 3))
    assert f1(0, 0, 0) == 1
    assert f1(0, 3, 0) == 0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_gini_is_between_0_and_1_and_knows_no_order_or_unit(values: list[float]) -> None:
    found = gini(values)
    assert -1e-9 <= found < 1
    assert gini(values[::-1]) == pytest.approx(found)
    if sum(values) > 1:  # below, floats run out
        assert gini([3 * v for v in values]) == pytest.approx(found, abs=1e-9)


def test_gini_by_hand() -> None:
    assert gini([5, 5, 5]) == 0
    assert gini([0, 0, 0, 1]) == pytest.approx(0.75)
    # Mean difference of (1, 2, 3) over all pairs, itself included: 8/9; half of it over the mean 2.
    assert gini([1, 2, 3]) == pytest.approx(2 / 9)
    assert gini([0, 0]) == 0


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=40))
def test_renyi_efficiency_is_a_share(counts: list[int]) -> None:
    assert -1e-9 <= renyi_efficiency(np.array(counts), len(counts)) <= 1 + 1e-9


def test_renyi_efficiency_by_hand() -> None:
    assert renyi_efficiency(np.array([7, 7, 7, 7]), 4) == pytest.approx(1)
    assert renyi_efficiency(np.array([9, 0, 0, 0]), 4) == pytest.approx(0)
    entropy = np.log(0.75**2.5 + 0.25**2.5) / (1 - 2.5)
    assert renyi_efficiency(np.array([3, 1]), 8) == pytest.approx(entropy / np.log(8))
    assert renyi_efficiency(np.array([0, 0]), 2) == 0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8))
def test_tokens_that_tile_a_word_cut_where_they_begin(lengths: list[int]) -> None:
    ends = list(np.cumsum(lengths))
    spans = list(zip([0, *ends], ends, strict=False))
    assert cut_places(spans, 0, ends[-1]) == set(ends[:-1])
    assert covers(spans, 0, ends[-1])
    assert not covers(spans[1:], 0, ends[-1])
    assert not covers(spans, 0, ends[-1] + 1)


def test_tokens_of_one_character_make_no_cut_in_it() -> None:
    # The end of one character and the start of the next in one token, as byte-level BPE has it.
    assert cut_places([(0, 1), (0, 2), (1, 2), (2, 3)], 0, 3) == {2}
    assert covers([(0, 1), (0, 2), (1, 2), (2, 3)], 0, 3)


def test_only_cuts_strictly_inside_count() -> None:
    spans = [(0, 1), (1, 3), (3, 4)]  # "가나"
    assert cut_places(spans, 1, 3) == set()
    assert covers(spans, 1, 3)
    assert not covers([(0, 1), (2, 4)], 0, 4)
    assert not covers([(2, 4), (0, 2)], 0, 4)
    assert not covers([(0, 2), (2, 4), (1, 4)], 0, 4)  # out of order


def test_share_of_nothing() -> None:
    assert share(0, 0) == 0
    assert share(1, 4) == 0.25
