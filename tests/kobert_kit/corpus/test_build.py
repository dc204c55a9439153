import itertools
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from kobert_kit.batches.batches import Batches
from kobert_kit.batches.options import Masking
from kobert_kit.corpus import build, workers
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.sentences import split_sentences
from kobert_kit.corpus.shards import Corpus
from kobert_kit.demo import SAMPLE
from kobert_vocab.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


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


BAD = '{"text": "첫째 글이다. 읽을 만하다."}\n{"txt": "둘째"}\n{"text": "셋째 글도 좋다."}\n'


def test_faults_are_left_out_and_counted(vocab_folder, write, tmp_path):
    manifest = build_corpus(
        [f"ko={write('bad.jsonl', BAD)}"], vocab=vocab_folder, out=tmp_path / "c"
    )
    assert manifest.languages["ko"].documents == 2
    (source,) = manifest.sources
    assert source.problems == {"no text field": 1}
    assert source.messages[0].startswith("bad.jsonl:2: no field")
    assert source.name == f"{tmp_path.name}/bad.jsonl"


def test_strict_stops_at_a_fault_and_leaves_no_corpus(vocab_folder, write, tmp_path):
    with pytest.raises(InputError, match=r"bad.jsonl:2: no field"):
        build_corpus(
            [f"ko={write('bad.jsonl', BAD)}"], vocab=vocab_folder, out=tmp_path / "c", strict=True
        )
    assert not (tmp_path / "c").exists()


def test_no_path_of_the_machine_is_in_a_corpus(vocab_folder, write, tmp_path):
    build_corpus([f"ko={write('bad.jsonl', BAD)}"], vocab=vocab_folder, out=tmp_path / "c")
    for path in (tmp_path / "c").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_what_became_of_each_document_is_counted(vocab_folder, write, tmp_path):
    texts = [
        "오늘은 비가 온다. 우산을 챙기자.",
        "오늘은  비가 온다! 우산을 챙기자",
        "This is an English sentence in a Korean file, and that is wrong.",
        "ㅡ",
        "전화는 010-1234-5678로 주세요. 기다립니다.",
    ]
    path = write("ko.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    manifest = build_corpus([path], vocab=vocab_folder, out=tmp_path / "c")
    (row,) = manifest.counts
    assert (row.language, row.read, row.kept) == ("ko", 5, 2)
    assert row.dropped == {"exact copy": 1, "language": 1, "short": 1}
    assert row.changed["phone"] == 1
    assert row.read == row.kept + sum(row.dropped.values())
    assert manifest.examples["language"] == (texts[2],)
    shard = Corpus.load(tmp_path / "c").shards["ko"]
    assert shard.lines.tolist() == [1, 5]
    assert row.tokens == len(shard.tokens)


def test_near_copies_are_dropped(vocab_folder, write, tmp_path):
    text = (SAMPLE / "ko" / "news.txt").read_text(encoding="utf-8").replace("\n", " ")[:3000]
    copy = text.replace("다.", "다!", 5)[:-20] + " 끝."
    path = write("ko.txt", f"{text}\n\n{copy}\n\n다른 글이다. 짧다.\n")
    manifest = build_corpus([path], vocab=vocab_folder, out=tmp_path / "c")
    assert manifest.counts[0].dropped == {"near copy": 1}


def test_a_document_of_unknown_language_is_placed(vocab_folder, write, tmp_path):
    text = "Сегодня идёт дождь, и мы остаёмся дома с книгой.\n\n今日は雨が降っています。\n\n12 34\n"
    manifest = build_corpus([write("mixed.txt", text)], vocab=vocab_folder, out=tmp_path / "c")
    assert set(manifest.languages) == {"ru", "ja"}
    assert sum(row.dropped.get("short", 0) for row in manifest.counts) == 1


def test_text_of_which_nothing_is_left(vocab_folder, write, tmp_path):
    with pytest.raises(InputError, match=r"nothing is left of 2 documents \(2 short\)"):
        build_corpus([write("ko.txt", "1\n\n2\n")], vocab=vocab_folder, out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(build, "BLOCK", 500)


def test_workers_change_nothing(vocab_folder, sample_inputs, small_blocks, tmp_path):
    for processes in (1, 2):
        out = tmp_path / str(processes)
        build_corpus(sample_inputs, vocab=vocab_folder, out=out, workers=processes)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_a_file_given_twice_is_a_copy_of_itself(
    vocab_folder, sample_inputs, small_blocks, tmp_path
):
    once = build_corpus(sample_inputs[:1], vocab=vocab_folder, out=tmp_path / "1")
    twice = build_corpus(sample_inputs[:1] * 2, vocab=vocab_folder, out=tmp_path / "2", workers=2)
    assert twice.languages == once.languages


def test_a_finished_part_is_not_made_again(
    vocab_folder, sample_inputs, small_blocks, tmp_path, monkeypatch
):
    options = {"vocab": vocab_folder, "work": tmp_path / "work"}
    build_corpus(sample_inputs, out=tmp_path / "1", **options)
    made = []
    monkeypatch.setattr(workers, "make_part", lambda *_: made.append(1))
    build_corpus(sample_inputs, out=tmp_path / "2", **options)
    assert not made
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_a_changed_source_is_read_again(vocab_folder, write, tmp_path):
    options = {"vocab": vocab_folder, "work": tmp_path / "work"}
    path = write("ko.txt", "오늘은 비가 온다.\n")
    first = build_corpus([path], out=tmp_path / "1", **options)
    write("ko.txt", "오늘은 비가 온다.\n\n내일은 눈이 온다.\n")
    second = build_corpus([path], out=tmp_path / "2", **options)
    assert (first.languages["ko"].documents, second.languages["ko"].documents) == (1, 2)


KILLED = """
import os, signal, sys
from kobert_kit.corpus import build
from kobert_vocab import steps
build.BLOCK = 500
die_at, seen, replace = int(sys.argv[1]), 0, os.replace
def count(event, arguments):
    global seen
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
inputs, vocab, out = sys.argv[4:], sys.argv[2], sys.argv[3]
from pathlib import Path
sys.addaudithook(count)
build.build_corpus(inputs, vocab=Path(vocab), out=Path(out))
print(seen)
"""


def killed(die_at, vocab, out, inputs):
    command = [sys.executable, "-c", KILLED, str(die_at), str(vocab), str(out), *map(str, inputs)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_a_build_that_is_killed_at_any_moment_goes_on(
    vocab_folder, sample_inputs, small_blocks, tmp_path
):
    inputs = sample_inputs[1:4]
    whole = killed(0, vocab_folder, tmp_path / "whole", inputs)
    assert whole.returncode == 0, whole.stderr
    events = int(whole.stdout)
    expected = files_of(tmp_path / "whole")
    moments = np.random.default_rng(0).integers(1, events, 20).tolist()
    for moment in moments:
        out = tmp_path / str(moment)
        assert killed(moment, vocab_folder, out, inputs).returncode == -signal.SIGKILL
        assert not out.exists() or files_of(out) == expected
        if not out.exists():
            again = killed(0, vocab_folder, out, inputs)
            assert again.returncode == 0, again.stderr
            assert files_of(out) == expected
            assert not (tmp_path / f".{moment}.steps").exists()


FULL = """
import errno, sys
from kobert_kit.cli import main
from kobert_kit.corpus import build
build.BLOCK = 500
full_at, seen = int(sys.argv.pop(1)), 0
def fill(event, arguments):
    global seen
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wa")
    if event == "os.mkdir" or writes:
        seen += 1
        if seen >= full_at > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
sys.addaudithook(fill)
try:
    main()
finally:
    print(seen)
"""


def test_a_full_disk_loses_nothing_that_was_done(
    vocab_folder, sample_inputs, small_blocks, tmp_path
):
    def build(full_at, out):
        command = [sys.executable, "-c", FULL, str(full_at), "corpus", "build", sample_inputs[1]]
        options = ["--vocab", vocab_folder, "--out", out]
        return subprocess.run([*command, *options], capture_output=True, text=True)

    whole = build(0, tmp_path / "whole")
    writes = int(whole.stdout.splitlines()[-1])
    for moment in (writes // 3, 2 * writes // 3, writes):
        out = tmp_path / str(moment)
        stopped = build(moment, out)
        assert stopped.returncode == 2
        assert stopped.stderr.splitlines()[-1] == (
            "kobert: No space left on device: free some and run the same command again; what is "
            "done is kept"
        )
        assert not out.exists()
        again = build(0, out)
        assert again.returncode == 0
        assert int(again.stdout.splitlines()[-1]) < writes  # what was done was kept
        assert files_of(out) == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_morphemes_are_known_where_kiwi_splits(vocab_folder, vocabulary, tmp_path):
    pytest.importorskip("kiwipiepy")
    inputs = [f"ko={SAMPLE / 'ko' / 'news.txt'}", SAMPLE / "languages" / "en.txt"]
    build_corpus(inputs, vocab=vocab_folder, out=tmp_path / "c", held_out=0.1, sentences="kiwi")
    corpus = Corpus.load(tmp_path / "c")
    korean, english = corpus.shards["ko"], corpus.shards["en"]
    begins = korean.morphemes(0, len(korean.tokens))
    starts_word = vocabulary.starts_word[korean.tokens]
    assert begins[starts_word].mean() > 0.99
    assert 0.3 < begins[~starts_word].mean() < 0.9
    particles = korean.tokens == vocabulary.encode("학교에서")[-1]
    assert begins[particles].mean() > 0.8
    np.testing.assert_array_equal(korean.morphemes(13, 101), begins[13:101])
    assert not english.morphemes(0, len(english.tokens)).any()


def test_morphemes_are_not_known_otherwise(corpus, vocabulary):
    with pytest.raises(InputError, match="--sentences kiwi"):
        corpus.shards["ko"].morphemes(0, 5)
    with pytest.raises(InputError, match="--sentences kiwi"):
        Batches(
            *(corpus, vocabulary),
            **{"seed": 0, "windows": 1, "length": 48, "masking": Masking(unit="morpheme")},
        )


def test_an_existing_folder_is_not_overwritten(corpus_folder, vocab_folder):
    with pytest.raises(InputError, match="already there"):
        build_corpus([SAMPLE], vocab=vocab_folder, out=corpus_folder)


@pytest.mark.parametrize("processes", [0, -1])
def test_there_is_at_least_one_worker(vocab_folder, tmp_path, processes):
    with pytest.raises(InputError, match=f"workers is {processes}; it must be at least 1"):
        build_corpus([SAMPLE], vocab=vocab_folder, out=tmp_path / "c", workers=processes)


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
