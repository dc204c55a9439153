import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.corpus.sentences import LONG_PHRASES, LONGEST, cut_at_blanks, split_sentences
from kobert_vocab.languages import languages


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("비가 온다. 눈도 온다!", ["비가 온다.", "눈도 온다!"]),
        ("값은 3.5만 원이다.", ["값은 3.5만 원이다."]),
        ("첫 줄\n둘째 줄\n\n", ["첫 줄", "둘째 줄"]),
        ("今日は寒い。明日も。", ["今日は寒い。", "明日も。"]),
        ("「行く。」と言った。", ["「行く。」と言った。"]),
        ("यह घर है। वह पेड़ है।", ["यह घर है।", "वह पेड़ है।"]),
        ("هل أنت هنا؟ نعم.", ["هل أنت هنا؟", "نعم."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("정말요?! 네…… 그래요.", ["정말요?!", "네……", "그래요."]),
        ("", []),
        (" \t\n ", []),
    ],
)
def test_split(text, sentences):
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("ko", "1. 목적은 이렇다. 2. 정의", ["1. 목적은 이렇다.", "2. 정의"]),
        ("ko", "가. 첫째이다. 나. 둘째", ["가. 첫째이다.", "나. 둘째"]),
        ("ko", "2013. 12. 3. 시행한다. 끝", ["2013. 12. 3. 시행한다.", "끝"]),
        ("ko", "2013. 12. 31. 시행한다. 끝", ["2013. 12. 31. 시행한다.", "끝"]),
        ("ko", "정한다. <개정 2013. 12. 3.>", ["정한다. <개정 2013. 12. 3.>"]),
        ("ko", "나빠서 좋다.더 나빠도!좋아요!!또", ["나빠서 좋다.", "더 나빠도!좋아요!!", "또"]),
        ("ko", "봤다\n좋았어요\n끝", ["봤다", "좋았어요", "끝"]),
        ("en", "Dr. Lee met J. R. R. Tolkien. Yes.", ["Dr. Lee met J. R. R. Tolkien.", "Yes."]),
        ("en", "See no. 5. He said no. Then", ["See no. 5.", "He said no.", "Then"]),
        ("en", '"No!" he said. Why?', ['"No!" he said.', "Why?"]),
        ("en", "He waited… and left. Then", ["He waited… and left.", "Then"]),
        ("en", "So do I. Then she came.", ["So do I.", "Then she came."]),
        ("de", "Das gilt z.B. Kindern. Gut.", ["Das gilt z.B. Kindern.", "Gut."]),
        ("el", "Τι είναι; Ναι.", ["Τι είναι;", "Ναι."]),
        ("en", "One; Two.", ["One; Two."]),
        ("ja", "「行く。」「来る！」終", ["「行く。」", "「来る！」終"]),
        ("hy", "Մարդ է։ Այո։", ["Մարդ է։", "Այո։"]),
        ("amh", "ሰው ነው። አዎ።", ["ሰው ነው።", "አዎ።"]),
        ("khm", "ខ្ញុំទៅ។ បាទ។", ["ខ្ញុំទៅ។", "បាទ។"]),
        ("my", "သွားတယ်။ ဟုတ်ကဲ့၊ ကောင်းတယ်။", ["သွားတယ်။", "ဟုတ်ကဲ့၊ ကောင်းတယ်။"]),
        ("bod", "བོད་ཡིག། བདེ་མོ།", ["བོད་ཡིག།", "བདེ་མོ།"]),
    ],
)
def test_each_script_ends_sentences_in_its_way(language, text, sentences):
    assert split_sentences(text, language) == sentences


def test_thai_is_cut_at_blanks_only_when_it_is_long():
    phrase = "ฝนตกหนักมากในวันนี้"
    assert split_sentences(f"{phrase} {phrase}", "th") == [f"{phrase} {phrase}"]
    parts = split_sentences(" ".join([phrase] * 40), "th")
    assert len(parts) == 4
    assert all(len(part) <= LONG_PHRASES for part in parts)


@pytest.mark.parametrize("text", ["낱말들이요 " * 1_000, "가" * 5_000, "a." * 3_000])
def test_no_sentence_is_longer_than_the_limit(text):
    sentences = split_sentences(text, "ko")
    assert max(map(len, sentences)) <= LONGEST
    assert len(sentences) >= 3
    assert " " not in text or {word for s in sentences for word in s.split()} == {"낱말들이요"}
    assert "".join(sentences).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("ab cde fg", ["ab cde", "fg"]),  # a part may have all of the six characters
        ("ab cdef g", ["ab", "cdef g"]),
        ("abcdefgh i", ["abcdef", "gh i"]),
        ("abcdef", ["abcdef"]),
        ("      abcdef", ["abcdef"]),
    ],
)
def test_parts_end_at_the_last_blank_that_fits(sentence, parts):
    assert cut_at_blanks(sentence, 6) == parts


@given(st.text(), st.sampled_from(sorted(languages())))
def test_nothing_but_blanks_is_lost_in_any_language(text, language):
    sentences = split_sentences(text, language)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


@given(st.text())
def test_nothing_but_blanks_is_lost(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
