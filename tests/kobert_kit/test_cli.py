import gzip
import json
import resource
import subprocess
import sys

import pytest
import torch

from kobert_kit.cli import main
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config_file import flags_from_toml


@pytest.fixture
def refuses(kobert, tmp_path):
    """Run a command line that must fail in one line, with code 2, leaving no new file behind.

    A vocabulary's finished steps may stay: the same command goes on from them.
    """

    def run(*arguments, steps_stay=False):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = kobert(*arguments)
        assert code == 2, err
        assert out == ""
        lines = err.strip().splitlines()
        assert lines[-1].startswith("kobert: ")
        assert "Traceback" not in err
        after = sorted(tmp_path.rglob("*"))
        kept = [path for path in after if ".out.steps" in path.parts]
        assert [path for path in after if path not in kept] == before
        assert bool(kept) == steps_stay
        return lines[-1]

    return run


def text_file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


BAD_INPUT = {
    "missing": (None, None, "no such file or folder"),
    "empty": ("ko.txt", "", "no text in this file"),
    "blank": ("ko.txt", " \n\n \n", "no text in this file"),
    "cp932": ("ko.txt", b"a\n" + "これは日本語".encode("cp932"), "not UTF-8; it looks like CP932"),
    "gzip": ("ko.txt.gz", gzip.compress("가나다 " .encode() * 50_000)[:-400], "broken archive"),
    "not gzip": ("ko.txt.gz", "가나다", "broken archive"),
    "not zstd": ("ko.txt.zst", "가나다", "broken archive"),
    "no text field": ("ko.jsonl", '{"text": "a"}\n{"body": "b"}\n', 'ko.jsonl:2: no field "text"'),
    "text is no string": ("ko.jsonl", '{"text": 3}\n', 'ko.jsonl:1: no field "text"'),
    "not json": ("ko.jsonl", "가나다\n", "ko.jsonl:1: not JSON"),
    "deep json": ("ko.jsonl", "[" * 200_000, "ko.jsonl:1: not JSON"),
    "json list": ("ko.jsonl", "[1]\n", "found list"),
    "half a character": ("ko.jsonl", '{"text": "\\ud800"}\n', "half a surrogate pair"),
    "binary": ("ko.txt", b"\x7fELF\0\0", "NUL bytes"),
    "another kind": ("ko.pdf", "가", "not a kind of file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
@pytest.mark.parametrize("command", ["vocab train", "corpus build"])
def test_bad_input(refuses, tmp_path, vocab_folder, case, command):
    name, content, message = BAD_INPUT[case]
    path = text_file(tmp_path, name, content) if name else tmp_path / "none.txt"
    flags = ["--vocab", vocab_folder, "--strict"] if command == "corpus build" else []
    line = refuses(*command.split(), path, *flags, "--out", tmp_path / "out")
    assert message in line
    assert str(path) in line


def test_vocabularies_are_compared_in_table_json_and_page(kobert, tmp_path, vocab_folder):
    path = text_file(tmp_path, "ko.txt", "서울에서 만나요.\n학교에 갑니다 ㅋㅋ\n")
    page, numbers = tmp_path / "new" / "report.html", tmp_path / "report.json"
    flags = ("--on", path, "--out", page, "--json", numbers)
    code, out, err = kobert("vocab", "report", vocab_folder, vocab_folder, *flags)
    assert code == 0, err
    assert "tokens per word" in out.lower()
    assert f"report: {page}" in out
    assert "<svg" in page.read_text(encoding="utf-8")
    assert len(json.loads(numbers.read_text(encoding="utf-8"))["vocabularies"]) == 2


def test_a_report_on_no_vocabulary(refuses, tmp_path):
    path = text_file(tmp_path, "ko.txt", "서울에서 만나요.")
    assert "no such file or folder" in refuses("vocab", "report", tmp_path / "v", "--on", path)


def test_a_base_that_is_none(refuses, tmp_path):
    path = text_file(tmp_path, "ko.txt", "서울에서 만나요.")
    (tmp_path / "base").mkdir()
    flags = ("--with", path, "--add", 10, "--out", tmp_path / "out")
    assert "tokenizer.json" in refuses("vocab", "extend", tmp_path / "base", *flags)


def test_a_folder_without_text(refuses, tmp_path):
    (tmp_path / "photos").mkdir()
    line = refuses("vocab", "train", tmp_path / "photos", "--out", tmp_path / "out")
    assert "no text in this folder" in line


def test_an_unknown_language_tag(refuses, tmp_path):
    path = text_file(tmp_path, "a.txt", "가나다")
    line = refuses("vocab", "train", f"korean={path}", "--out", tmp_path / "out")
    assert "'korean' is not a language code" in line


def test_no_input(refuses, tmp_path):
    assert "no input given" in refuses("vocab", "train", "--out", tmp_path / "out")


def test_a_vocabulary_larger_than_the_text_can_fill(refuses, tmp_path):
    path = text_file(tmp_path, "ko.txt", "나는 학교에 간다.\n" * 50)
    flags = ("--size", 32_000, "--out", tmp_path / "out")
    line = refuses("vocab", "train", path, *flags, steps_stay=True)
    assert "choose a size up to" in line


def test_a_vocabulary_too_small_for_its_alphabet(refuses, tmp_path):
    path = text_file(tmp_path, "ko.txt", "나는 학교에 간다.\n" * 50)
    flags = ("--size", 300, "--out", tmp_path / "out")
    line = refuses("vocab", "train", path, *flags, steps_stay=True)
    assert "at least" in line


def test_folders_of_another_kind(refuses, tmp_path, vocab_folder, corpus_folder):
    path = text_file(tmp_path, "ko.txt", "가나다")
    other = tmp_path / "other"
    other.mkdir()
    line = refuses("corpus", "build", path, "--vocab", other, "--out", tmp_path / "out")
    assert "not a vocabulary" in line
    run = ("--steps", 1, "--out", tmp_path / "out")
    assert "not a corpus" in refuses("pretrain", "--vocab", vocab_folder, "--corpus", other, *run)
    assert "not a vocabulary" in refuses(
        "pretrain", "--vocab", other, "--corpus", corpus_folder, *run
    )
    assert "not a model folder" in refuses("fill-mask", other, "가 [MASK] 나")


def test_a_model_of_another_architecture(refuses, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert "model_type is 't5'" in refuses("fill-mask", tmp_path, "가 [MASK] 나")


def test_a_setting_that_does_not_exist(refuses, tmp_path):
    path = text_file(tmp_path, "run.toml", "[optimizer]\nlearning_rat = 1e-3\n")
    line = refuses("pretrain", "--config", path)
    assert line == (
        f"kobert: {path}: no setting 'learning_rat' in [optimizer]; did you mean 'learning_rate'?"
    )


def test_a_setting_out_of_range(refuses, tmp_path):
    path = text_file(tmp_path, "run.toml", 'vocab="v"\ncorpus="c"\nout="o"\nsteps=0\n')
    assert refuses("pretrain", "--config", path) == "kobert: steps is 0; it must be at least 1"


def test_an_unknown_flag_is_one_of_tyros_boxes(kobert, tmp_path):
    code, _, err = kobert("vocab", "train", "x", "--out", tmp_path / "o", "--sise", "3")
    assert code == 2
    assert "--size" in err  # suggested


def test_debug_shows_the_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["kobert", "--debug", "fill-mask", str(tmp_path), "[MASK]"])
    with pytest.raises(Exception, match="not a model folder"):
        main()


def test_a_disk_that_cannot_be_written(kobert, monkeypatch, tmp_path):
    path = text_file(tmp_path, "ko.txt", "가나다")

    def full(*_, **__):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(sys.modules["kobert_vocab.train"], "count_words", full)
    code, _, err = kobert("vocab", "train", path, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith(f"kobert: No space left on device: {path}: free some and run the same")


def test_flags_win_over_the_file_and_the_resolved_config_reads_back(
    kobert, tmp_path, vocab_folder, corpus_folder
):
    out = tmp_path / "run"
    path = text_file(
        tmp_path,
        "run.toml",
        f'vocab = "{vocab_folder}"\ncorpus = "{corpus_folder}"\nsteps = 500\n'
        "evaluate_sequences = 1\n"
        "[model]\nhidden_size = 32\nlayers = 1\nheads = 2\nintermediate_size = 32\n"
        "max_positions = 32\n[data]\nlength = 32\nwindows = 2\n[data.languages.floors]\nko = 0.5\n",
    )
    code, stdout, err = kobert("pretrain", "--config", path, "--steps", 2, "--out", out)
    assert code == 0, err
    assert f"model: {out / 'model'}" in stdout
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    resolved = (out / "config.toml").read_text()
    assert "steps = 2\n" in resolved
    assert "hidden_size = 32\n" in resolved
    code, _, err = kobert("pretrain", "--config", out / "config.toml", "--out", tmp_path / "again")
    assert code == 0, err
    again = (tmp_path / "again" / "config.toml").read_text()
    assert again == resolved.replace(f'"{out}"', f'"{tmp_path / "again"}"')
    assert flags_from_toml(out / "config.toml")[-2:] == ["--optimizer.clip", "1.0"]


def test_fill_mask_prints_pieces_with_shares(kobert, tmp_path, vocab_folder, vocabulary):
    model = PretrainingModel(
        EncoderConfig(
            vocab_size=len(vocabulary), hidden_size=32, layers=1, heads=2, max_positions=16
        )
    )
    model.initialise(torch.Generator().manual_seed(0))
    model.save_pretrained(tmp_path)
    line = kobert("fill-mask", tmp_path, "가 [MASK]")[2]
    assert "no tokenizer.json" in line
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((vocab_folder / name).read_bytes())
    code, out, _ = kobert("fill-mask", tmp_path, "[MASK] 가 [MASK]", "--top", 3)
    assert code == 0
    assert out.count("[MASK]") == 2
    assert out.count("%") == 6
    assert "no [MASK]" in kobert("fill-mask", tmp_path, "가나다")[2]
    for top in (0, 99_999):
        code, _, err = kobert("fill-mask", tmp_path, "[MASK]", "--top", top)
        assert (code, err.startswith(f"kobert: top is {top}")) == (2, True)
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    code, _, err = kobert("fill-mask", tmp_path, "[MASK]")
    assert (code, "tokenizer.json: not JSON" in err) == (2, True)
    (tmp_path / "tokenizer.json").write_bytes((vocab_folder / "tokenizer.json").read_bytes())
    assert (
        "takes 16"
        in kobert("fill-mask", tmp_path, "가 나 다 라 마 바 사 아 자 차 카 타 파 [MASK]")[2]
    )


def test_verify(kobert, vocab_folder, tmp_path):
    path = text_file(tmp_path, "ko.txt", "봣다 ㅋㅋ\n한국어 🇰🇷\n")
    code, out, err = kobert("vocab", "verify", vocab_folder, path)
    assert code == 0, err
    assert "no difference" in out


def run_alone(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kobert_kit", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def seconds_of_work(*arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_alone(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_needs_no_torch_and_is_quick():
    code = "import sys; sys.argv=['kobert','--help']\ntry:\n from kobert_kit.cli import main; main()\nexcept SystemExit: pass\nprint('torch' in sys.modules, 'kiwipiepy' in sys.modules)"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False False"
    # 0.4 s of work, so 0.3 s with two cores; the bar is 0.5 s. A busy machine takes longer by the
    # clock, and somewhat longer by its processors.
    assert min(seconds_of_work("--help") for _ in range(3)) < 1.0


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch)
from kobert_kit.cli import main

main()
"""


def without_torch(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_vocabulary_and_corpus_need_no_torch(tmp_path):
    path = text_file(tmp_path, "ko.txt", "나는 학교에 간다.\n" * 50)
    vocab = tmp_path / "v"
    flags = ("--size", 2_960, "--analyser", "rules")
    done = without_torch("vocab", "train", path, "--out", vocab, *flags)
    assert done.returncode == 0, done.stderr
    path = text_file(tmp_path, "other.ko.txt", "나는 학교에 간다. 너는 집에 온다.\n")
    done = without_torch("corpus", "build", f"ko={path}", "--vocab", vocab, "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr


def test_what_needs_torch_says_how_to_get_it(tmp_path):
    done = without_torch("fill-mask", tmp_path, "[MASK]")
    assert done.returncode == 2
    assert done.stderr == "kobert: this needs torch: pip install 'kobert-kit[train]'\n"


def test_every_command_has_help():
    done = run_alone("--help")
    assert done.returncode == 0
    for command in ("demo", "vocab", "corpus", "pretrain", "fill-mask", "convert"):
        assert command in done.stdout


def test_a_real_process_fails_in_one_line(tmp_path):
    done = run_alone("fill-mask", str(tmp_path / "none"), "[MASK]")
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0


RUN_ON_A_CLUSTER = (
    *("--resume-if-begun", "--loaders", 0, "--evaluate-every", 2, "--evaluate-sequences", 2),
    *("--model.layers", 1, "--model.hidden-size", 32, "--model.heads", 2),
    *("--model.intermediate-size", 64, "--data.length", 32, "--data.windows", 2),
)


def test_a_job_that_is_started_again_repeats_its_command(
    kobert, tmp_path, vocab_folder, corpus_folder, monkeypatch
):
    from kobert_kit.pretraining import run

    run_folder, whole = tmp_path / "run", run.pretrain
    flags = ("--vocab", vocab_folder, "--corpus", corpus_folder, "--steps", 4, *RUN_ON_A_CLUSTER)
    command = ("pretrain", *flags, "--out", run_folder)

    def stopped(*settings, **options):
        return whole(*settings, **options, stop_after=2)

    monkeypatch.setattr(run, "pretrain", stopped)
    assert kobert(*command)[0] == 0
    monkeypatch.undo()
    code, _, err = kobert(*command)
    assert code == 0, err
    rows = map(json.loads, (run_folder / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows if "masked_loss" in row] == [1, 2, 3, 4]


def test_a_job_does_not_write_into_a_folder_that_is_no_run(
    refuses, tmp_path, vocab_folder, corpus_folder
):
    text_file(tmp_path, "thesis.txt", "가나다")
    flags = ("--vocab", vocab_folder, "--corpus", corpus_folder, "--steps", 4, *RUN_ON_A_CLUSTER)
    assert "already there" in refuses("pretrain", *flags, "--out", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 9\n[[phase]]\nshare = 0.5", "the shares of the phases are 0.5"),
        ("steps = 9\n[data]\nlength = 4096", "data.length is 4096"),
        ('steps = 9\n[model]\nfamily = "modern"', "data.pairing is 'next'"),
    ],
)
def test_what_cannot_be_trained_cannot_be_planned(kobert, tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    code, out, err = kobert("plan", "--config", tmp_path / "run.toml")
    assert (code, out) == (2, "")
    assert message in err


def test_a_phase_is_one_of_a_run(kobert, corpus_folder, vocab_folder):
    code, _, err = kobert(
        *("corpus", "show", corpus_folder, "--vocab", vocab_folder, "--step", 0, "--phase", 1)
    )
    assert code == 2
    assert "give its --config too" in err
