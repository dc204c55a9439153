from collections import Counter

from kobert_vocab.alphabet import ASCII, MODERN_JAMO, alphabet, ks_x_1001_syllables, split_outside


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
    assert ks_x_1001_syllables() | MODERN_JAMO | ASCII <= alphabet({"ko": Counter({" 나": 1})})
    assert "힝" not in alphabet({"en": Counter({" a": 1})})


def test_a_small_language_keeps_its_letters_beside_a_large_one() -> None:
    # 1 in 10,000 of all characters, which a coverage of 0.9995 over the mix would drop.
    chars = alphabet({"en": Counter({" word": 10**7}), "ka": Counter({" ქართული": 500})})
    assert set("ქართული") <= chars


def test_rare_letters_of_a_small_alphabet_stay_and_strays_go() -> None:
    words = Counter({" tiếng": 10**5, " ẵm": 50, " ☃": 1})
    chars = alphabet({"vi": words})
    assert "ẵ" in chars
    assert "☃" not in chars


def test_a_large_alphabet_is_kept_to_9995_of_10000_characters() -> None:
    ideographs = [chr(0x4E00 + i) for i in range(4000)]
    words = Counter({char: max(1, 10**6 // (i + 1) ** 2) for i, char in enumerate(ideographs)})
    kept = alphabet({"zh-Hans": words}) - ASCII
    assert kept == set(ideographs[: len(kept)])
    assert sum(words[char] for char in kept) >= 0.9995 * words.total()
    assert sum(words[char] for char in list(ideographs)[: len(kept) - 1]) < 0.9995 * words.total()


def test_what_sentencepiece_reserves_is_left_out() -> None:
    words = Counter({" a\u2581\u2585\u241f\0": 100})
    assert not alphabet({"en": words}) & set(" \u2581\u2585\u241f\0")


def test_words_are_split_where_a_character_is_left_out() -> None:
    chars = frozenset("가나다")
    assert split_outside(" 가나", chars) == [" 가나"]
    assert split_outside(" 가🫠나🫠🫠다", chars) == [" 가", "나", "다"]
    assert split_outside(" 🫠", chars) == []
