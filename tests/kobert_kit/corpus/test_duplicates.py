import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.corpus import duplicates
from kobert_kit.corpus.duplicates import SignatureWriter, find_duplicates
from kobert_kit.corpus.signatures import BANDS


def row(*shared):
    """Bands of which the first ones are given and the others are nobody else's."""
    row.own = getattr(row, "own", 1 << 40) + BANDS
    hashes = [*shared, *range(row.own, row.own + BANDS - len(shared))]
    return np.array(hashes, dtype="<u8").tobytes()


def found(parts, folder):
    folders = []
    for number, documents in enumerate(parts):
        folders.append(folder / f"{number:03d}")
        with SignatureWriter(folders[-1]) as writer:
            for fingerprint, bands in documents:
                writer.add(fingerprint, bands)
    return find_duplicates(folders, folder)


def test_the_first_of_equal_fingerprints_stays_across_parts(tmp_path):
    result = found([[(7, None), (8, None)], [], [(8, None), (9, None), (7, None)]], tmp_path)
    assert [keep.tolist() for keep in result.keep] == [[True, True], [], [False, True, False]]
    assert (result.exact, result.near) == (2, 0)


def test_a_copy_of_a_copy_is_of_the_same_group(tmp_path):
    # 1 and 2 share a band, 2 and 3 another; 4 shares none.
    documents = [(1, row(50)), (4, row()), (3, row(60)), (2, row(50, 60))]
    result = found([documents], tmp_path)
    assert result.keep[0].tolist() == [True, True, False, False]
    assert (result.exact, result.near) == (0, 2)


def test_an_exact_copy_is_not_counted_as_near(tmp_path):
    same = row(5)
    result = found([[(1, same), (1, same), (2, row(5))]], tmp_path)
    assert (result.exact, result.near) == (1, 1)
    assert result.keep[0].tolist() == [True, False, False]


def test_nothing_is_left_in_the_folder_for_work(tmp_path):
    found([[(1, row()), (2, None)]], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["000"]


def test_no_documents_are_no_duplicates(tmp_path):
    assert found([], tmp_path).keep == ()
    assert found([[]], tmp_path / "one").keep[0].tolist() == []


def test_the_hashes_that_do_not_fit_one_bucket_are_spread(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "BUCKET", 64)
    monkeypatch.setattr(duplicates, "BLOCK", 128)
    monkeypatch.setattr(duplicates, "BUFFER", 10)
    draw = np.random.default_rng(0)
    hashes = [int(x) for x in draw.integers(0, 2**64, 500, dtype=np.uint64)]
    documents = [(x, row()) for x in hashes] + [(x, row()) for x in hashes[::2]]
    result = found([documents], tmp_path)
    assert result.keep[0].tolist() == [True] * 500 + [False] * 250
    assert (result.exact, result.near) == (250, 0)


def slow_groups(documents):
    """The first document of each one's group, by looking at all pairs until nothing changes."""
    first = list(range(len(documents)))
    changed = True
    while changed:
        changed = False
        for i, (fi, bi) in enumerate(documents):
            for j, (fj, bj) in enumerate(documents):
                least = min(first[i], first[j])
                if (fi == fj or set(bi) & set(bj)) and (first[i], first[j]) != (least, least):
                    first[i] = first[j] = least
                    changed = True
    return first


bands_drawn = st.lists(st.integers(0, 25), max_size=3, unique=True)


@settings(deadline=None)
@given(st.lists(bands_drawn, max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_groups_are_connected_components_however_the_parts_are_cut(rows, cuts):
    # Each document has a fingerprint of its own; bands are shared in the same place only.
    documents = [(1000 + i, row(*[]) if not b else spread(b)) for i, b in enumerate(rows)]
    first = slow_groups([(1000 + i, b) for i, b in enumerate(rows)])
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut <= len(rows))})
    with tempfile.TemporaryDirectory() as folder:
        parts = [documents[a:b] for a, b in pairwise(edges)]
        keep = found(parts, Path(folder)).keep
    assert [bool(x) for part in keep for x in part] == [i == f for i, f in enumerate(first)]


def spread(bands):
    own = np.frombuffer(row(), dtype="<u8").copy()
    own[: len(bands)] = bands
    return own.tobytes()


def test_more_documents_than_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_DOCUMENTS", 2)
    with pytest.raises(ValueError, match="3 documents"):
        found([[(1, None), (2, None), (3, None)]], tmp_path)
