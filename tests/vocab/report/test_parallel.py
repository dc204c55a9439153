import gzip

import pytest

from kobert_vocab import InputError
from kobert_vocab.report.parallel import parity, read_parallel


@pytest.fixture
def parallel(write):
    write("par/en.txt", "a b\n\na b c\na\n")
    write("par/kor.txt.gz", gzip.compress("가 나 다\n가\n가 나 다\n\n".encode()))
    write("par/ja.txt", "日\n\n\n日 本\n")
    return write("par/README.md", "not text of a language").parent


def test_lines_stay_aligned(parallel) -> None:
    lines = read_parallel(parallel)
    assert lines["ko"] == ["가 나 다", "가", "가 나 다", ""]
    assert sorted(lines) == ["en", "ja", "ko"]


def test_premiums_by_hand(parallel, fake) -> None:
    peer = fake({word: [word] for word in "abc가나다日"} | {"本": ["[UNK]"]})
    found = parity(peer, read_parallel(parallel))
    ko, ja, en = (found.languages[code] for code in ("ko", "ja", "en"))
    assert (ko.lines, ko.tokens_per_line, ko.premium) == (2, 3, pytest.approx(6 / 5))
    assert (ja.lines, ja.premium, ja.unknown) == (2, pytest.approx(3 / 3), pytest.approx(1 / 3))
    assert (en.lines, en.premium) == (3, 1)
    assert found.median == pytest.approx(1.1)
    assert (found.max, found.max_language, found.korean) == (1.2, "ko", 1.2)
    assert found.gini == pytest.approx(0.4 / 9.6)  # of 1, 1, 1.2: sum of |differences| / (2 n sum)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ko.txt": "가\n"}, "no en.txt"),
        ({"en.txt": "a\n"}, "only English"),
        ({"en.txt": "a\n", "ko.txt": "가\n나\n"}, "ko.txt: 2 lines where en has 1"),
        ({"en.txt": "a\n", "notes.txt": "a\n"}, "'notes' is not a language"),
        ({"en.txt": "a\n", "eng.txt.gz": b""}, "a second file of en"),
    ],
)
def test_what_cannot_be_used(write, files, message: str) -> None:
    for name, text in files.items():
        folder = write(f"par/{name}", text).parent
    with pytest.raises(InputError, match=message):
        read_parallel(folder)


def test_a_language_without_a_common_line(write, fake) -> None:
    write("par/en.txt", "a\n\n")
    folder = write("par/ko.txt", "\n가\n").parent
    with pytest.raises(InputError, match="ko has no line"):
        parity(fake({"가": ["가"]}), read_parallel(folder))


def test_no_folder(tmp_path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_parallel(tmp_path / "none")
