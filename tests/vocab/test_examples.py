import doctest
import importlib
import pkgutil

import pytest

import kobert_vocab

MODULES = [
    "kobert_vocab",
    *(f"kobert_vocab.{m.name}" for m in pkgutil.iter_modules(kobert_vocab.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
