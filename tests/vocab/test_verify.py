import json
import shutil
from pathlib import Path

import pytest

from kobert_vocab import InputError, verify


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_passes_and_counts(trained: Path) -> None:
    own = verify(trained)
    assert own > 600
    assert verify(trained, ["가", "나"]) == own + 2


def test_literal_specials_are_plain_text(trained: Path) -> None:
    assert verify(trained, ["[MASK] 가[SEP]", "[PAD]"]) == verify(trained) + 2


def test_no_training_text_is_in_the_self_test(trained: Path, corpus: Path) -> None:
    lines = [line for file in corpus.iterdir() for line in file.read_text("utf-8").splitlines()]
    rows = (trained / "selftest.jsonl").read_text(encoding="utf-8").splitlines()
    assert not set(lines) & {json.loads(row)["text"] for row in rows}


@pytest.mark.parametrize(
    ("broken", "seen_on"),
    [
        (lambda t: t["normalizer"]["normalizers"].pop(0), "NFC"),
        (lambda t: t["normalizer"]["normalizers"].pop(), "trailing blanks"),
        (lambda t: t["pre_tokenizer"].update(prepend_scheme="always"), "nothing"),
        (lambda t: t["pre_tokenizer"].update(prepend_scheme="never"), "all"),
        (lambda t: t["model"].update(byte_fallback=False), "rare characters"),
        (lambda t: t["model"]["vocab"][105 + 0x41].__setitem__(1, 0.0), "<0x41>"),
        (lambda t: t["model"]["vocab"][361].__setitem__(1, -99.0), "one piece"),
    ],
)
def test_a_wrong_tokenizer_is_caught(copy: Path, broken, seen_on: str) -> None:
    edit(copy / "tokenizer.json", broken)
    if seen_on == "nothing":  # the two differ beside a mask alone
        assert verify(copy)
        return
    with pytest.raises(InputError, match=r"spm.model and tokenizer.json differ on ['\"]"):
        verify(copy)


def test_first_difference_is_shown(copy: Path) -> None:
    edit(copy / "tokenizer.json", lambda t: t["model"].update(byte_fallback=False))
    with pytest.raises(InputError, match=r"from piece \d+: \[.*<0x.*\] against \[.*UNK"):
        verify(copy)


def test_ids_that_changed_since_are_caught(copy: Path) -> None:
    path = copy / "selftest.jsonl"
    rows = path.read_text(encoding="utf-8").splitlines()
    rows[3] = json.dumps({"text": "가", "ids": [9, 9]})
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(InputError, match=r"the self-test '가' gives \[.*\], not \[9, 9\]"):
        verify(copy)


@pytest.mark.parametrize("name", ["spm.model", "tokenizer.json", "selftest.jsonl"])
def test_missing_or_broken_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_text("{]")
    with pytest.raises(InputError, match=name):
        verify(copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"not a.* vocabulary .*no {name}"):
        verify(copy)
