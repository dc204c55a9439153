from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kobert_vocab.count
from kobert_vocab import Document
from kobert_vocab.count import LONGEST_WORD, PERSONAL, count_words
from kobert_vocab.personal import is_personal
from kobert_vocab.word_counts import read_counts


def document(text: str) -> Document:
    return Document(text=text, language="ko", path=Path("a.txt"), line=1)


@pytest.fixture
def count(tmp_path: Path):
    def count_text(text: str, language: str) -> dict[str, int]:
        out = tmp_path / "words.tsv"
        count_words([document(line) for line in text.split("\f")], language, out)
        rows = list(read_counts(out))
        assert rows == sorted(rows)
        assert [path.name for path in tmp_path.iterdir()] == ["words.tsv"]
        return dict(rows)

    return count_text


def test_words_carry_the_space_before_them(count) -> None:
    assert count("나는 나는\nＡ\u3000b", "ko") == {" 나는": 2, " A": 1, " b": 1}


def test_decomposed_words_count_as_composed(count) -> None:
    assert count("나는 나는", "ko") == {" 나는": 2}


def test_text_without_spaces_is_cut_at_punctuation_and_scripts(count) -> None:
    assert count("東京は大きい、ABC町 二つ", "ja") == {
        " 東京は": 1,
        "大きい": 1,
        "、": 1,
        "ABC": 1,
        "町": 1,
        " 二つ": 1,
    }


def test_tibetan_words_hold_the_mark_between_syllables(count) -> None:
    assert count("བོད་ཡིག།", "bod") == {" བོད་ཡིག": 1, "།": 1}


def test_marks_stay_with_their_letter(count) -> None:
    assert count("ก่อนกี่", "th") == {" ก่อนกี่": 1}


@pytest.mark.parametrize("language", ["ko", "ja", "und"])
def test_long_words_are_cut(count, language: str) -> None:
    words = count("가" * 200, language)
    assert sum(len(word) * n for word, n in words.items()) == 201
    assert max(map(len, words)) <= LONGEST_WORD + 1
    assert [word for word in words if word.startswith(" ")] == [" " + "가" * LONGEST_WORD]


def test_japanese_words_begin_where_kana_end(count) -> None:
    assert count("私は毎日学校へ行きます。カタカナを書く", "ja") == {
        " 私は": 1,
        "毎日学校へ": 1,
        "行きます": 1,
        "。": 1,
        "カタカナを": 1,
        "書く": 1,
    }
    assert count("スーパーで", "ja") == {" スーパーで": 1}  # ー is no kanji
    assert count("한국 漢字の本", "ko") == {" 한국": 1, " 漢字の本": 1}  # it is a word of Korean


def test_a_full_memory_spills_and_merges(count, monkeypatch) -> None:
    text = "\f".join(f"가 나{i % 7} 다{i % 5}" for i in range(100))
    whole = count(text, "ko")
    monkeypatch.setattr(kobert_vocab.count, "TYPES_IN_MEMORY", 3)
    assert count(text, "ko") == whole
    assert whole[" 가"] == 100


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(alphabet="가나ab \n０", max_size=12), max_size=12))
def test_counts_do_not_depend_on_when_they_spill(count, monkeypatch, texts: list[str]) -> None:
    text = "\f".join(texts)
    monkeypatch.setattr(kobert_vocab.count, "TYPES_IN_MEMORY", 10**6)
    whole = count(text, "ko")
    monkeypatch.setattr(kobert_vocab.count, "TYPES_IN_MEMORY", 0)
    assert count(text, "ko") == whole


@pytest.mark.parametrize("language", ["ko", "zh-Hans"])
def test_words_with_personal_data_are_not_counted(count, language: str) -> None:
    text = "문의 hong@example.kr 또는 ０１０-1234-5678 로, (900101-1234567)"
    words = count(text, language)
    assert words[PERSONAL] == 3
    assert not [word for word in words if "example" in word or "1234" in word]
    assert words[" 문의"] == 1


@pytest.mark.parametrize(
    "text", ["a@b.kr", "02-123-4567", "+82-10-1234-5678", "01012345678", "900101-1******"]
)
def test_personal(text: str) -> None:
    assert is_personal(f"({text})를")


@pytest.mark.parametrize(
    "text", ["2024-11-22", "12,500", "1588-1234", "@handle", "3.14159265", "제2024-123호", "0.5%"]
)
def test_not_personal(text: str) -> None:
    assert not is_personal(text)
