"""Folders that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kobert_vocab.errors import InputError


def refuse_existing(out: Path) -> None:
    """Stop early when ``out`` cannot become a new folder.

    Raises:
        InputError: it is a file, or a folder with something in it.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise InputError(f"{out}: already there; delete it or choose another --out")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill: it becomes ``out`` when the block ends well, and vanishes otherwise.

    Raises:
        InputError: ``out`` is a file, or a folder with something in it.
    """
    refuse_existing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, so that the last step is one rename within one file system.
    with TemporaryDirectory(
        dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True
    ) as partial:
        yield Path(partial)
        umask = os.umask(0)
        os.umask(umask)
        Path(partial).chmod(0o777 & ~umask)  # TemporaryDirectory keeps others out
        Path(partial).replace(out)
