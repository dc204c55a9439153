import itertools
import struct
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.tensorflow1 import sorted_table
from kobert_kit.tensorflow1.masked_crc import masked_crc
from kobert_kit.tensorflow1.sorted_table import MAGIC, read_table, write_table
from kobert_kit.tensorflow1.wire_format import varint
from kobert_vocab.errors import InputError

ITEMS = [(b"", b"head"), *((f"layer_{i:03d}/x".encode(), bytes([i]) * i) for i in range(12))]
TABLES = st.dictionaries(st.binary(max_size=12), st.binary(max_size=20), min_size=1, max_size=60)


def entry(shared, key, value, size=None):
    """One entry of a block, right or wrong."""
    length = len(value) if size is None else size
    return varint(shared) + varint(len(key)) + varint(length) + key + value


def block(*entries, restarts=(0,), count=None):
    numbers = [*restarts, len(restarts) if count is None else count]
    return b"".join(entries) + struct.pack(f"<{len(numbers)}I", *numbers)


def sealed(content, compression=0):
    typed = content + bytes([compression])
    return typed + struct.pack("<I", masked_crc(typed))


def table(*blocks, bounds=None, handles=None, compression=0):
    """A table of blocks that are given, each with a right checksum."""
    data, places = b"", []
    for content in blocks:
        places.append((len(data), len(content)))
        data += sealed(content, compression)
    bounds = bounds or [b"\xff%d" % n for n in range(len(blocks))]
    pointers = handles or [varint(begin) + varint(size) for begin, size in places]
    rows = [entry(0, bound, to) for bound, to in zip(bounds, pointers, strict=True)]
    starts = [sum(map(len, rows[:n])) for n in range(len(rows))]
    meta, index = block(), block(*rows, restarts=starts)
    footer = varint(len(data)) + varint(len(meta))
    data += sealed(meta)
    footer += varint(len(data)) + varint(len(index))
    data += sealed(index)
    return data + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def read(tmp_path, data):
    path = Path(tmp_path) / "t.index"
    path.write_bytes(data)
    return read_table(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@given(items=TABLES, size=st.sampled_from([1, 40, 300, sorted_table.BLOCK]))
def test_items_come_back_from_one_block_or_many(folder, items, size):
    expected = sorted(items.items())
    with mock.patch.object(sorted_table, "BLOCK", size):
        write_table(folder / "t.index", expected)
    assert read_table(folder / "t.index") == expected


def test_keys_leave_out_what_they_share(folder):
    write_table(folder / "t.index", [(b"name" * 100 + b"%d" % n, b"") for n in range(9)])
    assert (folder / "t.index").stat().st_size < 1_000  # 9 x 400 without, and one in the index


def test_keys_that_do_not_go_up_are_not_written(folder):
    for items in (ITEMS[::-1], [*ITEMS, ITEMS[-1]]):
        with pytest.raises(ValueError, match="must go up"):
            write_table(folder / "t.index", items)


def test_the_hand_made_table_is_a_table(folder):
    assert read(folder, table(block(entry(0, b"a", b"1")))) == [(b"a", b"1")]
    both = block(entry(0, b"ab", b"1"), entry(1, b"c", b"2"))
    assert read(folder, table(both)) == [(b"ab", b"1"), (b"ac", b"2")]


A, B = block(entry(0, b"a", b"1")), block(entry(0, b"b", b"2"))
HARMFUL = {
    "twice in a block": (table(block(entry(0, b"a", b""), entry(1, b"", b""))), "out of order"),
    "twice in two": (table(A, A), "out of order|there twice"),
    "going down": (table(B, A, bounds=[b"b", b"c"]), "out of order"),
    "outside its bound": (table(B, bounds=[b"a"]), "outside its block's bound"),
    "below the bound before": (table(A, B, bounds=[b"c", b"d"]), "out of order"),
    "one block read again": (
        table(A, bounds=[b"a", b"b"], handles=[varint(0) + varint(len(A))] * 2),
        "overlaps another",
    ),
    "a handle with a tail": (
        table(A, handles=[varint(0) + varint(len(A)) + b"\0"]),
        "overlaps another",
    ),
    "a block beyond the end": (
        table(A, handles=[varint(2**63) + varint(2**63)]),
        "runs past the end",
    ),
    "an empty block": (table(block()), "list of whole keys"),
    "no block at all": (table(), "list of whole keys"),
    "a block of two bytes": (table(b"ab"), "list of whole keys"),
    "endless restarts": (table(block(entry(0, b"a", b""), count=2**32 - 1)), "list of whole keys"),
    "no restarts": (table(block(entry(0, b"a", b""), count=0)), "list of whole keys"),
    "a restart twice": (
        table(block(entry(0, b"a", b"1"), restarts=[0, 0])),
        "names others",
    ),
    "restart within an entry": (table(block(entry(0, b"a", b"1"), restarts=[1])), "names others"),
    "restart at a shared key": (
        table(block(entry(0, b"a", b""), entry(1, b"b", b""), restarts=[0, 4])),
        "names others",
    ),
    "shares more than there is": (table(block(entry(1, b"a", b""))), "runs past its end"),
    "a value past the end": (table(block(entry(0, b"a", b"", size=99))), "runs past its end"),
    "a value of 2**64": (table(block(entry(0, b"a", b"", size=2**64 - 1))), "runs past its end"),
    "a key without an end": (
        table(block(entry(0, b"k" * 1_000, b""), entry(1_000, b"k" * 25, b""))),
        "a name of 1,025 bytes",
    ),
    "snappy": (table(A, compression=1), "compressed .snappy.*save it again"),
    "an unknown method": (table(A, compression=9), "compressed .method 9"),
    "another file": (b"\x89PNG" * 30, "its end is not that of a TensorFlow index"),
    "nothing": (b"", "its end is not that of a TensorFlow index"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_a_harmful_table_is_refused(tmp_path, case):
    data, message = HARMFUL[case]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, data)
    assert str(caught.value).startswith(f"{tmp_path / 't.index'}: ")
    assert "\n" not in str(caught.value)


def test_too_many_keys_and_too_large_a_file_are_refused(tmp_path):
    with mock.patch.object(sorted_table, "MOST_ITEMS", 1):
        assert len(read(tmp_path, table(A))) == 1
        with pytest.raises(InputError, match="more than 1 tensors"):
            read(tmp_path, table(A, B, bounds=[b"a", b"b"]))
    with (tmp_path / "t.index").open("wb") as file:
        file.truncate(sorted_table.LARGEST_FILE + 1)  # a hole: it takes no room
    with pytest.raises(InputError, match="16,777,217 bytes"):
        read_table(tmp_path / "t.index")


@pytest.mark.parametrize("size", [60, sorted_table.BLOCK])
def test_a_table_cut_off_at_any_byte_is_refused(tmp_path, size):
    with mock.patch.object(sorted_table, "BLOCK", size):
        write_table(tmp_path / "whole", ITEMS)
    whole = (tmp_path / "whole").read_bytes()
    for end in range(len(whole)):
        with pytest.raises(InputError):
            read(tmp_path, whole[:end])


def test_a_bit_that_flips_changes_nothing_or_is_refused(tmp_path):
    write_table(tmp_path / "whole", ITEMS)
    whole = (tmp_path / "whole").read_bytes()
    refused = 0
    for place, bit in itertools.product(range(len(whole)), range(8)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        try:
            assert read(tmp_path, flipped) == ITEMS
        except InputError:
            refused += 1
    # All but a few of the 40 bytes of the footer that are padding.
    assert refused > 8 * (len(whole) - 40)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_bytes_in_a_block_are_items_or_refused(folder, data, footer):
    for bytes_of_file in (
        table(data),
        table(A, handles=[data]),
        table(A)[:-48] + footer[:40].ljust(40, b"\0") + struct.pack("<Q", MAGIC),
    ):
        try:
            items = read(folder, bytes_of_file)
        except InputError:
            continue
        assert [key for key, _ in items] == sorted({key for key, _ in items})
