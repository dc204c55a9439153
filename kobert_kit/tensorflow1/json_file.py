"""JSON objects from files that may come from anybody."""

import json
from pathlib import Path
from typing import Any

from kobert_vocab.errors import InputError


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        InputError: there is no such file, or something else in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; copy it here from where the model is") from error
    except (ValueError, RecursionError) as error:  # not JSON or UTF-8, numbers of 5,000 digits
        raise InputError(f"{path}: not JSON ({error}); copy it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; copy it again")
    return content


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write an object as a person reads it."""
    text = json.dumps(content, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
