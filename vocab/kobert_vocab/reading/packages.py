"""Packages that only some kinds of input need, imported when the first of these is read."""

import importlib
from types import ModuleType

from kobert_vocab.errors import InputError

# What is not here is of the extra ``hub``.
EXTRAS = {"mwparserfromhell": "web", "warcio": "web"}


def import_late(name: str) -> ModuleType:
    """The module ``name``.

    Raises:
        InputError: its package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(name.partition(".")[0], "hub")
        raise InputError(f"this needs {error.name}: pip install 'kobert-kit[{extra}]'") from error
