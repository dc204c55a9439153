"""Where documents lie, against the same in plain Python."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.drop_in.layout import layout_by_bounds, layout_of
from kobert_vocab.errors import InputError

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)
CPU = torch.device("cpu")

# Rows of documents: tokens of padding before, the documents' lengths, the first position.
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(1, 9), max_size=4), st.integers(0, 2)),
    min_size=1,
    max_size=5,
)


def batch_of(rows):
    """Mask and positions, padded with 7; and the places of each document."""
    length = max(before + sum(sizes) for before, sizes, _ in rows)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    positions = torch.full_like(mask, 7)
    documents = []
    for number, (before, sizes, first) in enumerate(rows):
        place = before
        for size in sizes:
            mask[number, place : place + size] = 1
            positions[number, place : place + size] = torch.arange(first, first + size)
            documents.append([number * length + place + i for i in range(size)])
            place += size
    return length, mask, positions, documents


@PROPERTY
@given(ROWS)
def test_packed_and_padded_rows(rows):
    length, mask, positions, documents = batch_of(rows)
    layout = layout_of(len(rows), length, CPU, mask=mask, positions=positions)
    places = [place for document in documents for place in document]
    found = list(range(mask.numel())) if layout.places is None else layout.places.tolist()
    assert found == places
    assert layout.cu_seqlens.diff().tolist() == [len(document) for document in documents]
    assert layout.cu_seqlens.dtype == torch.int32
    assert layout.max_seqlen == max(map(len, documents), default=0)
    assert layout.whole
    assert (layout.places is None) == bool(mask.all())


@PROPERTY
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5))
def test_any_mask(rows):
    mask = torch.tensor(rows)
    layout = layout_of(*mask.shape, CPU, mask=mask)
    sizes = [sum(row) for row in rows if any(row)]
    assert layout.cu_seqlens.diff().tolist() == sizes
    gaps = ["0" in "".join("01"[real] for real in row).strip("0") for row in rows]
    assert layout.whole == (not any(gaps))


@PROPERTY
@given(ROWS)
def test_tokens_come_back_to_their_places(rows):
    length, mask, positions, _ = batch_of(rows)
    layout = layout_of(len(rows), length, CPU, mask=mask, positions=positions)
    x = torch.randn(len(rows), 2, length, 3)
    there_and_back = layout.in_rows(layout.end_to_end(x), len(rows), length)
    assert torch.equal(there_and_back, x.transpose(1, 2) * mask[:, :, None, None])


def test_a_position_for_each_token_of_all_rows():
    layout = layout_of(2, 4, CPU, positions=torch.tensor([[0, 1, 0, 1]]))
    assert layout.cu_seqlens.tolist() == [0, 2, 4, 6, 8]


def test_rows_may_begin_at_any_position():
    positions = torch.tensor([[5, 6, 5], [0, 1, 2]])
    assert layout_of(2, 3, CPU, positions=positions).cu_seqlens.tolist() == [0, 2, 3, 6]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0, 1, 3, 4], "from 1 to 3 at token 6 of the batch: .* go back to 0"),
        ([2, 3, 4, 1], "from 4 to 1 at token 7 of the batch: .* go back to 2"),
        ([0, 1, 2, 2], "from 2 to 2 at token 7"),
    ],
)
def test_positions_that_go_on_strangely_are_refused(row, words):
    with pytest.raises(InputError, match=words):
        layout_of(2, 4, CPU, positions=torch.tensor([[0, 1, 2, 3], row]))


@pytest.mark.parametrize("shape", [(2, 3), (4,), (3, 1, 4, 4), (3, 4, 4)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"attention_mask is .* must be \[3, 4\]"):
        layout_of(3, 4, CPU, mask=torch.ones(shape))


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 5)])
def test_positions_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"position_ids are .* must be \[3, 4\] or \[1, 4\]"):
        layout_of(3, 4, CPU, positions=torch.zeros(shape, dtype=torch.long))


def by_bounds(bounds, positions, rows=1):
    positions = None if positions is None else torch.tensor([positions])
    return layout_by_bounds(rows, 6, CPU, bounds=torch.tensor(bounds), positions=positions)


def test_bounds_say_where_documents_lie():
    layout = by_bounds([0, 2, 2, 5], [0, 1, 0, 1, 2, 0])
    assert layout.cu_seqlens.tolist() == [0, 2, 2, 5]  # the last token is in none
    assert layout.cu_seqlens.dtype == torch.int32
    assert (layout.places, layout.max_seqlen, layout.whole) == (None, 3, True)


@pytest.mark.parametrize(
    ("bounds", "positions", "rows", "words"),
    [
        ([0, 6], [0, 1, 2, 3, 4, 5], 2, "for one row of documents, not for 2"),
        ([1, 6], [0] * 6, 1, "must rise from 0 to 6 at most, got 1, 6"),
        ([0, 7], [0] * 6, 1, "got 0, 7"),
        ([0, 4, 3, 6], [0] * 6, 1, "got 0, 4, 3, 6"),
        ([0.0, 6.0], [0] * 6, 1, "whole numbers"),
        ([[0, 6]], [0] * 6, 1, r"int64 \[1, 2\]"),
        ([0, 2, 6], None, 1, "without position_ids"),
        ([0, 2, 6], [0, 1, 2, 3, 4, 5], 1, "the documents begin at 0, 2"),
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds, positions, rows, words):
    with pytest.raises(InputError, match=words) as refused:
        by_bounds(bounds, positions, rows)
    assert "\n" not in str(refused.value)
