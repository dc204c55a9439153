import sys
import unicodedata

import pytest

from kobert_kit.corpus import korean_sentences
from kobert_kit.corpus.korean_sentences import analyse_sentences
from kobert_kit.corpus.sentences import LONGEST
from kobert_vocab.errors import InputError


@pytest.fixture
def kiwi():
    pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed")


@pytest.mark.usefixtures("kiwi")
def test_sentences_end_where_no_sign_says_so():
    found = analyse_sentences("영화를 재밌게 봤습니다 정말 좋았어요\n둘째 줄")
    assert [s.text for s in found] == ["영화를 재밌게 봤습니다", "정말 좋았어요", "둘째 줄"]


@pytest.mark.usefixtures("kiwi")
def test_a_morpheme_inside_a_syllable_of_the_last_has_no_start():
    (gone, learnt) = analyse_sentences("학교에 갔다.\n배웠습니다")
    assert gone.morpheme_starts == (0, 2, 4, 5, 6)  # 학교 에 갔 다 .
    assert learnt.morpheme_starts == (0, 2)  # 배웠 습니다


@pytest.mark.usefixtures("kiwi")
def test_decomposed_text_is_read_composed():
    text = "비가 온다. 눈도 온다."
    assert analyse_sentences(unicodedata.normalize("NFD", text)) == analyse_sentences(text)


@pytest.mark.usefixtures("kiwi")
def test_starts_follow_a_long_sentence_into_its_parts():
    text = "비와 " * 1_000
    parts = analyse_sentences(text)
    assert max(len(part.text) for part in parts) <= LONGEST
    for part in parts:
        assert part.morpheme_starts[0] == 0
        assert all("비와"[start % 3] in "비와" for start in part.morpheme_starts)
        assert {start % 3 for start in part.morpheme_starts} == {0, 1}


def test_without_the_analyser_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    korean_sentences._kiwi.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'kobert-kit\[korean\]'"):
        analyse_sentences("비가 온다.")
