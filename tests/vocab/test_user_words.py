from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kobert_vocab import InputError, Vocabulary, train
from kobert_vocab.user_words import read_user_words, user_pieces

WORDS = ["봣다", "서울대공원", "GPT-4o"]


def test_words_are_normalised_and_sorted(write) -> None:
    assert read_user_words(write("w.txt", "\ufeff서울\nＧＰＴ\n\n 나라 \n")) == [
        "GPT",
        "나라",
        "서울",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("가나\n가 나\n", r"w.txt:2: '가 나' is several words"),
        ("가\n", r"w.txt:1: '가': a word has 2 to 64 characters"),
        ("가" * 65, r"w.txt:1: .* a word has 2 to 64"),
        ("\n", "w.txt: no word in this file"),
        ("가나".encode("cp949"), "w.txt: not UTF-8"),
    ],
)
def test_what_is_no_word_is_refused(write, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_user_words(write("w.txt", content))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_user_words(tmp_path / "w.txt")


def test_a_word_is_two_pieces_in_the_characters_of_the_model() -> None:
    assert user_pieces(["봣다"]) == ["▁봐\u11ba다", "봐\u11ba다"]


@pytest.fixture(scope="module")
def vocabulary(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    folder = tmp_path_factory.mktemp("words")
    (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    out = train([corpus], folder / "v", size=3290, analyser="rules", words=folder / "words.txt")
    return Vocabulary.load(out)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.text("가나다학교에서는 ab(", max_size=8),
    word=st.sampled_from(WORDS),
    after=st.text("가나다학교에서는 ab)", max_size=8),
)
def test_a_word_is_one_piece_wherever_it_stands(
    vocabulary: Vocabulary, before: str, word: str, after: str
) -> None:
    pieces = vocabulary.pieces(before + word + after)
    assert {"▁" + user_pieces([word])[1], user_pieces([word])[1]} & set(pieces)
