import json
from pathlib import Path

import pytest

from kobert_vocab.steps import RECORD, Steps


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


class Maker:
    def __init__(self, content: str = "a") -> None:
        self.content, self.calls = content, 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "file").write_text(self.content)


def test_a_step_is_done_once(steps: Steps, tmp_path: Path) -> None:
    make = Maker()
    first = steps.run("count", {"a": 1}, make)
    assert (first.folder / "file").read_text() == "a"
    again = Steps(tmp_path).run("count", {"a": 1}, make)
    assert (again.folder, again.hash) == (first.folder, first.hash)
    assert (first.before, again.before) == (False, True)
    assert make.calls == 1


def test_what_shapes_it_makes_it_another(steps: Steps) -> None:
    make = Maker()
    folders = {steps.run("count", {"a": a}, make).folder for a in (1, 2, "1")}
    assert len(folders) == make.calls == 3
    assert steps.run("weigh", {"a": 1}, make).folder not in folders


def test_its_hash_is_that_of_its_files(steps: Steps) -> None:
    same = [steps.run("count", {"a": a}, Maker("x")).hash for a in (1, 2)]
    assert same[0] == same[1] != steps.run("count", {"a": 3}, Maker("y")).hash


@pytest.mark.parametrize("damage", ["changed", "missing", "record", "no record", "more"])
def test_a_damaged_step_is_made_again(steps: Steps, damage: str, caplog) -> None:
    caplog.set_level("INFO")
    make = Maker()
    folder = steps.run("count", {}, make).folder
    match damage:
        case "changed":
            (folder / "file").write_text("b")
        case "missing":
            (folder / "file").unlink()
        case "record":
            (folder / RECORD).write_text('{"files": {}')
        case "no record":
            (folder / RECORD).unlink()
        case "more":
            (folder / "other").write_text("")
    steps.run("count", {}, make)
    assert make.calls == 2
    assert (folder / "file").read_text() == "a"
    assert "damaged, made again" in caplog.text


def test_a_step_that_fails_leaves_nothing(steps: Steps, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.run("count", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_earlier_steps_are_found_by_what_shaped_them(steps: Steps) -> None:
    one, two = (steps.run("cut", {"by": "x", "of": n}, Maker(str(n))) for n in (1, 2))
    steps.run("cut", {"by": "y", "of": 1}, Maker("z"))
    (steps.run("cut", {"by": "x", "of": 3}, Maker()).folder / "file").write_text("damaged")
    assert {step.folder for step in steps.done("cut", {"by": "x"})} == {one.folder, two.folder}


def test_seconds_add_up_by_name_also_of_steps_done_before(steps: Steps) -> None:
    folder = steps.run("count", {"a": 1}, Maker()).folder
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**record, "seconds": 5.0}))
    again = Steps(steps.folder)
    again.run("count", {"a": 1}, Maker())
    again.run("count", {"a": 2}, Maker())
    with again.timed("export"):
        pass
    assert again.seconds["count"] == pytest.approx(5.0, abs=0.5)
    assert set(again.seconds) == {"count", "export"}
