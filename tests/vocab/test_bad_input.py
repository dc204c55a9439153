"""Text that holds nothing, or hardly anything, or not what its name says."""

import errno
import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kobert_vocab import InputError, Vocabulary, train
from kobert_vocab.fit import mine_seeds
from kobert_vocab.hangul import ks_x_1001_syllables

Write = Callable[[str, str | bytes], Path]
ENGLISH = "The quick brown fox jumps over the lazy dog. Words of a language repeat themselves.\n"
ARCHAIC = "ᄒᆞᆫ글 나랏말ᄊᆞ미 \ua960\u1160 \u1112\u119e\ud7cb 듀ᇰ귁에"
ALL_OF_ENGLISH = 465  # of one Latin letter: 361 special ones, ASCII, 8 signs, ▁ and ▁a


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Train; it must fail in one line and leave nothing but finished steps. Gives the line."""

    def run(*inputs: Path | str, size: int = ALL_OF_ENGLISH) -> str:
        before = {path for path in tmp_path.iterdir() if path.name != ".out.steps"}
        with pytest.raises(InputError) as error:
            train(inputs, tmp_path / "out", size=size, analyser="rules")
        assert {path for path in tmp_path.iterdir() if path.name != ".out.steps"} == before
        steps = tmp_path / ".out.steps"
        assert not steps.exists() or all((step / "step.json").is_file() for step in steps.iterdir())
        assert "\n" not in str(error.value)
        return str(error.value)

    return run


@pytest.fixture
def largest(tmp_path: Path, refused: Callable[..., str]) -> Callable[[Path], Vocabulary]:
    """The vocabulary of the largest size, which the message for a larger one names."""

    def run(path: Path) -> Vocabulary:
        found = re.search(r"choose a size up to (\d+), or give more text", refused(path, size=9000))
        assert found
        out = train([path], tmp_path / "out", size=int(found[1]), analyser="rules")
        vocabulary = Vocabulary.load(out)
        assert len(vocabulary) == int(found[1])
        return vocabulary

    return run


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("en.txt", "a"),
        ("ko.txt", "학교"),
        ("ja.txt", "私"),
        ("en.txt", "😀😁🫠 👍🏽 👨‍👩‍👧‍👦 🇰🇷\n" * 9),
        ("ko.txt", "大韓民國 憲法 國會議員 選擧\n" * 9),
        ("ko.txt", f"{ARCHAIC}\n" * 9),
        ("en.txt", "1 22 333 4444 55555 666 123456\n" * 9),
        ("ko.txt", "!?.. ,,;: -- () ...\n" * 9),
        ("en.txt", "\u0301\u0302 \u0303\n" * 9),
        ("en.txt", "\u200c\u200d \u200b\n" * 9),  # the joiners are kept
        ("ko.txt", "\u2581학교 \u2585서울 \u241f \u2581\u2585\u241f\n" * 9),
        ("ko.txt", "".join("학교에서" * 20 + chr(0xAC00 + 7 * i) + " " for i in range(50))),
    ],
    ids=(
        *("a-letter", "a-word", "a-kanji", "emoji", "hanja", "archaic-hangul", "digits"),
        *("punctuation", "marks", "joiners", "signs-of-sentencepiece", "long-words"),
    ),
)
def test_odd_text_makes_a_vocabulary_that_reads_it_back(
    write: Write, largest: Callable[[Path], Vocabulary], name: str, text: str
) -> None:
    vocabulary = largest(write(name, text))
    for given in (text, ARCHAIC, ENGLISH):
        ids = vocabulary.encode(given)
        assert vocabulary.unk not in ids
        assert vocabulary.decode(ids) == vocabulary.normalize(given)
    assert vocabulary.normalize(ARCHAIC) == ARCHAIC


NOTHING = {
    "zero width": "\u200b\u200e\u2060\ufeff\n" * 9,
    "control characters": "\x01\x02 \x03\x7f\n" * 9,
    "the mark of a space": "\u2581 \u2581\u2581\n" * 9,
    "personal data": "010-1234-5678 hong@hong.example\n" * 9,
}


@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize("name", ["ko.txt", "ja.txt"])
def test_text_without_words_is_named(
    write: Write, refused: Callable[..., str], kind: str, name: str
) -> None:
    nothing = write(name, NOTHING[kind])
    for inputs in ([nothing], [write("en.txt", ENGLISH), nothing]):
        line = refused(*inputs)
        assert line.startswith(f"{nothing}: no words in the text of language '{nothing.stem}'")


def test_a_language_with_words_in_one_file_is_taken(write: Write, tmp_path: Path) -> None:
    inputs = [write("1.en.txt", NOTHING["zero width"]), write("2.en.txt", ENGLISH)]
    train([f"en={path}" for path in inputs], tmp_path / "out", size=470)


@pytest.mark.parametrize("text", ["\u2585 \u2585\u2585\n", "\u2585ab\n", "\u2585\u241f\n"])
def test_text_that_sentencepiece_cannot_learn(
    write: Write, refused: Callable[..., str], text: str
) -> None:
    assert "no word in this text can be learnt" in refused(write("en.txt", text * 9))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ko.txt", b"", "ko.txt: no text in this file"),
        ("ko.txt", " \u3000\t\r\n\n", "ko.txt: no text in this file"),
        ("ko.jsonl", '{"text": ""}\n', "ko.jsonl: no text in this file"),
        ("ko.txt", b"ok\n\xff\xfe\xfd\n", "ko.txt:2: not UTF-8"),
        ("ko.txt", "ok\nこれは日本語です\n".encode("euc-jp"), "ko.txt:2: not UTF-8; it looks like"),
        ("ko.txt", "가\n나\0다\n", "ko.txt:2: NUL bytes"),
        ("ko.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x80\xff", "ko.txt:"),
        ("ko.jsonl", '{"text": "가"}\n{"text": "\\udc00"}\n', "ko.jsonl:2: half a surrogate pair"),
    ],
)
def test_a_broken_file_among_others_is_named(
    write: Write, refused: Callable[..., str], name: str, content: str | bytes, message: str
) -> None:
    broken = write(name, content)
    line = refused(write("en.txt", ENGLISH), broken)
    assert line.startswith(str(broken))
    assert message in line


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as on Linux")
def test_a_line_of_100_mb_is_refused_in_bounded_memory(write: Write, tmp_path: Path) -> None:
    path = write("en.txt.gz", gzip.compress(b"ok\n" + b"a" * (100 << 20), 1))
    code = (
        "import re, sys; from kobert_vocab import InputError, train\n"
        "try: train([sys.argv[1]], sys.argv[2], size=470)\n"
        "except InputError as error: print(error)\n"
        # Not ru_maxrss, which begins at that of the process that started this one.
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    message, most = done.stdout.splitlines()
    assert message == f"{path}:2: a line of more than 64 MiB"
    assert int(most) >> 10 < 400  # twice the 64 MiB, and what the imports take
    assert [*tmp_path.iterdir()] == [path]


def test_text_that_runs_out_after_a_hundred_pairs(tmp_path: Path) -> None:
    syllables = sorted(ks_x_1001_syllables())
    pairs = list(map("".join, zip(syllables[:100], syllables[100:200], strict=True)))
    rows = tmp_path / "rows" / "rows.tsv"
    seeds = tmp_path / "mined" / "seeds.tsv"
    for path in (rows, seeds):
        path.parent.mkdir()
    rows.write_text("".join(f"{pair}\t{1000 - i}\n" for i, pair in enumerate(pairs)))
    mine_seeds(rows, seeds, frozenset("".join(pairs)), size=1000)
    assert [line.split("\t")[0] for line in seeds.read_text().splitlines()] == sorted(pairs)
    assert [*seeds.parent.iterdir()] == [seeds, *seeds.parent.glob("*.model")]


def test_a_file_where_the_work_folder_should_be(write: Write, tmp_path: Path) -> None:
    text, work = write("en.txt", ENGLISH), write("work", "keep")
    with pytest.raises(InputError, match="work: not a folder"):
        train([text], tmp_path / "out", size=470, work=work)
    assert work.read_text() == "keep"
    assert {*tmp_path.iterdir()} == {text, work}


def test_folders_above_out_are_made(write: Write, tmp_path: Path) -> None:
    out = train([write("en.txt", ENGLISH)], tmp_path / "a" / "b" / "out", size=470)
    assert [*tmp_path.glob("a/b/*")] == [out]


def test_a_place_for_out_that_cannot_be_written(write: Write, tmp_path: Path) -> None:
    text, file = write("en.txt", ENGLISH), write("file", "keep")
    with pytest.raises(OSError, match="file") as error:  # one line on the command line
        train([text], file / "out", size=470)
    assert error.value.errno == errno.ENOTDIR
    if os.geteuid():  # root may write anywhere
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(PermissionError):
            train([text], closed / "out", size=470)
        assert [*closed.iterdir()] == []
        closed.rmdir()
    assert {*tmp_path.iterdir()} == {text, file}


def test_a_file_that_goes_or_changes_between_two_runs(write: Write, tmp_path: Path) -> None:
    text, other = write("en.txt", ENGLISH), write("ru.txt", "Каждый день мы ходим в школу.\n")
    work = tmp_path / "work"
    first = train([text, other], tmp_path / "1", size=490, work=work)
    other.unlink()
    with pytest.raises(InputError, match=r"ru.txt: no such file or folder"):
        train([text, other], tmp_path / "2", size=490, work=work)
    write("ru.txt", b"\xfd\xfe\xff\n")
    with pytest.raises(InputError, match=r"ru.txt:1: not UTF-8"):
        train([text, other], tmp_path / "2", size=490, work=work)
    assert not (tmp_path / "2").exists()
    write("ru.txt", "Каждый день мы читаем книги.\n")
    second = train([text, other], tmp_path / "2", size=490, work=work)
    fresh = train([text, other], tmp_path / "3", size=490)
    prints = [Vocabulary.load(folder).fingerprint for folder in (first, second, fresh)]
    assert prints[0] != prints[1] == prints[2]
