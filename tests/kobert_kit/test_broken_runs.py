"""What goes wrong while a run goes on is one line, and the last good checkpoint stays as it is."""

import dataclasses
import errno
import json
import multiprocessing
import os
import resource
import signal
import threading
import time

import pytest
import torch

from kobert_kit.batches.options import DataConfig, Phase
from kobert_kit.corpus.build import build_corpus
from kobert_kit.pretraining import checkpoint, metrics, run, train_step
from kobert_kit.pretraining.checkpoint import has_barely_begun
from kobert_kit.pretraining.run import pretrain
from kobert_vocab.errors import InputError


@pytest.fixture
def config(run_settings, tmp_path):
    return dataclasses.replace(run_settings, out=tmp_path / "run", loaders=0)


def everything_in(run):
    """All files of a run but its metrics, with their bytes."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name != "metrics.jsonl"
    }


def rows_of(run):
    return [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]


def before_step(monkeypatch, number, act):
    """Do something in the training process before it computes a step."""
    backward = train_step._backward

    def hurt(of, share, **options):
        if of.progress.step == number:
            act()
        return backward(of, share, **options)

    monkeypatch.setattr(train_step, "_backward", hurt)


@pytest.fixture
def full_disk(monkeypatch):
    """From the second checkpoint on there is no room for the optimiser's state."""
    save, calls = checkpoint.save_file, []

    def until_it_is_full(tensors, path):
        calls.append(path)
        if len(calls) > 1:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", until_it_is_full)


def test_a_full_disk_is_told_within_a_step_and_the_last_checkpoint_goes_on(
    config, monkeypatch, full_disk, tmp_path
):
    before_step(monkeypatch, 6, lambda: time.sleep(0.5))  # the thread has found out by then
    with pytest.raises(OSError, match="No space left"):
        pretrain(config)
    assert rows_of(config.out)[-1]["step"] < 9  # which is the next checkpoint
    assert [path.name for path in (config.out / "checkpoints").iterdir()] == ["step-00000003"]
    monkeypatch.undo()
    pretrain(config, resume=True)
    whole = dataclasses.replace(config, out=tmp_path / "whole")
    pretrain(whole)
    last = "model/model.safetensors"
    assert everything_in(config.out)[last] == everything_in(whole.out)[last]


def test_a_full_disk_at_the_last_checkpoint_is_told_too(config, full_disk):
    with pytest.raises(OSError, match="No space left"):
        pretrain(dataclasses.replace(config, evaluate_every=11, steps=12))
    assert [path.name for path in (config.out / "checkpoints").iterdir()] == ["step-00000011"]
    assert not (config.out / "model").exists()


def test_the_command_says_it_in_a_line(kobert, config, full_disk):
    out, options = config.out, ["--steps", 4, "--evaluate-every", 2, "--evaluate-sequences", 1]
    code, _, said = kobert(
        *("pretrain", "--vocab", config.vocab, "--corpus", config.corpus, "--out", out),
        *("--model.hidden-size", 32, "--model.layers", 1, "--model.heads", 1),
        *("--model.intermediate-size", 64, "--data.length", 40, "--data.windows", 4, *options),
    )
    assert code == 2
    [line] = [line for line in said.splitlines() if line.startswith("kobert: ")]
    assert line.startswith("kobert: No space left on device: ")
    assert line.endswith("run the same command again with --resume; what is done is kept")
    assert "Traceback" not in said


@pytest.fixture
def small_files():
    """No file may be larger than 100 kB: the system stops the writing, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_weights_that_the_system_does_not_write_are_an_error_of_the_system(config, small_files):
    with pytest.raises(OSError, match="File too large") as error:
        pretrain(config)
    assert error.value.errno == errno.EFBIG
    assert ".step-00000003." in error.value.filename


class Killed(BaseException):
    pass


@pytest.mark.parametrize("number", [2, 4])
def test_an_evaluation_in_which_a_run_was_killed_is_made_up_for(
    config, monkeypatch, tmp_path, number
):
    whole = dataclasses.replace(config, out=tmp_path / "whole")
    pretrain(whole)
    evaluate, calls = run._evaluate, []

    def die(of):
        calls.append(of)
        if len(calls) == number:
            raise Killed
        return evaluate(of)

    monkeypatch.setattr(run, "_evaluate", die)
    with pytest.raises(Killed):
        pretrain(config)
    pretrain(config, resume=True)
    ours, theirs = (
        [row for row in rows_of(one.out) if "evaluation" in row] for one in (config, whole)
    )
    assert ours == theirs
    assert (config.out / "report.html").exists()


def test_a_run_without_its_only_evaluation_still_ends(config, monkeypatch):
    config = dataclasses.replace(config, evaluate_every=12)

    def die(of):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run, "_evaluate", die)
        with pytest.raises(Killed):
            pretrain(config)
    pretrain(config, resume=True)
    assert [row["step"] for row in rows_of(config.out) if "evaluation" in row] == [12]
    assert (config.out / "report.html").exists()


def test_a_run_that_went_back_to_its_beginning_and_was_stopped_there_has_a_report(
    config, monkeypatch
):
    backward = train_step._backward

    def poison(of, share, **options):
        found = backward(of, share, **options)
        return dataclasses.replace(found, masked=float("nan"), stop=True)

    monkeypatch.setattr(train_step, "_backward", poison)
    pretrain(dataclasses.replace(config, bad_step="roll_back"))
    assert (config.out / "report.html").exists()


def test_metrics_are_json_where_a_number_is_none(config, monkeypatch):
    backward = train_step._backward

    def overflow(of, share, **options):
        return dataclasses.replace(backward(of, share, **options), norm=float("inf"))

    monkeypatch.setattr(train_step, "_backward", overflow)
    pretrain(dataclasses.replace(config, bad_step="skip"))
    assert "Infinity" not in (config.out / "metrics.jsonl").read_text()
    assert rows_of(config.out)[0]["gradient_norm"] is None


def test_a_checkpoint_that_is_lost_is_told_beside_another_error(config, monkeypatch, caplog):
    save, calls, fallen = checkpoint.save_file, [], threading.Event()

    def later(tensors, path):
        calls.append(path)
        if len(calls) > 1:
            assert fallen.wait(30)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, path)

    def fall():
        fallen.set()
        raise InputError("something else")

    monkeypatch.setattr(checkpoint, "save_file", later)

    before_step(monkeypatch, 6, fall)
    with pytest.raises(InputError, match="something else"):
        pretrain(config)
    assert "the last checkpoint could not be written: [Errno 28]" in caplog.text


@pytest.fixture
def other_corpus(vocab_folder, sample_inputs, tmp_path):
    return build_corpus(sample_inputs[:1], vocab=vocab_folder, out=tmp_path / "other", held_out=0.1)


def test_a_run_of_other_settings_is_refused_and_left_as_it_is(config, other_corpus, tmp_path):
    pretrain(config)
    before = everything_in(config.out)
    for change, message in (
        ({"corpus": tmp_path / "other"}, "its corpus is"),
        ({"model": dataclasses.replace(config.model, layers=2)}, "its model is"),
        ({"optimizer": dataclasses.replace(config.optimizer, clip=2.0)}, "its optimizer is"),
    ):
        with pytest.raises(InputError, match=rf"{message} .* or choose another --out$"):
            pretrain(dataclasses.replace(config, **change), resume=True)
        assert everything_in(config.out) == before


def test_a_phase_without_text_in_its_language_is_found_at_once(config, other_corpus, tmp_path):
    thai = DataConfig(length=40, windows=4, languages=Phase(languages=("th",)))
    with pytest.raises(InputError, match="'th' is in a phase"):
        pretrain(dataclasses.replace(config, corpus=tmp_path / "other", data=thai))
    assert not config.out.exists()


def test_a_loader_that_is_killed_is_told_in_a_line(config, monkeypatch):
    def kill():
        [loader] = multiprocessing.active_children()
        os.kill(loader.pid, signal.SIGKILL)

    before_step(monkeypatch, 5, kill)
    with pytest.raises(InputError) as error:
        pretrain(dataclasses.replace(config, loaders=1, steps=10_000, evaluate_every=3))
    message = str(error.value)
    assert message.startswith("a process that makes batches has died")
    assert "--resume" in message
    assert "--loaders" in message
    assert "\n" not in message
    assert any((config.out / "checkpoints").glob("step-*"))
    assert multiprocessing.active_children() == []


def test_another_runtime_error_is_no_loaders(config, monkeypatch):
    def fall():
        raise RuntimeError("a fault of ours")

    before_step(monkeypatch, 2, fall)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        pretrain(config)


def test_no_loader_outlives_its_phase_or_the_run(config, monkeypatch):
    seen = []
    [whole] = config.all_phases
    half = dataclasses.replace(whole, share=0.5)
    backward = train_step._backward

    def count(of, share, **options):
        seen.append(len(multiprocessing.active_children()))
        return backward(of, share, **options)

    monkeypatch.setattr(train_step, "_backward", count)
    pretrain(dataclasses.replace(config, loaders=1, phases=(half, half)))
    assert seen == [1] * 12
    assert multiprocessing.active_children() == []


def test_a_run_that_was_killed_in_its_first_save_begins_again(config):
    pretrain(config, stop_after=1)
    checkpoints = config.out / "checkpoints"
    (checkpoints / "step-00000001").rename(checkpoints / ".step-00000001.a1b2c3")
    assert has_barely_begun(config.out)
    pretrain(config, resume=True)
    assert {path.name for path in checkpoints.iterdir()} == {"step-00000009", "step-00000012"}


def test_a_damaged_checkpoint_is_no_beginning(config):
    pretrain(config, stop_after=1)
    (config.out / "checkpoints/step-00000001").rename(
        config.out / "checkpoints/damaged-step-00000001"
    )
    assert not has_barely_begun(config.out)


def test_forgotten_rows_are_cut_off_and_never_written_anew(config, monkeypatch):
    class Torn(Exception):
        pass

    pretrain(config)
    path = config.out / "metrics.jsonl"
    before = path.read_text()
    with path.open("a+", encoding="utf-8") as file:

        class Dies:
            """A file whose process is killed at its first change."""

            def __getattr__(self, name):
                if name in ("write", "writelines", "flush"):
                    raise Torn
                return getattr(file, name)

        metrics._drop_after(Dies(), 3)
    assert path.read_text() == "".join(
        row for row in before.splitlines(keepends=True) if json.loads(row)["step"] <= 3
    )


@pytest.mark.parametrize("numbers", [[signal.SIGTERM] * 3, [signal.SIGINT, signal.SIGINT]])
def test_a_signal_that_comes_twice_at_once_is_one(config, monkeypatch, numbers):
    def signals():
        for number in numbers:
            os.kill(os.getpid(), number)

    before_step(monkeypatch, 4, signals)
    pretrain(config)
    assert [row["step"] for row in rows_of(config.out)][-2:] == [5, 5]
    assert (config.out / "checkpoints" / "step-00000005").is_dir()


def test_a_second_sigterm_however_late_is_no_ctrl_c(config, monkeypatch):
    def twice():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(run, "PASSED_ON", -1.0)
    before_step(monkeypatch, 4, twice)
    pretrain(config)
    assert [row["step"] for row in rows_of(config.out)][-2:] == [5, 5]


def test_a_row_that_was_being_written_goes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "mas')
    with path.open("a+", encoding="utf-8") as file:
        metrics._drop_after(file, 9)
        file.write('{"step": 3}\n')
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


def test_a_second_ctrl_c_stops_at_once(config, monkeypatch):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run, "PASSED_ON", -1.0)
    before_step(monkeypatch, 4, twice)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config)
    assert [row["step"] for row in rows_of(config.out)][-1] == 4
    monkeypatch.undo()
    pretrain(config, resume=True)


def test_what_a_checkpoint_holds_is_of_its_step_however_late_it_is_written(config, monkeypatch):
    optimizer = dataclasses.replace(config.optimizer, average=0.9)
    prompt = dataclasses.replace(config, optimizer=optimizer)
    pretrain(prompt, stop_after=3)
    slow = dataclasses.replace(prompt, out=config.out.with_name("slow"))
    write, trained = checkpoint.write_folder, threading.Event()

    def late(*arguments):
        assert trained.wait(30)
        write(*arguments)

    monkeypatch.setattr(checkpoint, "write_folder", late)
    before_step(monkeypatch, 4, trained.set)  # which has then changed all weights once more
    pretrain(slow, stop_after=5)
    for name in ("model", "optimizer", "average"):
        place = f"checkpoints/step-00000003/{name}.safetensors"
        assert (slow.out / place).read_bytes() == (prompt.out / place).read_bytes()


def test_a_step_that_is_left_out_changes_nothing_that_is_kept(config, monkeypatch):
    backward = train_step._backward

    def poison(of, share, **options):
        found = backward(of, share, **options)
        return dataclasses.replace(found, masked=float("nan")) if of.progress.step == 3 else found

    monkeypatch.setattr(train_step, "_backward", poison)
    optimizer = dataclasses.replace(config.optimizer, average=0.5)
    config = dataclasses.replace(config, optimizer=optimizer, bad_step="skip", evaluate_every=1)
    pretrain(config, stop_after=4)
    before, after = (config.out / f"checkpoints/step-0000000{step}" for step in (3, 4))
    for name in ("model", "optimizer", "average"):
        file = f"{name}.safetensors"
        assert (before / file).read_bytes() == (after / file).read_bytes(), name
    states = [json.loads((folder / "state.json").read_text()) for folder in (before, after)]
    [first, second] = [state["state"]["progress"]["recent"] for state in states]
    assert len(first) == 3
    assert first == second


def test_a_save_waits_for_the_one_before_it_and_tells_of_its_error(monkeypatch, tmp_path):
    called, written = threading.Event(), []

    def fail_late(self, model, weights, states, average, progress):
        assert called.wait(30)
        written.append(progress["step"])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.Saver, "_write", fail_late)
    trained = checkpoint.Trained(torch.nn.Linear(2, 2), [], None)
    with checkpoint.Saver(tmp_path, {}, {}, writes=True) as saver:
        saver.save(trained, {"step": 1})
        saver.check()  # nothing yet
        called.set()
        with pytest.raises(OSError, match="No space left"):
            saver.save(trained, {"step": 2})
    assert written == [1]
