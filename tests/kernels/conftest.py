"""The kernels run on a GPU where there is one and in Triton's interpreter where there is none."""

import os
import sys

import pytest
import torch

if not torch.cuda.is_available():
    # Triton reads the variable when a kernel is defined, so this must come before its first import.
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("triton was imported before tests/kernels/conftest.py could set it up")
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module", autouse=True)
def poisoned_memory():
    """New memory holds NaN, so that an element no kernel wrote cannot pass for a result."""
    plain = {name: getattr(torch, name) for name in ("empty", "empty_like")}

    def poisoned(name):
        def allocate(*args, **kwargs):
            tensor = plain[name](*args, **kwargs)
            return tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor

        return allocate

    with pytest.MonkeyPatch.context() as patch:
        for name in plain:
            patch.setattr(torch, name, poisoned(name))
        yield
