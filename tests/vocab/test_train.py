import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kobert_vocab import InputError, Vocabulary, train
from kobert_vocab.hangul import MODERN_JAMO, SYLLABLES, ks_x_1001_syllables
from kobert_vocab.learn import learn

SIZE = 3290
OTHERS = ("en", "ja", "zh-Hans", "th", "ru", "hi")
FILES = [
    "report.html",
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
        assert name == "report.html" or first == second, name  # it shows the seconds


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
        "rate": 0.92,
        "alpha": 0.3,
        "korean_floor": 0.15,
        "korean_cap": 1.0,
        "unused": 100,
    }
    assert card["analyser"] == "rules 1"
    assert set(card["corpus"]["languages"]) == {"en", "hi", "ja", "ko", "ru", "th", "zh-Hans"}
    assert sum(x["share"] for x in card["corpus"]["languages"].values()) == pytest.approx(
        1, abs=1e-5
    )
    assert set(card["versions"]) == {"kobert-kit", "sentencepiece", "tokenizers", "python"}
    assert set(card["seconds"]) == {
        *("count", "merge", "cut", "weigh", "mine", "fit", "export", "verify"),
    }


def test_has_ks_x_1001_and_jamo(vocabulary: Vocabulary) -> None:
    pieces = {vocabulary.piece(i) for i in range(len(vocabulary))}
    assert ks_x_1001_syllables() | MODERN_JAMO <= pieces


def test_pieces_respect_morphemes(vocabulary: Vocabulary) -> None:
    assert vocabulary.pieces("학교에서는 사람을") == ["▁학교", "에서", "는", "▁사람", "을"]


def test_each_syllable_is_one_piece_or_two(vocabulary: Vocabulary) -> None:
    syllables = list(map(chr, SYLLABLES))
    for syllable, ids in zip(syllables, vocabulary.encode_batch(syllables), strict=True):
        assert len([i for i in ids if vocabulary.piece(i) != "▁"]) <= 2, syllable
        assert vocabulary.decode(ids) == syllable


def test_the_rate_says_how_much_the_boundaries_count(corpus: Path, tmp_path: Path) -> None:
    learnt = {}
    for name, options in {
        "strict": {"rate": 1.0, "analyser": "rules", "size": 3080},  # it holds no more
        "loose": {"rate": 0.0, "analyser": "rules", "size": 3300},
        "free": {"boundaries": "none", "size": 3300},
    }.items():
        out = train([corpus / "ko.txt"], tmp_path / name, **options)
        opened = Vocabulary.load(out)
        learnt[name] = {opened.piece(i) for i in range(len(opened))}
    crossing = {"▁학교에서", "▁학교에서는", "▁서울까지", "▁사람처럼", "▁어머니부터"}
    assert not crossing & learnt["strict"]
    assert crossing & learnt["loose"]
    assert crossing & learnt["free"]


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
    out = train([corpus / "en.txt", corpus / "ru.txt"], tmp_path / "out", size=405, unused=0)
    vocabulary = Vocabulary.load(out)
    assert len(vocabulary) == 405
    assert vocabulary.unused == []
    assert vocabulary.decode(vocabulary.encode("힝 ok")) == "힝 ok"  # as bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size 0: give the number of pieces"),
        ({"size": SIZE, "alpha": 1.5}, "alpha 1.5: must be between 0 and 1"),
        ({"size": SIZE, "korean_floor": 1.0}, "korean_floor 1.0: must be"),
        ({"size": SIZE, "korean_cap": 0.1}, "korean_cap 0.1: must be at least korean_floor"),
        ({"size": SIZE, "rate": -0.1}, "rate -0.1: must be between 0 and 1"),
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
    assert not (tmp_path / "out").exists()
    smallest = int(str(error.value).split()[-1])
    assert (
        len(Vocabulary.load(train([corpus], tmp_path / "out", size=smallest, analyser="rules")))
        == smallest
    )


def test_size_too_large_names_the_largest_that_works(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose a size up to") as error:
        train([corpus], tmp_path / "out", size=90_000, analyser="rules")
    assert not (tmp_path / "out").exists()
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
    train([corpus / "en.txt"], out, size=470)
    assert sorted(file.name for file in out.iterdir()) == FILES


def test_missing_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        train([tmp_path / "nothing"], tmp_path / "out", size=SIZE)


def steps_in(folder: Path) -> dict[str, Path]:
    return {path.name.rpartition("-")[0]: path for path in folder.iterdir()}


def test_a_vocabulary_that_fails_its_check_does_not_appear(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> int:
        raise InputError("differs")

    monkeypatch.setitem(train.__globals__, "verify", fail)
    with pytest.raises(InputError, match="differs"):
        train([corpus / "en.txt"], tmp_path / "out", size=470)
    assert [path.name for path in tmp_path.iterdir()] == [".out.steps"]
    assert set(steps_in(tmp_path / ".out.steps")) == {"count", "merge", "weigh", "mine", "fit"}


def test_a_stopped_run_goes_on_where_it_was(
    corpus: Path, trained: Path, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / ".out.steps").rglob("*.tsv")}

    caplog.set_level("INFO")
    with monkeypatch.context() as patch:
        patch.setitem(learn.__globals__, "mine_seeds", stop)
        with pytest.raises(KeyboardInterrupt):
            train([corpus], tmp_path / "out", size=SIZE, analyser="rules")
    assert "finished steps are kept in" in caplog.text
    before = files()
    assert len(before) > 2 * len(OTHERS)  # of each language, counted and merged
    kept = tmp_path / ".out.steps"  # named, it is not deleted in the end
    train([corpus], tmp_path / "out", size=SIZE, analyser="rules", work=kept)
    assert {path: time for path, time in files().items() if path in before} == before
    assert Vocabulary.load(tmp_path / "out").fingerprint == Vocabulary.load(trained).fingerprint


def test_the_steps_go_when_all_is_done(trained: Path) -> None:
    assert [path.name for path in trained.parent.iterdir()] == ["vocabulary"]


def test_a_work_folder_is_kept_and_used_for_other_options(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = tmp_path / "work"
    train([corpus / "en.txt"], tmp_path / "a", size=470, work=work)
    caplog.set_level("INFO")
    train([corpus / "en.txt"], tmp_path / "b", size=468, work=work)
    assert [line for line in caplog.messages if "done before" in line] == [
        f"{step}: done before" for step in ("count", "merge", "weigh")
    ]
    train([corpus / "en.txt"], tmp_path / "again", size=468)
    prints = [Vocabulary.load(tmp_path / name).fingerprint for name in ("b", "again")]
    assert prints[0] == prints[1]


def test_a_damaged_step_is_done_again(corpus: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = train([corpus / "en.txt"], tmp_path / "a", size=470, work=work)
    seeds = steps_in(work)["mine"] / "seeds.tsv"
    seeds.write_text(seeds.read_text(encoding="utf-8").replace("▁", "_"), encoding="utf-8")
    second = train([corpus / "en.txt"], tmp_path / "b", size=470, work=work)
    assert Vocabulary.load(first).fingerprint == Vocabulary.load(second).fingerprint


def test_changed_text_is_read_again(corpus: Path, tmp_path: Path) -> None:
    text = tmp_path / "en.txt"
    text.write_bytes((corpus / "en.txt").read_bytes())
    first = train([text], tmp_path / "a", size=468, work=tmp_path / "work")
    text.write_bytes(text.read_bytes() * 2 + b"zebra zebra zebra zebra")
    second = train([text], tmp_path / "b", size=468, work=tmp_path / "work")
    assert Vocabulary.load(first).fingerprint != Vocabulary.load(second).fingerprint


def test_ctrl_c_keeps_what_is_done_and_no_more(corpus: Path, tmp_path: Path) -> None:
    call = f"train([{str(corpus)!r}], 'out', size={SIZE}, analyser='rules')"
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{listen}; from kobert_vocab import train; {call}"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    for _ in range(6000):  # until it has counted
        if any(tmp_path.glob(".out.steps/merge-*")):
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert [path.name for path in tmp_path.iterdir()] == [".out.steps"]
    left = list((tmp_path / ".out.steps").iterdir())
    assert [path for path in left if not (path / "step.json").is_file()] == []


def test_a_full_disk_is_said_and_leaves_nothing_half_written(corpus: Path, tmp_path: Path) -> None:
    # No file of this process can grow beyond 300 kB, as if there were no more room.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    call = f"train([{str(corpus)!r}], 'out', size={SIZE}, analyser='rules')"
    done = subprocess.run(
        [sys.executable, "-c", f"{limit}; from kobert_vocab import train; {call}"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert b"File too large" in done.stderr
    assert not (tmp_path / "out").exists()
    left = list((tmp_path / ".out.steps").iterdir())
    assert len(left) > len(OTHERS)
    assert [path for path in left if not (path / "step.json").is_file()] == []


def test_user_words_are_one_piece_each(corpus: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("코버트\n서울대공원\nＫoBERT-kit\n\n", encoding="utf-8")
    out = train([corpus], tmp_path / "out", size=SIZE, analyser="rules", words=words)
    vocabulary = Vocabulary.load(out)
    assert len(vocabulary) == SIZE
    assert "▁코버트" in vocabulary.pieces("우리 코버트는 좋다")
    assert "서울대공원" in vocabulary.pieces("(서울대공원에서)")
    assert "▁KoBERT-kit" in vocabulary.pieces("KoBERT-kit을")
    card = json.loads((out / "vocabulary.json").read_text(encoding="utf-8"))
    assert card["user_words"]["count"] == 3


def test_parity_moves_weight_to_the_dearer_language(corpus: Path, tmp_path: Path) -> None:
    parallel = tmp_path / "parallel"
    parallel.mkdir()
    lines = {"en": "the dog\nthe fox", "ru": "каждый день\nходим в школу", "ko": "학교는\n서울은"}
    for language, text in lines.items():
        (parallel / f"{language}.txt").write_text(text, encoding="utf-8")
    inputs = [corpus / f"{language}.txt" for language in lines]
    cards = []
    for options in ({}, {"parallel": parallel}):
        out = train(inputs, tmp_path / f"{len(cards)}", size=3080, analyser="rules", **options)
        cards.append(json.loads((out / "vocabulary.json").read_text(encoding="utf-8")))
    before, after = (card["corpus"]["languages"] for card in cards)
    assert after["en"]["premium"] == 1.0
    assert "premium" not in before["en"]
    if after["ru"]["share"] != before["ru"]["share"]:
        assert (
            after["ru"]["share"] / after["en"]["share"]
            > before["ru"]["share"] / before["en"]["share"]
        )


def test_personal_data_and_paths_get_into_no_file(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gildong_private"
    folder.mkdir()
    text = "연락처 gildong@hong.example 010-9876-5432 900101-1234567\n" * 50
    (folder / "ko.txt").write_text(text + (corpus / "ko.txt").read_text(encoding="utf-8"))
    work = tmp_path / "work"
    out = train([folder], tmp_path / "out", size=SIZE, analyser="rules", work=work)
    card = json.loads((out / "vocabulary.json").read_text(encoding="utf-8"))
    assert card["corpus"]["languages"]["ko"]["left_out_as_personal"] == 150
    for path in [*out.iterdir(), *work.rglob("*.*")]:
        if path.is_file():
            content = path.read_bytes()
            for secret in (b"gildong", b"9876-", b"-5432", b"-1234567", str(tmp_path).encode()):
                assert secret not in content, (path.name, secret)


def test_steps_are_logged(corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    train([corpus / "en.txt"], tmp_path / "out", size=470)
    assert [step for step in ("count:", "fit:", "verify:") if step not in caplog.text] == []
    assert "analyser" not in caplog.text


def test_the_analyser_is_logged(corpus: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    train([corpus / "ko.txt"], tmp_path / "out", size=2980, analyser="rules")
    assert "analyser: rules 1" in caplog.text
