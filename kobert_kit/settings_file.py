"""TOML files of settings: read, and a mistyped key named with the one that was meant."""

import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kobert_vocab.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from error


def check_key(key: str, known: Collection[str], path: Path, where: str) -> None:
    """Refuse a key that is not known.

    Raises:
        InputError: says which key was meant, or which there are.
    """
    if key not in known:
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise InputError(f"{path}: no setting {key!r}{where}; {hint}")
