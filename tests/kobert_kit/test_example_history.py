import dataclasses
import json
import re
import shutil

import pytest

from kobert_kit.pretraining.evaluation import Example, Guess
from kobert_kit.pretraining.example_history import COLUMNS, EXAMPLES, MASKS, histories, kept_guesses
from kobert_kit.pretraining.run import pretrain


def rows_of(run):
    return [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]


def evaluated(step, *pieces, label="▁집"):
    """A row with one example, whose masks have these first guesses."""
    guesses = [
        {"position": 3 + place, "label": label, "top": [[piece, 0.5], ["나", 0.1]]}
        for place, piece in enumerate(pieces)
    ]
    return {"step": step, "examples": [{"language": "ko", "guesses": guesses}]}


def test_each_evaluation_keeps_its_guesses_for_the_same_masks(short_run):
    config, _ = short_run
    kept = [row["examples"] for row in rows_of(config.out) if "evaluation" in row]
    assert len(kept) == 4
    masks = [
        [(one["language"], [(g["position"], g["label"]) for g in one["guesses"]]) for one in row]
        for row in kept
    ]
    assert all(row == masks[0] for row in masks)
    assert [language for language, _ in masks[0]][:4] == ["ko"] * 4
    assert len(masks[0]) == EXAMPLES
    shares = [guess["top"][0][1] for one in kept[-1] for guess in one["guesses"]]
    assert all(0 < share < 1 for share in shares)
    assert kept[0] != kept[-1]


def test_a_run_that_goes_on_keeps_the_guesses_of_one_that_never_stopped(run_settings, tmp_path):
    whole = dataclasses.replace(run_settings, out=tmp_path / "whole")
    parted = dataclasses.replace(run_settings, out=tmp_path / "parted")
    pretrain(whole)
    pretrain(parted, stop_after=9)
    shutil.rmtree(parted.out / "checkpoints" / "step-00000009")  # its row must go
    pretrain(parted, resume=True)
    kept = [
        [(row["step"], row["examples"]) for row in rows_of(run.out) if "examples" in row]
        for run in (whole, parted)
    ]
    assert [step for step, _ in kept[0]] == [3, 6, 9, 12]
    assert kept[0] == kept[1]


def test_long_and_many_examples_are_cut(vocabulary):
    guesses = [Guess(place, 300 + place, [(400, 0.25)]) for place in range(MASKS + 5)]
    kept = kept_guesses([Example("ko", [0] * 99, guesses)] * (EXAMPLES + 2), vocabulary)
    assert len(kept) == EXAMPLES
    assert [guess["position"] for guess in kept[0]["guesses"]] == list(range(MASKS))
    assert kept[0]["guesses"][1] == {
        "position": 1,
        "label": vocabulary.piece(301),
        "top": [[vocabulary.piece(400), 0.25]],
    }


def test_a_history_is_the_first_guess_at_each_evaluation():
    rows = [{"step": 1}, evaluated(5, "가", "다"), evaluated(9, "▁집", "다")]
    [history] = histories(rows)
    assert (history.language, history.steps) == ("ko", (5, 9))
    assert [mask.position for mask in history.masks] == [3, 4]
    assert [(g.piece, g.right) for g in history.masks[0].guesses] == [("가", False), ("▁집", True)]
    assert [g.piece for g in history.masks[1].guesses] == ["다", "다"]


@pytest.mark.parametrize("count", [1, 2, COLUMNS, COLUMNS + 1, 100])
def test_of_many_evaluations_the_first_the_last_and_some_between_are_shown(count):
    [history] = histories([evaluated(step, "가") for step in range(1, count + 1)])
    assert len(history.steps) == min(count, COLUMNS)
    assert (history.steps[0], history.steps[-1]) == (1, count)
    assert sorted(set(history.steps)) == list(history.steps)


def test_a_run_of_an_older_version_has_no_history():
    assert histories([{"step": 1, "evaluation": {}}]) == []


def test_the_page_shows_how_guesses_changed(short_run):
    config, _ = short_run
    page = (config.out / "report.html").read_text(encoding="utf-8")
    part = page.split("First guesses as training went on")[1].split("<h2>")[0]
    tables = part.split('<table class="course">')[1:]
    assert len(tables) == EXAMPLES
    for step in (3, 6, 9, 12):
        assert f"<th>step {step}</th>" in tables[0]
    history = histories(rows_of(config.out))[0]
    numbers = re.findall(r"<tr><td>(\d+)</td>", tables[0])
    assert numbers == [str(n) for n in range(1, len(history.masks) + 1)]
    boxes = re.findall(r'<span class="m w?"?[^>]*>(\d+)</span>', part.split("<table")[0])
    assert boxes == numbers


def test_a_phase_with_other_examples_begins_anew():
    rows = [
        evaluated(1, "가", "다", "라"),
        evaluated(2, "가", label="▁방"),
        evaluated(3, "▁방", label="▁방"),
    ]
    [history] = histories(rows)
    assert history.steps == (2, 3)
    assert [then.right for then in history.masks[0].guesses] == [False, True]
