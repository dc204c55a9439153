"""Documents just above and just below each threshold."""

import pytest

from kobert_kit.corpus.cleaning import LONG_DOCUMENT, clean
from kobert_kit.corpus.document_filters import SAMPLE, reason_to_drop


def words(number, start=0, stem="낱말"):
    """Words of which none comes twice; their letters are those of the stem."""
    return " ".join(f"{stem}{n}" for n in range(start, start + number))


@pytest.mark.parametrize(
    ("language", "stem", "own", "reason"),
    [
        # Korean may be a fifth of its text, Russian has to be half.
        ("ko", "낱말", 21, None),
        ("ko", "낱말", 19, "language"),
        ("ru", "да", 51, None),
        ("ru", "да", 49, "language"),
    ],
)
def test_a_share_of_the_letters_is_of_the_language(language, stem, own, reason):
    text = f"{words(own, stem=stem)} {words(100 - own, stem='ab')}"
    assert len(text) <= 3 * SAMPLE  # so that all of it is looked at
    assert reason_to_drop(text, language) == reason


def test_a_long_text_is_judged_by_its_middle_too():
    english = words(400, stem="word")
    text = english[:SAMPLE] + words(300)[: 2 * SAMPLE] + english[-SAMPLE:]
    assert reason_to_drop(text, "ko") is None
    assert reason_to_drop(english, "ko") == "language"


@pytest.mark.parametrize(("letters", "reason"), [(30, None), (29, "symbols")])
def test_three_in_ten_signs_are_letters(letters, reason):
    text = "가" * letters + "-" * (100 - letters)
    assert reason_to_drop(text, "ko") == reason
    assert reason_to_drop(text[-99:], "ko") is None  # a short one is left alone


@pytest.mark.parametrize(("copies", "reason"), [(4, None), (5, "repetitive")])
def test_three_tenths_of_a_text_may_be_copied_lines(copies, reason):
    # Ten lines of like length, and the first so many of them again.
    lines = [words(5, 100 + 5 * n) for n in range(10)]
    assert reason_to_drop("\n".join(lines + lines[:copies]), "ko") == reason


@pytest.mark.parametrize(("times", "reason"), [(5, None), (6, "repetitive")])
def test_a_phrase_of_three_words_may_have_18_percent(times, reason):
    # 90 words of five letters, each phrase three of 15 together: 17 and 20 percent.
    parts = [f"좋다참말로 아주아주아 정말로요 {words(1, 100 + n)}" for n in range(times)]
    text = " ".join(parts) + " " + words(90 - 4 * times, 500)
    assert reason_to_drop(text, "ko") == reason


@pytest.mark.parametrize(("number", "reason"), [(49, None), (50, "repetitive")])
def test_phrases_are_counted_from_50_words_on(number, reason):
    assert reason_to_drop(" ".join(["좋아요"] * number), "ko") == reason


@pytest.mark.parametrize(("lines", "kept"), [(LONG_DOCUMENT - 1, 2), (LONG_DOCUMENT, 1)])
def test_copied_lines_go_from_20_lines_on(lines, kept):
    menu = "처음 소식 자료 사람 모임 안내"
    others = [f"{n}째 줄에는 {n * 7}마리 새가" for n in range(lines - 2)]
    assert clean("\n".join([menu, *others, menu]), "ko").text.count(menu) == kept
