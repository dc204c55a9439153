from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.loader import load
from kobert_kit.batches.options import DataConfig
from kobert_kit.batches.ramp import Ramp


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 60))
def test_batches_grow_until_they_are_full(first, stages, steps):
    ramp = Ramp(first * stages, first, steps)
    sizes = [ramp.windows(step) for step in range(70)]
    assert sizes == sorted(sizes)
    assert all(size % first == 0 for size in sizes)
    assert set(sizes[steps:]) == {first * stages}
    if steps >= stages > 1:
        assert sizes[0] == first
        assert sizes[steps - 1] < first * stages
    assert [ramp.before(step) for step in range(70)] == [sum(sizes[:step]) for step in range(70)]


def test_the_stretches_are_equal():
    ramp = Ramp(40, 10, 9)
    assert [ramp.windows(step) for step in range(11)] == [10] * 3 + [20] * 3 + [30] * 3 + [40] * 2


def test_no_window_is_left_out_or_read_twice(corpus, vocabulary):
    data = DataConfig(length=48, windows=12, first_windows=4, ramp_steps=4)
    growing = Batches.of(corpus, vocabulary, 5, data)
    even = Batches.of(corpus, vocabulary, 5, DataConfig(length=48, windows=4))
    shares = list(load(growing, range(6), micro_batches=3))
    assert [len(share) for share in shares] == [1, 1, 2, 2, 3, 3]
    parts = [batch for share in shares for batch in share]
    for number, part in enumerate(parts):
        assert part.tokens.tolist() == even[number].tokens.tolist()


def test_a_ramp_is_part_of_what_a_batch_is(corpus, vocabulary):
    plain = Batches.of(corpus, vocabulary, 5, DataConfig(length=48, windows=12))
    ramp = {"first_windows": 4, "ramp_steps": 4}
    growing = Batches.of(corpus, vocabulary, 5, DataConfig(length=48, windows=12, **ramp))
    assert plain.fingerprint != growing.fingerprint
