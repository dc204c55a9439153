"""The kernels as a project of Hugging Face's kernel-builder: ``kobert export --to kernels-hub``.

The builder adds ``_ops.py``, with a namespace of operators for each build, and ``metadata.json``;
what it makes is loaded by `kernels.get_kernel`.
"""

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder

PACKAGE = "kobert_kernels"
# Tools of this repository, of which some import more than a kernel may; the builder's own file.
LEFT_OUT = ("_ops.py", "audit", "bench.py", "peers.py", "tune.py")
SUFFIXES = (".py", ".json")
NAME = re.compile(r"[\w.-]+/[\w.-]+")
UNKNOWN = "OWNER/kobert-kernels"  # as the templates have it


def export_kernels(out: Path, *, repository: str | None = None) -> None:
    """Write ``build.toml``, ``torch-ext/``, ``tests/``, ``CARD.md`` and ``flake.nix``.

    Args:
        out: folder to make.
        repository: OWNER/NAME on the hub, where it will be published; without it the line in
            ``build.toml`` waits to be filled in.

    Raises:
        InputError: ``repository`` is no such name, or ``out`` exists.
    """
    if repository is not None and not NAME.fullmatch(repository):
        raise InputError(f"repository is {repository!r}; write OWNER/NAME")
    with new_folder(out) as partial:
        _copy_package(partial / "torch-ext" / PACKAGE)
        for name in ("build.toml", "CARD.md", "flake.nix", "tests/test_parity.py"):
            _write_template(name, partial, repository)


def _copy_package(out: Path) -> None:
    spec = find_spec(PACKAGE)  # found, not imported: that would bring torch
    assert spec is not None  # it is part of this distribution
    assert spec.origin is not None
    source = Path(spec.origin).parent
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.suffix in SUFFIXES and name.parts[0] not in LEFT_OUT:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(path, out / name)


def _write_template(name: str, out: Path, repository: str | None) -> None:
    text = files("kobert_kit.export").joinpath("kernels_project", name).read_text("utf-8")
    if repository is not None:
        text = text.replace("# [general.hub]\n# repo-id", "[general.hub]\nrepo-id")
        text = text.replace(UNKNOWN, repository)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text(text, encoding="utf-8")
