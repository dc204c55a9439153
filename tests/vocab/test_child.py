import os
from pathlib import Path

import pytest

from kobert_vocab.child import ChildError, run_in_child


def test_it_calls_the_function_in_another_process(tmp_path: Path) -> None:
    run_in_child("os", "mkdir", {"path": "made"}, folder=tmp_path)
    assert (tmp_path / "made").is_dir()


def test_an_exception_is_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ChildError, match=r"os.strerror ended with 1:\n(.*\n)*TypeError"):
        run_in_child("os", "strerror", {"a": "b"}, folder=tmp_path, log=log)
    assert "Traceback" in log.read_text()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ChildError) as error:
        run_in_child("os", "mkdir", {"path": "a/b"}, folder=tmp_path, log=tmp_path / "log")
    assert str(error.value).splitlines()[1:] == ["No such file or directory: a/b"]


def test_an_abort_is_an_error_here_and_no_more() -> None:
    with pytest.raises(ChildError, match=r"os.abort ended with -6"):
        run_in_child("os", "abort", {})
    assert os.getpid()


def test_no_module_is_found_in_the_folder_it_stands_in(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("def call(): pass")
    with pytest.raises(ChildError, match="ModuleNotFoundError"):
        run_in_child("planted", "call", {}, folder=tmp_path, log=tmp_path / "log")
