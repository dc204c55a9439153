import itertools
import json
import shutil

import numpy as np
import pytest

from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.sentences import split_sentences
from kobert_kit.corpus.shards import Corpus
from kobert_kit.demo import SAMPLE
from kobert_vocab.errors import InputError


def documents_of(shard, vocabulary):
    """Each document as the text of its sentences."""
    for first, last in zip(shard.documents[:-1], shard.documents[1:], strict=True):
        starts = shard.sentences[first : last + 1]
        yield [vocabulary.decode(shard.tokens[a:b].tolist()) for a, b in itertools.pairwise(starts)]


def test_every_document_and_sentence_is_there_in_order(corpus, vocabulary):
    text = (SAMPLE / "languages" / "de.txt").read_text(encoding="utf-8")
    expected = [
        [vocabulary.normalize(s) for s in split_sentences(document)]
        for document in text.split("\n\n")
    ]
    assert list(documents_of(corpus.shards["de"], vocabulary)) == expected


def test_manifest_counts(corpus, corpus_folder, vocabulary):
    manifest = corpus.manifest
    assert set(manifest.languages) == {"ko", "en", "de", "ru", "th", "zh-Hans", "ar"}
    assert manifest.vocabulary == vocabulary.fingerprint
    for code, shard in corpus.shards.items():
        counts = manifest.languages[code]
        assert counts.tokens == len(shard.tokens) == shard.sentences[-1]
        assert counts.sentences == len(shard.sentences) - 1 == shard.documents[-1]
        assert counts.documents == len(shard.documents) - 1 == len(shard.hashes)
    assert corpus.manifest.languages["en"].documents == 4
    assert corpus.shards["ko"].tokens.dtype == np.dtype("<u2")


def test_about_a_tenth_is_held_out(corpus):
    for shard in corpus.shards.values():
        held = shard.held_out()
        assert held.sum() == max(1, round(0.1 * len(held)))


def test_the_same_text_gives_the_same_bytes(corpus_folder, vocab_folder, sample_inputs, tmp_path):
    build_corpus(sample_inputs, vocab=vocab_folder, out=tmp_path / "again", held_out=0.1)
    for path in sorted(corpus_folder.rglob("*")):
        if path.is_file():
            again = tmp_path / "again" / path.relative_to(corpus_folder)
            assert path.read_bytes() == again.read_bytes(), path.name


def test_sentences_without_ids_are_left_out(vocab_folder, tmp_path):
    (tmp_path / "ko.txt").write_text("\u200b\u2060\n가나다\n\n\u200b\n\n라마바\n", encoding="utf-8")
    manifest = build_corpus([tmp_path / "ko.txt"], vocab=vocab_folder, out=tmp_path / "c")
    assert manifest.languages["ko"].documents == 2
    assert manifest.languages["ko"].sentences == 2


def test_what_cannot_be_built_leaves_nothing(vocab_folder, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"text": "좋다."}\n{"txt": "나쁘다."}\n', encoding="utf-8")
    out = tmp_path / "corpus"
    with pytest.raises(InputError, match=r"bad.jsonl:2: no field"):
        build_corpus([f"ko={tmp_path / 'bad.jsonl'}"], vocab=vocab_folder, out=out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.jsonl"]


def test_an_existing_folder_is_not_overwritten(corpus_folder, vocab_folder):
    with pytest.raises(InputError, match="already there"):
        build_corpus([SAMPLE], vocab=vocab_folder, out=corpus_folder)


@pytest.mark.parametrize("held_out", [-0.1, 0.9])
def test_held_out_is_a_share(vocab_folder, tmp_path, held_out):
    with pytest.raises(InputError, match="held_out"):
        build_corpus([SAMPLE], vocab=vocab_folder, out=tmp_path / "c", held_out=held_out)


def test_a_folder_that_is_no_corpus(tmp_path, corpus_folder):
    with pytest.raises(InputError, match="not a corpus"):
        Corpus.load(tmp_path)
    shutil.copytree(corpus_folder, tmp_path / "c")
    manifest = tmp_path / "c" / "manifest.json"
    raw = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(raw | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        Corpus.load(tmp_path / "c")
    manifest.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        Corpus.load(tmp_path / "c")


@pytest.mark.corpora
def test_real_text(corpora, vocab_folder, tmp_path):
    inputs = [
        corpora / "ko" / "wikinews.jsonl.gz",
        corpora / "ko" / "fairytales.jsonl.gz",
        *(
            corpora / "multilingual" / f"{key}.txt.gz"
            for key in ("fin", "tha", "jpn", "arz", "zul")
        ),
    ]
    manifest = build_corpus(inputs, vocab=vocab_folder, out=tmp_path / "c")
    assert set(manifest.languages) == {"ko", "fi", "th", "ja", "arz", "zul"}
    assert manifest.languages["ko"].documents == 551 + 58
    corpus = Corpus.load(tmp_path / "c")
    longest = max(int(np.diff(shard.sentences).max()) for shard in corpus.shards.values())
    assert longest < 5_000
