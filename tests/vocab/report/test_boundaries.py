from collections import Counter

import pytest

from kobert_vocab.report.boundaries import Morphemes, agreement, morphemes, silver
from kobert_vocab.segment import Analyser, find_analyser


def test_agreement_by_hand(fake) -> None:
    peer = fake({"학교에서는": ["학교", "에서는"], "배웠습니다": ["배", "웠습", "니다"]})
    words = {
        Morphemes("학교에서는", 0, 5, (2, 4)): 3,  # found 2; right 2; 에서는 crosses at 4
        Morphemes("배웠습니다", 0, 5, (2,)): 1,  # found 1, 3; none right; 웠습 crosses at 2
    }
    found = agreement(peer, words)
    assert found.precision == pytest.approx(3 / 5)
    assert found.recall == pytest.approx(3 / 7)
    assert found.f1 == pytest.approx(2 * 3 / (5 + 7))
    assert found.crossing == pytest.approx(4 / 9)
    assert (found.words, found.left_out) == (4, 0)


def test_punctuation_around_a_word_is_left_out(fake) -> None:
    peer = fake({'"서울은,': ['"', "서울", "은", ","], '"바다는,': ['"', "바다는", ","]})
    whole = morphemes('"서울은,', {1, 3, 4})
    assert whole == Morphemes('"서울은,', 1, 4, (3,))
    found = agreement(peer, {whole: 2})
    assert (found.precision, found.recall, found.crossing) == (1, 1, 0)
    assert agreement(peer, {morphemes('"바다는,', [3]): 1}).crossing == 1


def test_a_word_whose_places_cannot_be_told_is_left_out_and_counted(fake) -> None:
    peer = fake({"가나": ["가", "나"]}, spans=lambda words: [None for _ in words])
    found = agreement(peer, {Morphemes("가나", 0, 2, (1,)): 5})
    assert (found.words, found.left_out, found.crossing) == (5, 5, 0)


def test_a_gap_between_tokens_leaves_the_word_out(fake) -> None:
    from kobert_vocab.report.peers import Token

    peer = fake({"가나다": ["가"]}, spans=lambda words: [[Token(1, 0, 1), Token(1, 2, 3)]])
    assert agreement(peer, {Morphemes("가나다", 0, 3, ()): 1}).left_out == 1


def test_silver_words_have_the_analysers_cuts() -> None:
    words = Counter({"학교에서는,": 3, "the": 2, "ㅋㅋㅋ": 1})
    assert silver(words, find_analyser("rules", "all")) == {
        Morphemes("학교에서는,", 0, 5, (2, 4)): 3
    }


def test_silver_goes_by_the_counts_of_words() -> None:
    analyser = Analyser(name="x", version="1", boundaries="all", cut=lambda ws: ([1] for _ in ws))
    found = silver(Counter({"가나": 7, "가": 2}), analyser)
    assert found == {Morphemes("가나", 0, 2, (1,)): 7, Morphemes("가", 0, 1, ()): 2}
