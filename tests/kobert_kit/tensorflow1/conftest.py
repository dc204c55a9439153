"""The checkpoints that TensorFlow wrote, and what is in them."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def written():
    """What `write_checkpoints.py` defines; it needs TensorFlow only to write."""
    return SimpleNamespace(**runpy.run_path(str(HERE / "write_checkpoints.py")))


@pytest.fixture(scope="session")
def bert():
    return HERE / "bert"


@pytest.fixture(scope="session")
def shards():
    return HERE / "shards"


@pytest.fixture(scope="session")
def partitioned():
    return HERE / "partitioned"
