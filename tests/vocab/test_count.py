from collections import Counter
from pathlib import Path

import pytest

import kobert_vocab.count
from kobert_vocab import Document
from kobert_vocab.count import LONGEST_WORD, count_characters, count_words


def document(text: str, language: str) -> Document:
    return Document(text=text, language=language, path=Path("a.txt"), line=1)


def count(text: str, language: str) -> Counter[str]:
    return count_words([document(text, language)])[language]


def test_words_carry_the_space_before_them() -> None:
    assert count("나는 나는\nＡ\u3000b", "ko") == {" 나는": 2, " A": 1, " b": 1}


def test_decomposed_words_count_as_composed() -> None:
    assert count("나는 나는", "ko") == {" 나는": 2}


def test_languages_are_counted_apart() -> None:
    counts = count_words([document("a", "en"), document("a 가", "ko"), document("a", "en")])
    assert counts == {"en": {" a": 2}, "ko": {" a": 1, " 가": 1}}


def test_text_without_spaces_is_cut_at_punctuation_and_scripts() -> None:
    assert count("東京は大きい、ABC町 二つ", "ja") == {
        " 東京は大きい": 1,
        "、": 1,
        "ABC": 1,
        "町": 1,
        " 二つ": 1,
    }


def test_marks_stay_with_their_letter() -> None:
    assert count("ก่อนกี่", "th") == {" ก่อนกี่": 1}


@pytest.mark.parametrize("language", ["ko", "ja", "und"])
def test_long_words_are_cut(language: str) -> None:
    words = count("가" * 200, language)
    assert sum(map(len, words.elements())) == 201
    assert max(map(len, words)) <= LONGEST_WORD + 1
    assert [word for word in words if word.startswith(" ")] == [" " + "가" * LONGEST_WORD]


def test_too_many_types_drop_singletons(monkeypatch, caplog) -> None:
    monkeypatch.setattr(kobert_vocab.count, "TYPES_IN_MEMORY", 3)
    caplog.set_level("INFO")
    assert count("가 가 나 다 라", "ko") == {" 가": 2}
    assert "ko: dropped 3 words seen once" in caplog.text


def test_characters_are_counted_with_spaces() -> None:
    assert count_characters(Counter({" 가나": 2, "다": 1})) == 7
