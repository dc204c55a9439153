import dataclasses
import json
import re
import shutil
import tracemalloc

import numpy as np
import pytest

from kobert_kit.corpus import inspection as module
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.inspection import as_json, inspect_corpus, together
from kobert_kit.corpus.inspection_page import page
from kobert_kit.corpus.inspection_table import render
from kobert_kit.corpus.kept_samples import SHOWN
from kobert_kit.corpus.shard_writer import ShardWriter
from kobert_kit.corpus.shards import SourceCounts, SourceFile
from kobert_vocab import Vocabulary, train
from kobert_vocab.errors import InputError
from kobert_vocab.languages import KOREAN, languages
from kobert_vocab.report.table import columns

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def inspection(corpus_folder, vocab_folder):
    return inspect_corpus(corpus_folder, vocab_folder)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory, vocab_folder):
    """A corpus with every kind of trouble: dropped documents, faults, all of a language dropped."""
    folder = tmp_path_factory.mktemp("dirty")
    rows = [
        {"text": f"서울에서 만나요 <b>굵은</b> 글씨 {HOSTILE}"},
        {"text": "부산에 갔다가 왔어요" + "ㅋ" * 40, "language": "ko"},
        {"text": "메일은 hong@example.kr로 보내 주세요"},
        {"text": f"{HOSTILE} this is in English altogether"},
        {"text": "서울에서 만나요 <b>굵은</b> 글씨 " + HOSTILE},
        {"body": HOSTILE},
    ]
    path = folder / "ko<i>.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    (folder / "th.txt").write_text("only English in here, not a word of Thai")
    out = folder / "c"
    inputs = [f"ko={path}", str(folder / "th.txt")]
    build_corpus(inputs, vocab=vocab_folder, out=out)
    return out


@pytest.fixture
def many_languages(tmp_path):
    """One document of k tokens in the k-th of 50 languages; Korean is the smallest."""
    writer = ShardWriter(tmp_path, 100)
    codes = [KOREAN, *[code for code in languages() if code != KOREAN][:49]]
    for k, code in enumerate(codes, 1):
        writer.append(code, documents([k]), 0)
    source = SourceFile(name="a.txt", problems={}, messages=())
    counts = [one_document(code, k) for k, code in enumerate(codes, 1)]
    writer.finish("v", 0.0, sources=[source], counts=counts)
    return tmp_path


def one_document(language, tokens):
    return SourceCounts(
        source=0,
        language=language,
        read=1,
        read_bytes=1,
        kept=1,
        sentences=1,
        tokens=tokens,
        words=1,
        bytes=1,
        dropped={},
        changed={},
    )


def documents(lengths):
    """Documents of one sentence each, with so many tokens."""
    count, tokens = len(lengths), sum(lengths)
    return Documents(
        tokens=np.zeros(tokens, dtype="<u2"),
        sentences=np.array(lengths, dtype=np.int64),
        documents=np.ones(count, dtype=np.int64),
        hashes=np.arange(count, dtype=np.uint64),
        languages=np.zeros(count, dtype=np.int64),
        lines=np.arange(count, dtype=np.int64),
        words=np.ones(count, dtype=np.int64),
        bytes=np.ones(count, dtype=np.int64),
        morphemes=np.zeros(tokens, dtype=np.bool_),
    )


def test_numbers_are_those_of_the_manifest_and_the_shards(inspection, corpus):
    assert {row.language for row in inspection.languages} == set(corpus.shards)
    for row in inspection.languages:
        shard = corpus.shards[row.language]
        assert row.kept == sum(row.lengths) == shard.counts.documents
        assert (row.sentences, row.tokens) == (shard.counts.sentences, shard.counts.tokens)
        assert row.bytes == shard.counts.bytes
        assert row.held_out == int(shard.held_out().sum()) > 0
        assert row.read == row.kept + sum(row.dropped.values())
        lengths = np.diff(shard.sentences[shard.documents])
        assert row.longest == lengths.max()
        expected = [int(((2**k <= lengths) & (lengths < 2 ** (k + 1))).sum()) for k in range(30)]
        assert list(row.lengths) == expected[: len(row.lengths)]
    tokens = [row.tokens for row in inspection.languages]
    assert tokens == sorted(tokens, reverse=True)
    assert inspection.total.tokens == sum(tokens) == sum(s.tokens for s in inspection.sources)
    assert inspection.total.share == pytest.approx(1)


def test_tokens_per_word_are_of_languages_with_spaces(inspection):
    rows = {row.language: row for row in inspection.languages}
    assert rows["th"].fertility is None
    assert rows["zh-Hans"].fertility is None
    assert rows["de"].fertility == rows["de"].tokens / rows["de"].words
    spaced = [row for row in inspection.languages if row.fertility is not None]
    expected = sum(row.tokens for row in spaced) / sum(row.words for row in spaced)
    assert inspection.total.fertility == expected
    assert together("", [rows["th"]]).fertility is None


def test_what_was_dropped_and_changed_is_there_by_language_and_source(dirty):
    found = inspect_corpus(dirty)
    rows = {row.language: row for row in found.languages}
    assert rows["ko"].dropped == {"language": 1, "exact copy": 1}
    assert rows["ko"].changed["runs"] == 37
    assert rows["ko"].changed["email"] == 1
    assert (rows["th"].read, rows["th"].kept, rows["th"].dropped) == (1, 0, {"language": 1})
    assert (rows["th"].bytes_per_token, rows["th"].lengths) == (None, ())
    assert found.total.dropped == {"language": 2, "exact copy": 1}
    source = found.sources[0]
    assert (source.read, source.kept, source.problems) == (5, 3, {"no text field": 1})
    assert "ko<i>.jsonl:6" in source.messages[0]


def test_lengths_are_the_same_whatever_is_looked_at_together(
    monkeypatch, inspection, corpus_folder
):
    monkeypatch.setattr(module, "STRETCH", 3)
    assert inspect_corpus(corpus_folder).languages == inspection.languages


def test_lengths_at_powers_of_two(tmp_path):
    writer = ShardWriter(tmp_path, 100)
    writer.append("ko", documents([1, 2, 3, 4, 7, 8, 1023, 1024]), 0)
    writer.finish("v", 0.0)
    row = inspect_corpus(tmp_path).languages[0]
    assert row.lengths == (1, 2, 2, 1, 0, 0, 0, 0, 0, 1, 1)
    assert row.longest == 1024


def test_memory_does_not_grow_with_the_shard(monkeypatch, tmp_path):
    writer = ShardWriter(tmp_path, 100)
    writer.append("ko", documents([1] * 400_000), 0)
    writer.finish("v", 0.0)
    monkeypatch.setattr(module, "STRETCH", 1 << 12)
    tracemalloc.start()
    inspect_corpus(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_600_000  # half of one array of the lengths of all documents


def test_json_has_everything(inspection):
    raw = json.loads(as_json(inspection))
    whole = json.loads(json.dumps(dataclasses.asdict(inspection)))
    assert raw == whole
    assert raw["total"]["tokens"] == inspection.total.tokens
    assert raw["languages"][0]["fertility"] == inspection.languages[0].fertility
    assert len(raw["samples"]) == len(inspection.samples) > 0


def test_samples_are_text_of_the_source_with_korean_first(inspection, vocabulary):
    assert inspection.samples[0].language == "ko"
    assert {one.language for one in inspection.samples} >= {"ko", "th", "ar"}
    for one in inspection.samples:
        text = " ".join(one.sentences)
        assert "\ufffd" not in text
        assert text.endswith("…") == (one.tokens > SHOWN)
        shown = len(vocabulary.encode(text.removesuffix("…")))
        assert abs(shown - min(one.tokens, SHOWN)) <= 8  # pieces at the cut may be others


def test_a_sample_does_not_end_in_half_a_character(tmp_path, vocab_folder, vocabulary):
    # Characters of four bytes, each a token; one of the four cuts falls between two characters.
    writer = ShardWriter(tmp_path, len(vocabulary))
    for code, before in {"ko": "", "en": "a", "de": "a a", "fr": "a a a"}.items():
        ids = vocabulary.encode(before + "𓀀" * SHOWN)
        document = dataclasses.replace(documents([len(ids)]), tokens=np.array(ids, dtype="<u2"))
        writer.append(code, document, 0)
    source = SourceFile(name="a.txt", problems={}, messages=())
    writer.finish(vocabulary.fingerprint, 0.0, sources=[source])
    found = inspect_corpus(tmp_path, vocab_folder)
    assert len(found.samples) == 4
    assert all(one.sentences[0].endswith("𓀀…") for one in found.samples)


def test_a_table_that_is_cut_sums_the_rest(many_languages):
    lines = render(inspect_corpus(many_languages)).splitlines()
    cut = next(line for line in lines if line.startswith("30 more"))
    assert cut.split()[2:5] == ["30", "30", "465"]  # documents, sentences, tokens
    assert "50" in lines[1].split()
    assert lines[21] == cut
    assert lines[22].split()[:4] == ["all", "50", "50", "1,275"]
    assert len({columns(line) for line in lines[:23]}) == 1


def test_the_table_shows_reasons_faults_and_cleaning(dirty):
    text = render(inspect_corpus(dirty))
    assert "1 no text field" in text
    assert "1 exact copy, 1 language" in text
    assert re.search(r"runs +37 +characters", text)
    assert "ko<i>.jsonl:6" in text


def test_a_terminal_is_not_moved_by_a_name(dirty):
    found = inspect_corpus(dirty)
    source = dataclasses.replace(found.sources[0], name="a\x1b[2J", messages=("b\x1b[2Jc\nd",))
    text = render(dataclasses.replace(found, sources=(source,)))
    assert "\x1b" not in text


def test_the_page_is_whole_and_asks_for_nothing(inspection, dirty):
    for found, plots in ((inspection, 3), (inspect_corpus(dirty), 4)):
        html = page(found)
        assert html.count("<svg") == plots
        assert html.rstrip().endswith("</html>")
        outside = re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?([^"')\s>]+)""", html)
        assert [address for address in outside if not address.startswith("#")] == []
        assert "mathdefault" not in html
        assert page(found) == html


def test_text_on_the_page_is_escaped(dirty, vocab_folder):
    html = page(inspect_corpus(dirty, vocab_folder))
    for tag in ("<script", "<b>굵은", "ko<i>"):
        assert tag not in html
    # A dropped and a kept document, and a source's name.
    assert "&lt;script&gt;alert(1)&lt;/script&gt; this is" in html
    assert "&lt;b&gt;굵은" in html
    assert "ko&lt;i&gt;.jsonl" in html


def test_korean_is_in_every_plot_however_small(many_languages):
    found = inspect_corpus(many_languages)
    assert found.languages[-1].language == "ko"
    sections = page(found).split("<h2>")
    for title in ("Languages", "Tokens per word", "How long documents are"):
        assert any(part.startswith(title) and "Korean (ko)" in part for part in sections)


def test_another_vocabulary_is_refused_in_one_line(corpus_folder, tmp_path, sample_inputs):
    other = train(sample_inputs[:2], tmp_path / "v", size=3_500, analyser="rules")
    with pytest.raises(InputError, match="not the vocabulary that") as caught:
        inspect_corpus(corpus_folder, other)
    assert str(other) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Vocabulary.load(other).fingerprint[:12] not in str(caught.value)


@pytest.mark.parametrize("name", ["tokens", "sentences", "documents", "hashes", "sources", "lines"])
def test_a_file_that_was_cut_off_or_lost_is_named(corpus_folder, tmp_path, name):
    folder = shutil.copytree(corpus_folder, tmp_path / "c")
    path = folder / "ko" / f"{name}.bin"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=rf"{name}\.bin: [\d,]+ bytes, but [\d,]+ by manifest"):
        inspect_corpus(folder)
    path.unlink()
    with pytest.raises(InputError, match=rf"{name}\.bin: no such file"):
        inspect_corpus(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a corpus"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "corpus format None"),
        (b'{"name": "another program"}', "corpus format None"),
    ],
)
def test_what_is_no_corpus_is_one_line_and_writes_nothing(kobert, tmp_path, content, message):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    flags = ("--out", tmp_path / "new" / "p.html", "--json", tmp_path / "new" / "j.json")
    code, out, err = kobert("corpus", "inspect", tmp_path, *flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"kobert: {tmp_path}")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_is_no_corpus(kobert, tmp_path):
    (tmp_path / "a").write_text("a")
    code, _, err = kobert("corpus", "inspect", tmp_path / "a")
    assert (code, "not a corpus" in err) == (2, True)


def test_the_command_writes_table_json_and_page(kobert, tmp_path, corpus_folder, vocab_folder):
    html, numbers = tmp_path / "new" / "p.html", tmp_path / "j.json"
    flags = ("--vocab", vocab_folder, "--out", html, "--json", numbers)
    code, out, err = kobert("corpus", "inspect", corpus_folder, *flags)
    assert code == 0, err
    assert "tokens/word" in out
    assert out.endswith(f"report: {html}\n")
    assert "What was kept" in html.read_text(encoding="utf-8")
    raw = json.loads(numbers.read_text(encoding="utf-8"))
    assert raw == json.loads(as_json(inspect_corpus(corpus_folder, vocab_folder)))
    code, out, _ = kobert("corpus", "inspect", corpus_folder)
    assert (code, "report:" in out) == (0, False)
