"""The kernels run on a GPU where there is one and in Triton's interpreter where there is none."""

import pytest
import torch

from kobert_kernels.parity import poisoned_memory


@pytest.fixture(scope="session")
def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module", autouse=True)
def nan_in_new_memory():
    with poisoned_memory():
        yield
