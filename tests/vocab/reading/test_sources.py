import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kobert_vocab import Source

Write = Callable[[str, str | bytes], Path]


def test_a_file_is_another_once_changed(write: Write) -> None:
    source = Source(path=write("a.txt", "가"), language="ko")
    first = source.identity()
    assert source.identity() == first
    status = source.path.stat()
    os.utime(source.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = source.identity()
    source.path.write_text("가나", encoding="utf-8")
    os.utime(source.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    longer = source.identity()
    other = Source(path=write("b.txt", "가"), language="ko")
    os.utime(other.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    untagged = replace(source, language="und").identity()
    guessed = replace(source, guessed=True).identity()
    assert len({first, touched, longer, other.identity(), untagged, guessed}) == 6


def test_a_file_is_the_same_by_any_path(write: Write, tmp_path: Path) -> None:
    path = write("d/a.txt", "가")
    (tmp_path / "link").symlink_to(path)
    names = [path, tmp_path / "d" / ".." / "d" / "a.txt", tmp_path / "link"]
    assert len({Source(path=name, language="ko").identity() for name in names}) == 1


def test_a_folder_is_another_once_a_file_in_it_has_changed(write: Write, tmp_path: Path) -> None:
    write("d/state.json", "{}")
    source = Source(path=tmp_path / "d", language="ko")
    first = source.identity()
    write("d/data.arrow", "x")
    assert source.identity() != first
    assert source.size() == 3


def test_a_data_set_of_the_hub_is_its_name_config_and_revision() -> None:
    source = Source(path=Path("o/n"), language="ko", config="c", revision="1")
    others = [replace(source, **change) for change in ({"config": "d"}, {"revision": "2"})]
    assert len({s.identity() for s in (source, *others, replace(source, path=Path("o/m")))}) == 4
    assert source.identity() == replace(source).identity()
    assert source.size() is None
    assert str(source) == "o/n:c"


def test_the_path_stays_out_of_the_identity(write: Write) -> None:
    path = write("secret.txt", "가")
    assert "secret" not in Source(path=path, language="ko").identity()
