"""The kernels run on a GPU where there is one and in Triton's interpreter where there is none."""

import pytest
import torch


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
