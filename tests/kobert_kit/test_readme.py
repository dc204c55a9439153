"""The README's commands and snippets, run as they stand there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    return BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def without_comments(text):
    return re.sub(r"  #.*", "", text)


def test_both_readmes_have_the_same_code():
    english, korean = blocks("README.md"), blocks("README.ko.md")
    assert [without_comments(code) for _, code in english] == [
        without_comments(code) for _, code in korean
    ]


@pytest.mark.slow
def test_commands_and_snippets_run(tmp_path):
    for name in ("kobert_kit", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = 0
    for language, code in blocks("README.md"):
        if language == "python":
            run([sys.executable, "-W", "error", "-c", code], tmp_path)
        elif code.startswith("kobert "):
            for line in code.splitlines():
                run(
                    [sys.executable, "-m", *shlex.split(line.replace("kobert", "kobert_kit", 1))],
                    tmp_path,
                )
                commands += 1
    assert commands == 6
    assert (tmp_path / "work/run/report.html").exists()


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
