import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.corpus.sentences import split_sentences


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


@given(st.text())
def test_nothing_but_blanks_is_lost(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
