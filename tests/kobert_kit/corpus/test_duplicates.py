import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.corpus import duplicates
from kobert_kit.corpus.duplicates import EXACT, NEAR, find_duplicates, write_signatures
from kobert_kit.corpus.signatures import BANDS


def row(*shared):
    """Bands of which the first ones are given and the others are nobody else's."""
    row.own = getattr(row, "own", 1 << 40) + BANDS
    hashes = [*shared, *range(row.own, row.own + BANDS - len(shared))]
    return np.array(hashes, dtype="<u8").tobytes()


def found(parts, folder):
    """What each document is, part after part."""
    folders = []
    for number, documents in enumerate(parts):
        folders.append(folder / f"{number:03d}")
        folders[-1].mkdir(parents=True)
        fingerprints = np.array([fingerprint for fingerprint, _ in documents], dtype=np.uint64)
        write_signatures(folders[-1], fingerprints, [bands for _, bands in documents])
    return find_duplicates(folders, folder).tolist()


def test_the_first_of_equal_fingerprints_stays_across_parts(tmp_path):
    result = found([[(7, None), (8, None)], [], [(8, None), (9, None), (7, None)]], tmp_path)
    assert result == [0, 0, EXACT, 0, EXACT]


def test_a_copy_of_a_copy_is_of_the_same_group(tmp_path):
    # 1 and 2 share a band, 2 and 3 another; 4 shares none.
    documents = [(1, row(50)), (4, row()), (3, row(60)), (2, row(50, 60))]
    assert found([documents], tmp_path) == [0, 0, NEAR, NEAR]


def test_an_exact_copy_is_not_counted_as_near(tmp_path):
    same = row(5)
    assert found([[(1, same), (1, same), (2, row(5))]], tmp_path) == [0, EXACT, NEAR]


def test_nothing_is_left_in_the_folder_for_work(tmp_path):
    found([[(1, row()), (2, None)]], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["000"]


def test_no_documents_are_no_duplicates(tmp_path):
    assert found([], tmp_path) == []
    assert found([[]], tmp_path / "one") == []


def test_the_hashes_that_do_not_fit_one_bucket_are_spread(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "BUCKET", 64)
    monkeypatch.setattr(duplicates, "BLOCK", 128)
    draw = np.random.default_rng(0)
    hashes = [int(x) for x in draw.integers(0, 2**64, 500, dtype=np.uint64)]
    documents = [(x, row()) for x in hashes] + [(x, row()) for x in hashes[::2]]
    assert found([documents], tmp_path) == [0] * 500 + [EXACT] * 250


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
        kinds = found(parts, Path(folder))
    assert [kind == 0 for kind in kinds] == [i == f for i, f in enumerate(first)]


def spread(bands):
    own = np.frombuffer(row(), dtype="<u8").copy()
    own[: len(bands)] = bands
    return own.tobytes()


def test_more_documents_than_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_DOCUMENTS", 2)
    with pytest.raises(ValueError, match="3 documents"):
        found([[(1, None), (2, None), (3, None)]], tmp_path)
