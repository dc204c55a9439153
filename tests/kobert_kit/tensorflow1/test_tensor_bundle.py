import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.tensorflow1 import TensorBundle, write_bundle
from kobert_kit.tensorflow1.bundle_entry import BundleEntry, header, read_entry, read_header
from kobert_kit.tensorflow1.faults import Damaged, Unsupported
from kobert_kit.tensorflow1.masked_crc import masked_crc
from kobert_kit.tensorflow1.sorted_table import read_table, write_table
from kobert_kit.tensorflow1.wire_format import message_field, number_field
from kobert_vocab.errors import InputError

INDEX, DATA = "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"
VALUES = np.arange(6, dtype=np.float32)


def copied(source, target):
    """A folder of files that a test may spoil."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target / "bert_model.ckpt"


def entry(**changes):
    whole = {
        "dtype": "float32",
        "shape": (6,),
        "shard": 0,
        "offset": 0,
        "size": 24,
        "crc": masked_crc(VALUES.tobytes()),
    }
    return BundleEntry(**(whole | changes)).encoded()


def bundle_of(folder, head, **entries):
    """A checkpoint with messages of our making, and 24 bytes of data."""
    prefix = folder / "bert_model.ckpt"
    (folder / DATA).write_bytes(VALUES.tobytes())
    items = [(name.encode(), message) for name, message in sorted(entries.items())]
    write_table(folder / INDEX, [(b"", head), *items])
    return prefix


def everything(prefix):
    bundle = TensorBundle.open(prefix)
    return {name: bundle.read(name) for name in bundle.entries}


def is_same(values, expected):
    return values.keys() == expected.keys() and all(
        values[name].dtype == np.asarray(array).dtype and np.array_equal(values[name], array)
        for name, array in expected.items()
    )


def test_every_value_that_tensorflow_wrote_is_read(bert, written):
    values = everything(bert / "bert_model.ckpt")
    assert len(values) == 46 * 3 + 1
    assert is_same(values, written.bert())
    assert list(values) == sorted(values)


def test_several_data_files_are_read(shards, written):
    bundle = TensorBundle.open(shards / "bert_model.ckpt")
    assert {entry.shard for entry in bundle.entries.values()} == {0, 1}
    assert is_same(everything(shards / "bert_model.ckpt"), written.small())


def test_slices_are_refused(partitioned):
    with pytest.raises(InputError, match="word_embeddings': a partitioned variable") as caught:
        TensorBundle.open(partitioned / "bert_model.ckpt")
    assert "\n" not in str(caught.value)
    assert r"\x" not in str(caught.value)


def test_the_index_is_written_as_tensorflow_writes_it(tmp_path, bert, written):
    write_bundle(tmp_path / "bert_model.ckpt", sorted(written.bert().items()))
    assert (tmp_path / DATA).read_bytes() == (bert / DATA).read_bytes()
    assert read_table(tmp_path / INDEX) == read_table(bert / INDEX)


def test_arrays_come_back_whatever_lies_in_memory(tmp_path):
    arrays = {
        "a": np.float16(2.5),
        "b": np.arange(12, dtype=np.int32).reshape(3, 4).T,
        "c": np.arange(3, dtype=">f4"),
        "d": np.zeros((0, 5)),
        "e": np.arange(8, dtype=np.int64)[::2],
    }
    write_bundle(tmp_path / "x", arrays.items())
    assert is_same(everything(tmp_path / "x"), arrays | {"c": np.arange(3, dtype=np.float32)})


def test_names_that_do_not_go_up_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="must go up"):
        write_bundle(tmp_path / "x", [("b", VALUES), ("a", VALUES)])


def test_the_checksum_is_that_of_the_standard():
    # RFC 3720, B.4: the CRC-32C of 32 zeros is 8A9136AA; LevelDB's mask of it by hand.
    rotated = (0x8A9136AA >> 15 | 0x8A9136AA << 17) & 0xFFFFFFFF
    assert masked_crc(bytes(32)) == (rotated + 0xA282EAD8) % 2**32


HARMFUL = {
    "beyond the data": (entry(offset=1), "has 24 bytes, and 'x' ends at 25"),
    "far beyond it": (entry(shape=(2**40,), size=2**42), "'x' ends at"),
    "an offset below zero": (entry(offset=2**64 - 24), "'x' ends at"),
    "in no data file": (entry(shard=1), "'x' lies in data file 1 of 1"),
    "in a file below zero": (entry(shard=2**64 - 1), "'x' lies in data file"),
    "a size of another shape": (entry(shape=(2, 2)), r"24 bytes of float32 in the shape \[2, 2\]"),
    "a shape below zero": (entry(shape=(2**64 - 6,)), "the shape"),
    "empty, and too large": (entry(shape=(0, 2**62, 2**62), size=0), "the shape"),
    "65 dimensions": (entry(shape=(1,) * 65, size=4), "more than 64 dimensions"),
    "unknown rank": (number_field(1, 1) + message_field(2, number_field(3, 1)), "unknown rank"),
    "two shapes": (entry() + message_field(2, b""), "two shapes"),
    "a field of later times": (entry() + number_field(9, 1), "field 9 of wire type 0"),
    "a slice": (entry() + message_field(7, b""), "a partitioned variable"),
    "no message": (b"\xff", "a number runs past the end"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_a_harmful_entry_is_refused(tmp_path, case):
    message, expected = HARMFUL[case]
    prefix = bundle_of(tmp_path, header(), x=message)
    with pytest.raises(InputError, match=expected) as caught:
        TensorBundle.open(prefix)
    assert "\n" not in str(caught.value)
    assert "copy" in str(caught.value) or "TensorFlow" in str(caught.value)


def test_bytes_of_two_tensors_are_refused(tmp_path):
    first = entry(shape=(4,), size=16)
    for second in (entry(shape=(4,), size=16, offset=8), entry(shape=(1,), size=4, offset=12)):
        with pytest.raises(InputError, match="the bytes of 'b' are another tensor's too"):
            TensorBundle.open(bundle_of(tmp_path, header(), a=first, b=second))
    whole = entry(shape=(2,), size=8, offset=16)
    assert len(TensorBundle.open(bundle_of(tmp_path, header(), a=first, b=whole)).entries) == 2


def test_what_has_another_type_is_refused_when_it_is_read(tmp_path):
    text = number_field(1, 7) + message_field(2, b"") + number_field(5, 24)
    bundle = TensorBundle.open(bundle_of(tmp_path, header(), x=text))
    with pytest.raises(InputError, match="'x' is of type 7"):
        bundle.read("x")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (number_field(1, 1) + number_field(2, 1), "big-endian"),
        (number_field(1, 1) + message_field(3, number_field(2, 2)), "of version 2 of the format"),
        (b"", "number of data files"),
        (number_field(1, 2**62), "data-00000-of-4611686018427387904: no such file"),
        (number_field(1, 2), "data-00000-of-00002: no such file"),
        (b"\xff", "a number runs past the end"),
    ],
)
def test_another_header_is_refused(tmp_path, head, message):
    with pytest.raises(InputError, match=message):
        TensorBundle.open(bundle_of(tmp_path, head, x=entry()))


def test_a_header_has_one_version_or_none():
    assert read_header(number_field(1, 3)) == 3
    with pytest.raises(Damaged):
        read_header(header() + message_field(3, b""))


def test_a_table_without_header_or_with_a_name_of_other_letters_is_refused(tmp_path):
    prefix = bundle_of(tmp_path, header(), x=entry())
    for items, message in (
        ([(b"x", entry())], "no header"),
        ([(b"", header()), (b"\xff", entry())], "not UTF-8"),
    ):
        write_table(tmp_path / INDEX, items)
        with pytest.raises(InputError, match=message):
            TensorBundle.open(prefix)


def test_a_missing_file_is_named(tmp_path, bert):
    prefix = copied(bert, tmp_path)
    (tmp_path / DATA).unlink()
    with pytest.raises(InputError, match=f"{DATA}: no such file"):
        TensorBundle.open(prefix)
    (tmp_path / INDEX).unlink()
    with pytest.raises(InputError, match=f"{INDEX}: no such file"):
        TensorBundle.open(prefix)


def test_data_that_shrinks_while_it_is_read_is_refused(tmp_path, bert):
    prefix = copied(bert, tmp_path)
    bundle = TensorBundle.open(prefix)
    (tmp_path / DATA).write_bytes((bert / DATA).read_bytes()[:-1])
    with pytest.raises(InputError, match="checksum of 'global_step' is wrong"):
        bundle.read("global_step")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, shards):
    """A copy of the smaller checkpoint, to spoil and mend again."""
    return copied(shards, tmp_path_factory.mktemp("spoilt"))


def reads_the_same_or_refuses(path, content, prefix, expected):
    whole = path.read_bytes()
    try:
        path.write_bytes(content(whole))
        try:
            return is_same(everything(prefix), expected)
        except InputError as error:
            return "\n" not in str(error)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("end", ["index", "data-00000-of-00002", "data-00001-of-00002"])
@settings(max_examples=150)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_that_flips_changes_no_value_in_silence(spoilt, shards, written, end, share, bit):
    def flipped(whole):
        content = bytearray(whole)
        content[int(share * len(whole))] ^= 1 << bit
        return content

    path = spoilt.parent / f"bert_model.ckpt.{end}"
    assert reads_the_same_or_refuses(path, flipped, spoilt, written.small())


@pytest.mark.parametrize("end", ["index", "data-00000-of-00002", "data-00001-of-00002"])
@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_refused(spoilt, written, end, share):
    path = spoilt.parent / f"bert_model.ckpt.{end}"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError):
            everything(spoilt)
    finally:
        path.write_bytes(whole)


@settings(max_examples=400)
@given(st.binary(max_size=60), st.binary(max_size=12))
def test_any_bytes_are_an_entry_or_refused(message, after):
    for data in (message, entry() + after):
        try:
            found = read_entry(data)
        except (Damaged, Unsupported):
            continue
        assert len(found.shape) <= 64
