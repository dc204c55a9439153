"""The commands and snippets of the README and of the tutorials, run as they stand there."""

import re
import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# English, Korean, the commands in each, and what they must leave.
PAGES = [
    ("README.md", "README.ko.md", 8, "work/run/report.html"),
    ("docs/vocabulary.md", "docs/vocabulary.ko.md", 10, "work/comparison.html"),
    ("docs/corpus.md", "docs/corpus.ko.md", 5, "work/corpus.html"),
    ("docs/pretraining.md", "docs/pretraining.ko.md", 3, "."),
    ("docs/clusters.md", "docs/clusters.ko.md", 2, "."),
    ("docs/models.md", "docs/models.ko.md", 0, "."),
]


def blocks(name):
    return BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def without_comments(text):
    return re.sub(r"(?:^|  )#.*", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("english", "korean"), [page[:2] for page in PAGES])
def test_both_languages_have_the_same_code(english, korean):
    assert [without_comments(code) for _, code in blocks(english)] == [
        without_comments(code) for _, code in blocks(korean)
    ]


@pytest.mark.parametrize("name", ["vocabulary", "corpus", "pretraining", "models"])
def test_the_tables_are_those_of_the_results(name):
    made = run([sys.executable, f"benchmarks/{name}_table.py"], ROOT).strip()
    for page in (f"docs/{name}.md", f"docs/{name}.ko.md"):
        assert made in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)  # all commands of a page, on a machine that does other things too
@pytest.mark.parametrize(("page", "count", "made"), [(p[0], *p[2:]) for p in PAGES])
def test_commands_and_snippets_run(page, count, made, tmp_path):
    """A ``text`` block behind a snippet is what it prints; one that needs the hub says so."""
    for name in ("kobert_kit", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = 0
    found = blocks(page)
    for (language, code), (following, shown) in zip_longest(found, found[1:], fillvalue=("", "")):
        if code.startswith("# needs "):
            continue
        if language == "python":
            printed = run([sys.executable, "-W", "error", "-c", code], tmp_path)
            assert following != "text" or printed == shown, code
        elif code.startswith("kobert "):
            for line in code.splitlines():
                run(
                    [sys.executable, "-m", *shlex.split(line.replace("kobert", "kobert_kit", 1))],
                    tmp_path,
                )
                commands += 1
    assert commands == count
    assert (tmp_path / made).exists()


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
