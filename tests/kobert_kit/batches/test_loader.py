from dataclasses import fields

import numpy as np
import pytest

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.loader import load
from kobert_kit.batches.options import Masking, Phase

STEPS = range(5, 11)


@pytest.fixture(scope="module")
def batches(corpus, vocabulary):
    return Batches(
        *(corpus, vocabulary),
        seed=3,
        windows=8,
        length=48,
        masking=Masking(unit="word", rate=0.3, last_rate=0.1, steps=9),
        phases=[Phase(windows=60), Phase(alpha=1)],  # the change falls into the steps
    )


def assert_same(some, others):
    some, others = [batch for share in some for batch in share], list(others)
    assert len(some) == len(others) > 0
    for a, b in zip(some, others, strict=True):
        for field in fields(a):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on few cores
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_workers_change_nothing(batches, workers):
    assert_same(load(batches, STEPS, workers=workers), (batches[step] for step in STEPS))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_from_any_step(batches, workers):
    whole = [batch for share in load(batches, STEPS, workers=workers) for batch in share]
    for step in STEPS:
        assert_same(load(batches, range(step, STEPS.stop)), whole[step - STEPS.start :])


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_each_rank_gets_its_part(batches, ranks):
    for rank in range(ranks):
        parts = [batches.part(step, rank, ranks) for step in STEPS]
        assert_same(load(batches, STEPS, rank=rank, ranks=ranks), parts)
