import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kit.corpus import shard_writer
from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.shard_writer import ShardWriter, token_dtype
from kobert_kit.corpus.shards import Corpus
from kobert_vocab.errors import InputError

FILES = (
    *("tokens", "sentences", "documents", "hashes", "sources", "lines", "morphemes"),
)  # each with .bin


def drawn(documents, seed=0, highest=60_000):
    """So many documents of up to 3 sentences of up to 5 tokens; nothing in them comes twice."""
    rng = np.random.default_rng(seed)
    sentences = rng.integers(1, 4, documents)
    sizes = rng.integers(1, 6, sentences.sum())
    return Documents(
        tokens=rng.integers(0, highest, sizes.sum()),
        morphemes=rng.random(sizes.sum()) < 0.5,
        sentences=sizes,
        documents=sentences,
        languages=np.zeros(documents, dtype=np.int64),
        hashes=rng.integers(0, 2**64, documents, dtype=np.uint64),
        lines=rng.integers(1, 10**12, documents),
        words=np.ones(documents, dtype=np.int64),
        bytes=rng.integers(1, 100, documents),
    )


def written(folder, parts, held_out=0.0, size=60_000, language="ko"):
    """The corpus of ``parts``, each of a source of its own."""
    writer = ShardWriter(folder, size, morphemes=True)
    for source, part in enumerate(parts):
        writer.append(language, part, source)
    writer.finish("test", held_out)
    return Corpus.load(folder)


def joined(parts, name):
    return np.concatenate([getattr(part, name) for part in parts])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**32))
def test_parts_appended_one_after_another_are_one_shard(sizes, seed):
    parts = [drawn(size, seed + number) for number, size in enumerate(sizes)]
    with TemporaryDirectory() as folder:
        corpus = written(Path(folder), parts)
        shard, counts = corpus.shards["ko"], corpus.manifest.languages["ko"]
        for name in ("tokens", "hashes", "lines"):
            np.testing.assert_array_equal(getattr(shard, name), joined(parts, name), name)
        np.testing.assert_array_equal(np.diff(shard.sentences), joined(parts, "sentences"))
        np.testing.assert_array_equal(np.diff(shard.documents), joined(parts, "documents"))
        np.testing.assert_array_equal(shard.sources, np.repeat(np.arange(len(sizes)), sizes))
        begins = joined(parts, "morphemes")
        for begin, end in itertools.product(range(0, len(begins), 5), range(len(begins) + 1)):
            found = shard.morphemes(begin, end) if begin <= end else begins[begin:end]
            np.testing.assert_array_equal(found, begins[begin:end])
        assert (counts.documents, counts.tokens) == (sum(sizes), len(begins))
        assert counts.sentences == sum(len(part.sentences) for part in parts)
        assert counts.bytes == sum(part.bytes.sum() for part in parts)


def test_ids_are_stored_in_the_narrowest_type_that_holds_them(tmp_path):
    assert token_dtype(1 << 16) == "<u2"
    assert token_dtype((1 << 16) + 1) == "<u4"
    part = drawn(5, highest=1 << 20)
    assert part.tokens.max() > 1 << 16
    stored = written(tmp_path, [part], size=1 << 20).shards["ko"].tokens
    np.testing.assert_array_equal(stored, part.tokens)


@pytest.mark.parametrize(("documents", "held"), [(1, 0), (3, 0), (4, 1), (15, 2), (40, 4)])
def test_a_tenth_is_held_out_if_there_are_four_documents(tmp_path, documents, held):
    shard = written(tmp_path, [drawn(documents)], held_out=0.1).shards["ko"]
    assert shard.held_out().sum() == held


def test_no_share_holds_nothing_out(tmp_path):
    assert not written(tmp_path, [drawn(40)]).shards["ko"].held_out().any()


def test_of_many_documents_about_the_share_is_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "SMALL", 100)
    held = written(tmp_path, [drawn(2_000)], held_out=0.2).shards["ko"].held_out()
    assert held.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 2_000))


def test_languages_are_in_order_however_they_came(tmp_path):
    writer = ShardWriter(tmp_path, 60_000)
    for code in ("ru", "en", "ko"):
        writer.append(code, drawn(3), source=0)
    assert list(writer.finish("test", 0.0).languages) == ["en", "ko", "ru"]


def test_the_fingerprint_names_languages_and_files(tmp_path):
    prints = set()
    for language, seed in (("ko", 0), ("en", 0), ("ko", 1)):
        folder = tmp_path / f"{language}{seed}"
        folder.mkdir()
        corpus = written(folder, [drawn(5, seed)], language=language)
        prints.add(corpus.manifest.fingerprint)
    assert len(prints) == 3


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_is_not_whole_is_refused(tmp_path, name, change):
    written(tmp_path, [drawn(9)])
    path = tmp_path / "ko" / f"{name}.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if change < 0 else content + b"\0")
    found, right = len(content) + change, len(content)
    with pytest.raises(InputError, match=rf"{name}.bin: {found:,} bytes, but {right:,} by"):
        Corpus.load(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(tmp_path, name):
    written(tmp_path, [drawn(9)])
    (tmp_path / "ko" / f"{name}.bin").unlink()
    with pytest.raises(InputError, match=rf"{name}.bin: no such file; copy the corpus again"):
        Corpus.load(tmp_path)
