import json
import shutil
from pathlib import Path

import pytest

from kobert_vocab import InputError
from kobert_vocab.report import write_card_page


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "somebody" / "vocabulary"))


def test_the_page_is_the_same_again_wherever_it_is_made(copied: Path, tmp_path: Path) -> None:
    write_card_page(copied)
    first = (copied / "report.html").read_bytes()
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    write_card_page(other)
    assert (other / "report.html").read_bytes() == first
    assert b"somebody" not in first
    assert str(tmp_path).encode() not in first


def test_only_the_seconds_differ_with_the_seconds(copied: Path) -> None:
    write_card_page(copied)
    first = (copied / "report.html").read_text(encoding="utf-8").splitlines()
    card = json.loads((copied / "vocabulary.json").read_text(encoding="utf-8"))
    card["seconds"] = dict.fromkeys(card["seconds"], 1234.5)
    (copied / "vocabulary.json").write_text(json.dumps(card), encoding="utf-8")
    write_card_page(copied)
    second = (copied / "report.html").read_text(encoding="utf-8").splitlines()
    changed = [b for a, b in zip(first, second, strict=True) if a != b]
    assert changed
    assert all("seconds: " in line and "1234.5" in line for line in changed)
    assert len(changed) == len(card["seconds"])


def test_it_says_what_the_card_says(copied: Path) -> None:
    path = copied / "vocabulary.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    card["something new"] = {"rate": 0.25, "<b>": ["x"]}
    path.write_text(json.dumps(card), encoding="utf-8")
    write_card_page(copied)
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert card["corpus"]["fingerprint"] in page
    assert "something new: rate" in page
    assert "something new: &lt;b&gt;" in page
    assert "<b>: " not in page
    for text in (
        "Chinese (simplified)",
        "2,350 / 2,350",
        "51 / 51",
        "ㅋㅋㅋㅋ",
        "prefers-color-scheme",
    ):
        assert text in page


def test_a_card_without_languages_or_seconds_is_shown(copied: Path) -> None:
    (copied / "vocabulary.json").write_text('{"options": {"size": 1}}', encoding="utf-8")
    write_card_page(copied)
    assert "options: size" in (copied / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no vocabulary.json"), ("{", "not JSON"), ("[]", "not the card of a vocabulary")],
)
def test_what_is_no_vocabulary(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "vocabulary.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        write_card_page(tmp_path)
    assert not (tmp_path / "report.html").exists()
