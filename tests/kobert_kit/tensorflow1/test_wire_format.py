from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.tensorflow1.faults import Damaged
from kobert_kit.tensorflow1.wire_format import (
    fixed32_field,
    message_field,
    number_field,
    read_fields,
    read_varint,
    varint,
)

KINDS = {1: "varint", 2: "message", 3: "fixed32"}


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_number_comes_back_wherever_it_stands(value, before):
    data = before + varint(value) + b"\xff"
    assert read_varint(data, len(before)) == (value, len(data) - 1)


def test_a_number_has_the_bytes_of_the_specification():
    assert varint(150) == b"\x96\x01"  # the example of protobuf.dev, "Encoding"
    assert number_field(1, 150) == b"\x08\x96\x01"
    assert message_field(2, b"testing") == b"\x12\x07testing"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "past the end"),
        (b"\xff\xff", "past the end"),
        (b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x80" * 11, "more than 64 bits"),
    ],
)
def test_a_number_without_an_end_is_refused(data, message):
    with pytest.raises(Damaged, match=message):
        read_varint(data, 0)


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(max_size=5)), st.integers(0, 2**32 - 1))
def test_fields_come_back(number, messages, fixed):
    data = b"".join(message_field(2, message) for message in messages)
    fields = read_fields(data + number_field(1, number) + fixed32_field(3, fixed), KINDS)
    assert (fields.number(1), fields.number(3)) == (number, fixed)
    assert fields.messages.get(2, []) == messages


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (number_field(4, 1), "field 4 of wire type 0"),
        (message_field(1, b""), "field 1 of wire type 2"),
        (number_field(1, 1) * 2, "field 1 is there twice"),
        (fixed32_field(3, 1) * 2, "field 3 is there twice"),
        (message_field(2, b"abc")[:-1], "runs past the end"),
        (fixed32_field(3, 1)[:-1], "runs past the end"),
        (b"\x12" + varint(2**63), "runs past the end"),
    ],
)
def test_other_fields_are_refused(data, message):
    with pytest.raises(Damaged, match=message):
        read_fields(data, KINDS)


@given(st.binary())
def test_any_bytes_are_fields_or_damaged(data):
    with suppress(Damaged):
        read_fields(data, KINDS)
