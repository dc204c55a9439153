import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kobert_vocab import InputError, Vocabulary, train
from kobert_vocab.alphabet import MODERN_JAMO, ks_x_1001_syllables
from kobert_vocab.train import _without_uncut

SIZE = 3100
FILES = [
    "selftest.jsonl",
    "spm.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocabulary.json",
]


def test_the_folder_holds_these_files_and_nothing_is_beside_it(trained: Path) -> None:
    assert sorted(file.name for file in trained.iterdir()) == FILES
    assert [file.name for file in trained.parent.iterdir()] == [trained.name]


def test_training_again_gives_the_same_bytes(trained: Path, corpus: Path, tmp_path: Path) -> None:
    again = train([corpus], tmp_path / "again", size=SIZE, analyser="rules")
    for name in FILES:
        first, second = (trained / name).read_bytes(), (again / name).read_bytes()
        if name == "vocabulary.json":
            first, second = ({**json.loads(c), "seconds": 0} for c in (first, second))
        assert first == second, name


def test_order_and_splitting_of_files_do_not_matter(
    corpus: Path, trained: Path, tmp_path: Path
) -> None:
    lines = (corpus / "ko.txt").read_text(encoding="utf-8").splitlines()
    for name, part in (("2.ko.txt", lines[:100]), ("1.ko.txt", lines[100:])):
        (tmp_path / name).write_text("\n".join(part), encoding="utf-8")
    others = [path for path in sorted(corpus.iterdir(), reverse=True) if path.name != "ko.txt"]
    inputs = [*others, f"ko={tmp_path / '1.ko.txt'}", f"ko={tmp_path / '2.ko.txt'}"]
    out = train(inputs, tmp_path / "out", size=SIZE, analyser="rules")
    assert Vocabulary.load(out).fingerprint == Vocabulary.load(trained).fingerprint
    cards = [
        json.loads((f / "vocabulary.json").read_text(encoding="utf-8")) for f in (out, trained)
    ]
    assert cards[0]["corpus"] == cards[1]["corpus"]


def test_card_says_how_it_was_made(trained: Path) -> None:
    card = json.loads((trained / "vocabulary.json").read_text(encoding="utf-8"))
    assert card["options"] == {
        "size": SIZE,
        "boundaries": "all",
        "alpha": 0.3,
        "korean_floor": 0.15,
        "unused": 100,
    }
    assert card["analyser"] == "rules 1"
    assert set(card["corpus"]["languages"]) == {"en", "hi", "ja", "ko", "ru", "th", "zh-Hans"}
    assert sum(x["share"] for x in card["corpus"]["languages"].values()) == pytest.approx(
        1, abs=1e-5
    )
    assert set(card["versions"]) == {"kobert-kit", "sentencepiece", "tokenizers", "python"}
    assert set(card["seconds"]) == {"count", "weigh", "cut", "mine", "fit", "export", "verify"}


def test_has_ks_x_1001_and_jamo(vocabulary: Vocabulary) -> None:
    pieces = {vocabulary.piece(i) for i in range(len(vocabulary))}
    assert ks_x_1001_syllables() | MODERN_JAMO <= pieces


def test_pieces_respect_morphemes(vocabulary: Vocabulary) -> None:
    assert vocabulary.pieces("학교에서는 사람을") == ["▁학교", "에서", "는", "▁사람", "을"]


def test_words_too_rare_to_cut_teach_nothing() -> None:
    counts = {"ko": Counter({" 학교에서": 1, " 바다": 2, " abc": 1}), "en": Counter({" abc": 1})}
    words = {" 학교에서": 9, " 바다": 9, " abc": 9}
    assert _without_uncut(words, counts, {" 바다": []}) == {" 바다": 9, " abc": 9}
    assert _without_uncut(words, counts, {}) == words


def test_chunks_of_unspaced_text_learn_no_space(vocabulary: Vocabulary) -> None:
    pieces = [vocabulary.piece(i) for i in range(361, len(vocabulary))]
    # 東京は and 北京是 begin chunks, after 。 without a space; 私は and 我们 begin lines.
    assert [p for p in pieces if p.startswith(("東京", "北京"))] != []
    assert not any(piece.startswith(("▁東", "▁北")) for piece in pieces)


def test_no_wish_for_boundaries_needs_no_analyser(corpus: Path, tmp_path: Path) -> None:
    out = train([corpus], tmp_path / "out", size=SIZE, boundaries="none")
    card = json.loads((out / "vocabulary.json").read_text(encoding="utf-8"))
    assert card["analyser"] is None


def test_without_korean(corpus: Path, tmp_path: Path) -> None:
    out = train([corpus / "en.txt", corpus / "ru.txt"], tmp_path / "out", size=395, unused=0)
    vocabulary = Vocabulary.load(out)
    assert len(vocabulary) == 395
    assert vocabulary.unused == []
    assert vocabulary.decode(vocabulary.encode("힝 ok")) == "힝 ok"  # as bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size 0: give the number of pieces"),
        ({"size": SIZE, "alpha": 1.5}, "alpha 1.5: must be between 0 and 1"),
        ({"size": SIZE, "korean_floor": 1.0}, "korean_floor 1.0: must be"),
        ({"size": SIZE, "unused": -1}, "unused -1: must be 0 or more"),
        ({"size": SIZE, "boundaries": "words"}, "boundaries 'words': choose one of"),
        ({"size": SIZE, "analyser": "mecab"}, "analyser 'mecab': choose one of"),
    ],
)
def test_bad_option_is_refused(
    corpus: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train([corpus], tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_size_too_small_names_the_smallest_that_works(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"size 400: too small .* choose at least") as error:
        train([corpus], tmp_path / "out", size=400, analyser="rules")
    assert list(tmp_path.iterdir()) == []
    smallest = int(str(error.value).split()[-1])
    assert (
        len(Vocabulary.load(train([corpus], tmp_path / "out", size=smallest, analyser="rules")))
        == smallest
    )


def test_size_too_large_names_the_largest_that_works(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose a size up to") as error:
        train([corpus], tmp_path / "out", size=90_000, analyser="rules")
    assert list(tmp_path.iterdir()) == []
    largest = int(str(error.value).split("up to ")[1].split(",")[0])
    assert (
        len(Vocabulary.load(train([corpus], tmp_path / "out", size=largest, analyser="rules")))
        == largest
    )


def test_existing_out_is_refused_and_kept(corpus: Path, write: Callable[..., Path]) -> None:
    kept = write("out/precious.txt", "keep")
    with pytest.raises(InputError, match="already there"):
        train([corpus], kept.parent, size=SIZE)
    with pytest.raises(InputError, match="already there"):
        train([corpus], kept, size=SIZE)
    assert kept.read_text() == "keep"


def test_empty_out_of_any_name_is_filled(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "a folder, of=odd name" / "out"
    out.mkdir(parents=True)
    train([corpus / "en.txt"], out, size=460)
    assert sorted(file.name for file in out.iterdir()) == FILES


def test_missing_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        train([tmp_path / "nothing"], tmp_path / "out", size=SIZE)


def test_a_vocabulary_that_fails_its_check_does_not_appear(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> int:
        raise InputError("differs")

    monkeypatch.setitem(train.__globals__, "verify", fail)
    with pytest.raises(InputError, match="differs"):
        train([corpus / "en.txt"], tmp_path / "out", size=460)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    call = f"train([{str(corpus)!r}], 'out', size={SIZE}, analyser='rules')"
    process = subprocess.Popen(
        [sys.executable, "-c", f"from kobert_vocab import train; {call}"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    for _ in range(1000):  # until it is at work beside `out`
        if any(tmp_path.glob(".out.*/words*")):
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert list(tmp_path.iterdir()) == []


def test_steps_are_logged(corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    train([corpus / "en.txt"], tmp_path / "out", size=460)
    assert [step for step in ("count:", "fit:", "verify:") if step not in caplog.text] == []
