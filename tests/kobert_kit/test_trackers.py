import dataclasses
import json
import re
import shutil
import sqlite3
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kobert_kit.pretraining import trackers
from kobert_kit.pretraining.config import ModelConfig
from kobert_kit.pretraining.run import pretrain
from kobert_kit.pretraining.trackers import scalars, settings_sent, tracking
from kobert_kit.pretraining.verify_resume import verify_resume
from kobert_vocab.errors import InputError

STEP = {"step": 7, "masked_loss": 2.5, "next_loss": float("nan"), "tokens": 30, "kind": "a"}
SCORE = {"masked": 4, "loss": 1.5, "accuracy": 0.25, "unigram_loss": 3.0, "entropy": 1.0}
EVALUATION = {
    "step": 7,
    "evaluation": {
        "loss": 2.0,
        "accuracy": 0.5,
        "next_accuracy": None,
        "bits_per_character": 1.25,
        "languages": {
            "ko": SCORE | {"bits_per_character": 1.0},
            "en": SCORE | {"bits_per_character": None},
        },
    },
    "examples": [{"language": "ko"}],
}


@pytest.fixture
def config(run_settings, tmp_path):
    return dataclasses.replace(run_settings, out=tmp_path / "my-run")


def tracked_by(config, *names):
    return dataclasses.replace(config, trackers=names)


def curves(config):
    """What TensorBoard shows: steps and values by name."""
    shown = EventAccumulator(str(config.out / "tensorboard"), size_guidance={"scalars": 0})
    shown.Reload()
    return {
        name: [(event.step, event.value) for event in shown.Scalars(name)]
        for name in shown.Tags()["scalars"]
    }


def rows_of(config):
    return [json.loads(row) for row in (config.out / "metrics.jsonl").read_text().splitlines()]


def test_a_step_becomes_its_numbers():
    assert scalars(STEP) == {"train/masked_loss": 2.5, "train/tokens": 30.0}
    assert scalars({"step": 1, "skipped": True, "masked_loss": None}) == {"train/skipped": 1.0}


def test_an_evaluation_becomes_its_numbers_and_those_of_each_language():
    assert scalars(EVALUATION) == {
        "held_out/loss": 2.0,
        "held_out/accuracy": 0.5,
        "held_out/bits_per_character": 1.25,
        "held_out/ko/loss": 1.5,
        "held_out/ko/accuracy": 0.25,
        "held_out/ko/bits_per_character": 1.0,
        "held_out/en/loss": 1.5,
        "held_out/en/accuracy": 0.25,
    }


def test_no_setting_that_is_a_path_is_sent(config):
    sent = settings_sent(config)
    assert str(config.corpus.parent) not in repr(sent)
    assert not {"vocab", "corpus", "out"} & sent.keys()
    assert sent["steps"] == 12
    assert sent["model"]["hidden_size"] == 32
    json.dumps(sent)


def test_the_folder_of_the_model_it_goes_on_from_is_not_sent_but_its_name_on_the_hub_is(
    config, tmp_path
):
    config = dataclasses.replace(config, model=ModelConfig())
    sent = settings_sent(dataclasses.replace(config, from_=str(tmp_path)))
    assert str(tmp_path) not in repr(sent)
    named = settings_sent(dataclasses.replace(config, from_="klue/bert-base"))
    assert named["from_"] == "klue/bert-base"


def test_tensorboard_shows_what_metrics_jsonl_says(config):
    config = tracked_by(config, "tensorboard")
    pretrain(config)
    shown, rows = curves(config), rows_of(config)
    steps = [row for row in rows if "masked_loss" in row]
    evaluations = [row for row in rows if "evaluation" in row]
    assert [step for step, _ in shown["train/masked_loss"]] == list(range(1, 13))
    losses = [value for _, value in shown["train/masked_loss"]]
    assert losses == pytest.approx([row["masked_loss"] for row in steps])
    assert [step for step, _ in shown["held_out/loss"]] == [3, 6, 9, 12]
    korean = [row["evaluation"]["languages"]["ko"]["accuracy"] for row in evaluations]
    assert [value for _, value in shown["held_out/ko/accuracy"]] == pytest.approx(korean)


def test_tensorboard_shows_each_step_once_when_a_run_goes_on_from_before_its_end(config):
    config = tracked_by(config, "tensorboard")
    pretrain(config, stop_after=8)  # checkpoints at 6 and 8
    assert [step for step, _ in curves(config)["train/tokens"]] == list(range(1, 9))
    shutil.rmtree(config.out / "checkpoints" / "step-00000008")
    pretrain(config, resume=True)
    shown = curves(config)
    assert [step for step, _ in shown["train/tokens"]] == list(range(1, 13))
    assert [step for step, _ in shown["held_out/loss"]] == [3, 6, 9, 12]


class Recorder:
    """A tracker that says when it is opened, given something and closed."""

    def __init__(self, monkeypatch, name):
        self.calls = []

        @trackers.contextmanager
        def opened(config, step):
            self.calls.append(("open", step))
            try:
                yield lambda at, values: self.calls.append((at, values))
            finally:
                self.calls.append("closed")

        monkeypatch.setitem(trackers._OPENERS, name, opened)


def test_all_trackers_get_each_row_and_are_closed_after_an_exception(config, monkeypatch):
    recorders = [Recorder(monkeypatch, name) for name in ("tensorboard", "trackio")]

    def fail():
        with tracking(tracked_by(config, "tensorboard", "trackio"), 4) as track:
            track(STEP)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    for recorder in recorders:
        assert recorder.calls == [("open", 4), (7, scalars(STEP)), "closed"]


def test_none_is_opened_that_was_not_asked_for(config, monkeypatch):
    recorder = Recorder(monkeypatch, "wandb")
    with tracking(config, 0) as track:
        track(STEP)
    assert recorder.calls == []


def test_a_run_that_fails_closes_its_trackers(config, monkeypatch):
    recorder = Recorder(monkeypatch, "trackio")
    monkeypatch.setattr(trackers, "check_installed", lambda _: None)
    monkeypatch.setattr("kobert_kit.pretraining.run.check_installed", lambda _: None)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kobert_kit.pretraining.run.Saver.save", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(tracked_by(config, "trackio"))
    assert recorder.calls[-1] == "closed"
    assert [call[0] for call in recorder.calls[:-1]] == ["open", 1, 2, 3]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_missing_package_is_told_before_the_run_makes_its_folder(config, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=re.escape(f"pip install 'kobert-kit[{name}]'")):
        pretrain(tracked_by(config, name))
    assert not config.out.exists()


def test_what_the_trackers_know_a_run_by_stays_the_same(tmp_path):
    first = trackers._identity(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", first)
    assert trackers._identity(tmp_path) == first
    (tmp_path / trackers.IDENTITY).write_text("{}")
    with pytest.raises(InputError, match="delete it"):
        trackers._identity(tmp_path)


def test_trying_whether_a_run_resumes_is_not_tracked(config, monkeypatch):
    recorder = Recorder(monkeypatch, "tensorboard")
    verify_resume(tracked_by(config, "tensorboard"))
    assert recorder.calls == []


# The two below run where somebody has installed these packages; they are heavy and not needed.


def test_weights_and_biases_offline(config, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = tracked_by(config, "wandb")
    pretrain(config, stop_after=6)
    pretrain(config, resume=True)
    logs = sorted((config.out / "wandb").glob("offline-run-*/*.wandb"))
    identity = json.loads((config.out / trackers.IDENTITY).read_text())["id"]
    assert {path.name for path in logs} == {f"run-{identity}.wandb"}
    assert len(logs) == 2
    content = b"".join(path.read_bytes() for path in logs)
    for sent in (b"train/masked_loss", b"held_out/ko/accuracy", b"my-run"):
        assert sent in content
    for private in (config.out.parent, config.corpus.parent, sys.prefix):
        assert str(private).encode() not in content


def test_weights_and_biases_without_a_login(config, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    wandb.teardown()  # it reads the environment once
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"wandb login.*WANDB_MODE=offline"):
        pretrain(tracked_by(config, "wandb"))


def test_trackio_goes_on_in_the_same_run(config, monkeypatch, tmp_path):
    # It reads where it writes when it is imported.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("trackio")
    config = tracked_by(config, "trackio")
    pretrain(config, stop_after=6)
    pretrain(config, resume=True)
    with sqlite3.connect(tmp_path / "trackio" / "kobert-kit.db") as database:
        rows = database.execute("SELECT run_id, run_name, step, metrics FROM metrics").fetchall()
        content = b"\n".join(database.serialize().splitlines())
    assert len({run for run, *_ in rows}) == 1
    assert rows[0][1].startswith("my-run-")
    losses = [step for _, _, step, metrics in rows if "train/masked_loss" in str(metrics)]
    assert sorted(losses) == list(range(1, 13))
    for private in (config.out.parent, config.corpus.parent):
        assert str(private).encode() not in content
