"""A build that finds steps of an earlier one."""

import json
import shutil

import pytest

from kobert_kit.corpus.blocks import READ
from kobert_kit.corpus.build import EXAMPLES, build_corpus
from kobert_kit.corpus.shards import Corpus
from kobert_vocab.errors import InputError

BAD = '{"text": "첫째 글이다. 읽을 만하다."}\n{"txt": "둘째"}\n{"text": "셋째 글도 좋다."}\n'


@pytest.fixture
def build(vocab_folder, tmp_path):
    """Build a corpus of files, which are given by name, beside steps that are kept."""

    def build(out, *, strict=False, **files):
        for name, content in files.items():
            path = tmp_path / f"{name}.jsonl"
            if not path.exists():  # a file that is written again is another source
                path.write_text(content, encoding="utf-8")
        inputs = [f"ko={tmp_path / name}.jsonl" for name in files]
        work = tmp_path / "work"
        return build_corpus(
            inputs, vocab=vocab_folder, out=tmp_path / out, work=work, strict=strict
        )

    return build


def texts(*documents):
    return "".join(json.dumps({"text": text}) + "\n" for text in documents)


def numbered(numbers):
    return [f"{n}째 글에는 {n * 13}마리 새가 {n * 7}그루 나무에 앉아 있다." for n in numbers]


def test_faults_are_counted_though_their_source_is_not_read_again(build):
    first, second = build("1", bad=BAD), build("2", bad=BAD)
    assert first == second
    assert second.sources[0].problems == {"no text field": 1}
    assert second.sources[0].messages[0].startswith("bad.jsonl:2: no field")


def test_strict_stops_at_faults_of_an_earlier_run_too(build):
    build("1", bad=BAD)
    with pytest.raises(InputError, match=r"bad.jsonl:2: no field"):
        build("2", bad=BAD, strict=True)


def test_a_part_that_is_lost_is_made_again(build, monkeypatch, tmp_path):
    monkeypatch.setattr("kobert_kit.corpus.build.BLOCK", 100)
    documents = texts(*numbered(range(20)))
    first = build("1", ko=documents)
    parts = sorted((tmp_path / "work").glob("part-*"))
    assert len(parts) > 4
    shutil.rmtree(parts[2])
    assert build("2", ko=documents) == first


def test_copies_are_found_across_blocks_and_sources_and_counted_where_they_stand(
    build, monkeypatch, tmp_path
):
    monkeypatch.setattr("kobert_kit.corpus.build.BLOCK", 100)
    first, second = numbered(range(10)), numbered(range(5, 15))
    manifest = build("1", first=texts(*first, *first[:2]), second=texts(*second))
    rows = [(row.source, row.read, row.kept, dict(row.dropped)) for row in manifest.counts]
    assert rows == [(0, 12, 10, {"exact copy": 2}), (1, 10, 5, {"exact copy": 5})]
    shard = Corpus.load(tmp_path / "1").shards["ko"]
    assert list(zip(shard.sources.tolist(), shard.lines.tolist(), strict=True)) == [
        *((0, line) for line in range(1, 11)),
        *((1, line) for line in range(6, 11)),
    ]


def test_what_is_dropped_in_many_blocks_is_added_up_and_a_few_are_shown(build, monkeypatch):
    monkeypatch.setattr("kobert_kit.corpus.build.BLOCK", 60)
    english = [f"{n} English sentences stand in a Korean file." for n in range(12)]
    manifest = build("1", ko=texts(*english, *numbered(range(3)), "ㅡ", "!"))
    (row,) = manifest.counts
    assert row.read == 17
    assert row.dropped == {"language": 12, "short": 2}
    assert manifest.examples["language"] == tuple(english[:EXAMPLES])


def test_a_source_with_nothing_but_faults_says_the_first(build):
    with pytest.raises(InputError, match=r"bad.jsonl:1: no field"):
        build("1", bad='{"txt": "둘째"}\n')


def test_what_is_known_of_a_source_that_is_read_is_in_its_step(build, tmp_path):
    build("1", bad=BAD)
    (step,) = (tmp_path / "work").glob("read-*")
    about = json.loads((step / READ).read_text(encoding="utf-8"))
    assert about["blocks"] == 1
    assert about["problems"] == {"no text field": 1}
