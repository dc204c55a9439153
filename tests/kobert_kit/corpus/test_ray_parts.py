import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kobert_kit.corpus import build, workers
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.ray_cluster import ray_cluster
from kobert_kit.corpus.ray_parts import _items, make_parts_with_ray
from kobert_kit.corpus.workers import PartMaker
from kobert_kit.demo import SAMPLE
from kobert_vocab.child import ChildError
from kobert_vocab.errors import InputError
from kobert_vocab.reading import find_sources

pytest.importorskip("ray")

BAD = '{"text": "첫째 글이다. 읽을 만하다."}\n{"txt": "둘째"}\n{"text": "셋째 글도 좋다."}\n'


@pytest.fixture(scope="module")
def two_workers():
    # One for all tests of this file: it starts in six seconds.
    with ray_cluster(2), pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture
def inputs(sample_inputs, tmp_path, monkeypatch):
    """Of several blocks each, one with faults, and named from a folder that no worker stands in."""
    monkeypatch.setattr(build, "BLOCK", 1_000)
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text(BAD, encoding="utf-8")
    return [*sample_inputs[1:4], "ko=bad.jsonl"]


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def parts_of(work):
    """When each part was made."""
    return {path.name: path.stat().st_mtime_ns for path in work.glob("part-*")}


def test_ray_makes_all_parts_and_changes_nothing(
    two_workers, vocab_folder, inputs, tmp_path, monkeypatch
):
    build_corpus(inputs, vocab=vocab_folder, out=tmp_path / "1")
    here = []
    monkeypatch.setattr(workers, "make_part", lambda *_: here.append(1))
    build_corpus(inputs, vocab=vocab_folder, out=tmp_path / "2", ray=True)
    assert not here
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_only_missing_parts_are_made(two_workers, vocab_folder, inputs, tmp_path):
    options = {"vocab": vocab_folder, "work": tmp_path / "work"}
    build_corpus(inputs, out=tmp_path / "1", **options)
    before = parts_of(tmp_path / "work")
    assert len(before) > 10
    missing = set(sorted(before)[::5])
    for name in missing:
        shutil.rmtree(tmp_path / "work" / name)
    build_corpus(inputs, out=tmp_path / "2", ray=True, **options)
    after = parts_of(tmp_path / "work")
    assert {name for name in before if after[name] != before[name]} == missing
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_a_file_that_is_given_twice_is_read_once(two_workers, vocab_folder, inputs, tmp_path):
    twice = ["ko=bad.jsonl", f"ko={tmp_path / 'bad.jsonl'}"]
    assert len(_items(find_sources(twice))) == 1
    manifest = build_corpus(twice, vocab=vocab_folder, out=tmp_path / "c", ray=True)
    assert [row.dropped.get("exact copy", 0) for row in manifest.counts] == [0, 2]


def test_a_fault_is_the_same_error_as_on_one_machine(two_workers, vocab_folder, inputs, tmp_path):
    messages = []
    for options in ({}, {"ray": True}):
        with pytest.raises(InputError) as error:
            build_corpus(inputs, vocab=vocab_folder, out=tmp_path / "c", strict=True, **options)
        messages.append(str(error.value))
    assert messages[0].startswith("bad.jsonl:2: no field")
    assert messages[0] == messages[1]
    assert not (tmp_path / "c").exists()


def test_a_disk_that_cannot_be_written_is_said(two_workers, vocabulary, tmp_path):
    (tmp_path / "file").touch()
    maker = PartMaker(tmp_path / "file" / "work", vocabulary, "rules", 1_000)
    with pytest.raises(NotADirectoryError):
        make(maker)


class Elsewhere(PartMaker):
    """In worker processes, one that writes to another folder, as where disks are not shared."""

    def __reduce__(self):
        return PartMaker, (self.steps.folder / "elsewhere", self._vocabulary, "rules", 1_000)


class Deadly(PartMaker):
    def __reduce__(self):
        return os._exit, (1,)


def make(maker):
    sources = find_sources([SAMPLE / "languages" / "en.txt"])
    make_parts_with_ray(sources, maker, workers=1, strict=False)


def test_machines_that_do_not_share_a_disk(two_workers, vocabulary, tmp_path):
    with pytest.raises(InputError, match="all machines must see it"):
        make(Elsewhere(tmp_path, vocabulary, "rules", 1_000))


def test_a_worker_that_dies_again_and_again(two_workers, vocabulary, tmp_path):
    with pytest.raises(ChildError, match=r"^a worker process of Ray died.*are kept$"):
        make(Deadly(tmp_path, vocabulary, "rules", 1_000))


def test_workers_are_refused_where_ray_runs_already(
    two_workers, vocab_folder, sample_inputs, tmp_path
):
    with pytest.raises(InputError, match="leave them out"):
        build_corpus(sample_inputs, vocab=vocab_folder, out=tmp_path / "c", ray=True, workers=2)


@pytest.mark.parametrize("address", ["nowhere", "localhost:1", "localhost:port"])
def test_an_address_where_no_cluster_is(
    vocab_folder, sample_inputs, tmp_path, monkeypatch, address
):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=f"^RAY_ADDRESS={address}: no Ray cluster answers"):
        build_corpus(sample_inputs, vocab=vocab_folder, out=tmp_path / "c", ray=True)


def processes_with(mark):
    """The processes that were started with ``mark`` in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_text())
    return found


@pytest.fixture
def start(vocab_folder, tmp_path):
    """Starts a build with a Ray of its own, of whose processes none is left after the test."""
    mark = f"KOBERT_TEST={tmp_path}"
    # A program started in the background of a shell has Ctrl-C ignored, and so have its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments):
        command = [sys.executable, "-m", "kobert_kit", "corpus", "build", *map(str, arguments)]
        command += ["--vocab", vocab_folder, "--out", tmp_path / "c", "--ray", "--workers", "2"]
        return subprocess.Popen(
            command,
            env=dict([*os.environ.items(), mark.split("=", 1)]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    yield start
    signal.signal(signal.SIGINT, before)
    # Ray's processes see within a second that the one that they served has gone.
    give_up = time.monotonic() + 10
    while processes_with(mark) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not processes_with(mark)


@pytest.mark.slow
def test_the_command_says_a_fault_in_one_line_and_nothing_more(start, tmp_path):
    (tmp_path / "bad.jsonl").write_text(BAD, encoding="utf-8")
    build = start(f"ko={tmp_path / 'bad.jsonl'}", "--strict")
    out, error = build.communicate(timeout=60)
    assert (build.returncode, out) == (2, "")
    assert error.startswith(f"kobert: {tmp_path}/bad.jsonl:2: no field")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_ends_the_command_and_keeps_its_parts(start, tmp_path):
    work = tmp_path / "work"
    build = start(SAMPLE, "--work", work)
    while not any(work.glob("part-*")):
        assert build.poll() is None, build.communicate()
        time.sleep(0.01)
    os.killpg(build.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches Ray's processes too
    out, error = build.communicate(timeout=60)
    assert (build.returncode, out, error) == (130, "", "kobert: stopped\n")
    assert not (tmp_path / "c").exists()
    assert parts_of(work)


def test_ray_that_is_not_installed(vocab_folder, sample_inputs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = r"^--ray needs ray: pip install 'kobert-kit\[ray\]'$"
    with pytest.raises(InputError, match=message):
        build_corpus(sample_inputs, vocab=vocab_folder, out=tmp_path / "c", ray=True)
