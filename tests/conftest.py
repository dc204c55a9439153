"""What every test needs to know of the machine: a GPU, real corpora."""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@cache
def has_cuda():
    # Those who only build vocabularies have no torch, and run the tests of that without it.
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


if not has_cuda():
    # Kernels run in Triton's interpreter. Triton reads the variable when a kernel is defined, so
    # this must come before anything imports it.
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not has_cuda():
        pytest.skip("needs a CUDA device")
    if item.get_closest_marker("corpora") and not CORPORA.is_dir():
        pytest.skip("needs the real corpora in ../shared/corpora")


@pytest.fixture(scope="session")
def corpora():
    """The folder of real corpora; for tests marked so."""
    return CORPORA
