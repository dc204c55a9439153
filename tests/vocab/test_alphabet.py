from collections import Counter

from kobert_vocab import alphabet as module
from kobert_vocab.alphabet import ASCII, COVERAGE, KOREAN_MARKS, TYPOGRAPHIC, split_outside
from kobert_vocab.hangul import (
    MODERN_JAMO,
    TAIL_JAMO,
    ks_x_1001_syllables,
    open_syllables,
    rare_syllables,
)
from kobert_vocab.normalize import nfc
from kobert_vocab.word_counts import MANY, LanguageCounts


def alphabet(words: dict[str, Counter[str]]) -> frozenset[str]:
    return module.alphabet({language: about(counts) for language, counts in words.items()})


def about(words: Counter[str]) -> LanguageCounts:
    characters: Counter[str] = Counter()
    for word, n in words.items():
        for char in word:
            characters[char] += n
    return LanguageCounts(
        types=len(words),
        words=words.total(),
        characters=characters.total(),
        personal=0,
        types_by_count=[0] * MANY,
        alphabet=dict(characters),
    )


def test_ks_x_1001_has_2350_syllables() -> None:
    syllables = ks_x_1001_syllables()
    assert len(syllables) == 2350
    assert min(syllables) == "가"
    assert max(syllables) == "힝"
    assert "뷁" not in syllables


def test_there_are_51_jamo() -> None:
    assert len(MODERN_JAMO) == 51
    assert {"ㅋ", "ㅠ", "ㄳ", "ㅏ", "ㅣ"} <= MODERN_JAMO


def test_korean_brings_its_syllables() -> None:
    chars = alphabet({"ko": Counter({" 나": 1})})
    assert ks_x_1001_syllables() | MODERN_JAMO | ASCII | set(open_syllables()) | TAIL_JAMO <= chars
    assert "힝" not in alphabet({"en": Counter({" a": 1})})


def test_quotes_and_dashes_need_not_be_in_the_text() -> None:
    assert set("‘’“”–—·") <= alphabet({"en": Counter({" a": 1})})
    assert set("「」『』《》※") <= alphabet({"ko": Counter({" 나": 1})})
    assert not KOREAN_MARKS & alphabet({"en": Counter({" a": 1})})


def test_rare_syllables_are_two_characters_of_the_alphabet() -> None:
    chars = alphabet({"ko": Counter({" 뷁": 10**6})})
    assert "뷁" not in chars
    assert set("붸\u11b0") <= chars
    assert len(rare_syllables()) == 8772
    assert {"".join(nfc(two)) for two in rare_syllables().values()} == set(rare_syllables())


def test_a_small_language_keeps_its_letters_beside_a_large_one() -> None:
    # 1 in 10,000 of all characters, which a coverage of 0.9998 over the mix would drop.
    chars = alphabet({"en": Counter({" word": 10**7}), "ka": Counter({" ქართული": 500})})
    assert set("ქართული") <= chars


def test_rare_letters_of_a_small_alphabet_stay_and_strays_go() -> None:
    words = Counter({" tiếng": 10**5, " ẵm": 50, " ☃": 1})
    chars = alphabet({"vi": words})
    assert "ẵ" in chars
    assert "☃" not in chars


def test_a_large_alphabet_is_kept_to_the_coverage() -> None:
    ideographs = [chr(0x4E00 + i) for i in range(4000)]
    words = Counter({char: max(1, 10**6 // (i + 1) ** 2) for i, char in enumerate(ideographs)})
    kept = alphabet({"zh-Hans": words}) - ASCII - TYPOGRAPHIC
    assert kept == set(ideographs[: len(kept)])
    assert sum(words[char] for char in kept) >= COVERAGE * words.total()
    assert sum(words[char] for char in list(ideographs)[: len(kept) - 1]) < COVERAGE * words.total()


def test_what_sentencepiece_reserves_is_left_out() -> None:
    words = Counter({" a\u2581\u2585\0": 100})
    assert not alphabet({"en": words}) & set(" \u2581\u2585\0")


def test_words_are_split_where_a_character_is_left_out() -> None:
    chars = frozenset("가나다")
    assert split_outside(" 가나", chars) == [" 가나"]
    assert split_outside(" 가🫠나🫠🫠다", chars) == [" 가", "나", "다"]
    assert split_outside(" 🫠", chars) == []
