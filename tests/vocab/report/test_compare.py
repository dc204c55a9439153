import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from kobert_vocab import InputError
from kobert_vocab.report import Comparison, as_json, compare, render, write_page
from kobert_vocab.report.page import page
from kobert_vocab.report.rows import LOW, PERCENT, _Metric, _row, rows, show
from kobert_vocab.report.summary import sentences
from kobert_vocab.report.table import columns

GOLD = "1\t학교에서\t학교 에서\tNNG+JKB\t0\tNP\n2\t먹었습니다\t먹 었 습니다\tVV+EP+EF\t0\tVP\n"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "gold.tsv").write_text(GOLD, encoding="utf-8")
    (folder / "par").mkdir()
    for code in ("en", "ko", "ja"):
        lines = (corpus / f"{code}.txt").read_text(encoding="utf-8").split("\n")[:1]
        (folder / "par" / f"{code}.txt").write_text("\n".join(lines), encoding="utf-8")
    text = f'{HOSTILE} <img src=x onerror="alert(1)"> 학교에서 바다를 보았습니다'
    (folder / f"{HOSTILE.replace('/', '')}.txt").write_text(f"{text}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def paths(
    trained: Path, plain: Path, with_bytes: Path, wordpiece: Path, byte_level: Path
) -> list[Path]:
    return [trained, plain, with_bytes, wordpiece, byte_level]


@pytest.fixture(scope="module")
def comparison(paths: list[Path], corpus: Path, inputs: Path) -> Comparison:
    texts = [corpus, *sorted(inputs.glob("*.txt"))]
    return compare(paths, texts, gold=[inputs / "gold.tsv"], parallel=inputs / "par")


class Page(HTMLParser):
    """The tags of a page with their attributes, and what stands in the cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_everything_is_measured_for_every_vocabulary(comparison: Comparison) -> None:
    assert [v.name for v in comparison.vocabularies] == [
        "vocabulary",
        "plain",
        "bytes",
        "wordpiece",
        "bpe.json",
    ]
    for v in comparison.vocabularies:
        assert set(v.text.languages) == {"en", "hi", "ja", "ko", "ru", "th", "zh-Hans", "und"}
        assert v.text.languages["th"].words is None
        assert v.silver.words == comparison.silver_words > 5000
        assert v.gold.words == 2
        assert set(v.parity.languages) == {"en", "ja", "ko"}
        assert v.text.all.tokens == sum(f.tokens for f in v.text.languages.values())
    ours = comparison.vocabularies[0]
    assert ours.text.all.unknown == 0
    assert ours.gold_files["gold.tsv"] == ours.gold
    assert (comparison.gold[0].words, comparison.gold[0].exact) == (2, 2)


def test_json_holds_all_and_is_the_same_again(
    comparison: Comparison, paths: list[Path], corpus: Path, inputs: Path
) -> None:
    text = as_json(comparison)
    tree = json.loads(text)
    assert list(tree) == [
        "files",
        "analyser",
        "silver_words",
        "gold",
        "vocabularies",
        "examples",
        "from_text",
        "disputed",
    ]
    assert str(corpus.parent) not in text
    assert max(len(n.partition(".")[2]) for n in re.findall(r": (-?\d+\.\d+)", text)) <= 6
    texts = [corpus, *sorted(inputs.glob("*.txt"))]
    again = compare(paths, texts, gold=[inputs / "gold.tsv"], parallel=inputs / "par")
    assert as_json(again) == text
    assert page(again) == page(comparison)


def test_table_is_aligned_and_marks_the_best(comparison: Comparison) -> None:
    lines = render(comparison).splitlines()
    header = next(i for i, line in enumerate(lines) if "wordpiece" in line and "bpe.json" in line)
    body = [line for line in lines[header + 1 :] if line.startswith("  ")]
    ends = {columns(line.removesuffix(" *").removesuffix(" ?")) for line in body if line[-1] != "–"}
    assert len(ends) == 1
    kept = next(line for line in body if "jamo kept" in line)
    assert kept.split()[2:4] == ["51", "*"]
    assert "* best" in lines[-4]


def test_best_is_by_what_is_printed_and_not_for_who_reads_little(comparison: Comparison) -> None:
    made = {(row.section, row.label): row for row in rows(comparison)}
    russian = made["Tokens per word, by language", "Russian"]
    assert russian.unfair == [False, True, False, True, False]  # plain and wordpiece
    assert russian.cells[0] == russian.cells[3]  # one has learnt the words, the other none
    assert russian.best == [True, False, False, False, False]
    for row in made.values():
        assert not all(row.best) or not row.best
    assert made["Text", "words cut"].best == [False] * 5


def test_the_best_of_those_who_read_enough_wins() -> None:
    metric = _Metric("x", lambda v: v[0], "{:.2f}", LOW, unknown=lambda v: v[1])
    found = _row("s", metric, [(1.0, 0.5), (2.001, 0.0), (2.0, 0.01), (3.0, 0.0)])
    assert found.best == [False, True, True, False]
    assert found.unfair == [True, False, False, False]
    assert _row("s", metric, [(1.0, 0.5), (2.0, 0.5)]).best == [False, False]
    assert _row("s", metric, [(2.0, 0.0), (2.0, 0.0)]).best == [False, False]
    assert _row("s", metric, [(None, 0.0), (2.0, 0.0)]).cells == ["–", "2.00"]


def test_small_shares_are_not_nothing() -> None:
    assert show(0.00001, "{:.2%}") == "<0.01%"
    assert show(0.0, "{:.2%}") == "0.00%"
    assert show(0.00001, PERCENT) == "0.0%"


def test_summary_says_what_matters(comparison: Comparison) -> None:
    text = " ".join(sentences(comparison))
    assert "of gold morpheme boundaries inside words" in text
    assert "plain loses or changes 51 of 51 jamo, ㅋ for one." in text
    assert re.search(r"Decomposed Korean takes bpe\.json \d+\.\d times the tokens", text)
    assert "vocabulary loses" not in text


def test_page_is_whole_and_asks_for_nothing(comparison: Comparison, tmp_path: Path) -> None:
    write_page(comparison, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert [tag for tag, _ in found.tags].count("svg") == 5
    for tag, attributes in found.tags:
        assert tag not in ("script", "img", "link", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "xlink:href", "src"):
                assert value.startswith("#")
    assert "url(" not in re.sub(r"url\(#\w+\)", "", text)
    assert str(tmp_path.parent) not in text
    assert "prefers-color-scheme: dark" in text
    assert HOSTILE in found.text  # shown as text


def test_a_hostile_vocabulary_is_harmless(corpus: Path, tmp_path: Path) -> None:
    pieces = {"[UNK]": 0, HOSTILE: 1, '"><b>': 2, "학교": 3}
    folder = tmp_path / "<b>name"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="[UNK]"))
    tokenizer.save(str(folder / "tokenizer.json"))
    found = compare([folder], [corpus / "ko.txt"])
    tags = [tag for tag, _ in Page(page(found)).tags]
    assert "script" not in tags
    assert tags.count("b") == 1  # the letter of its column


def test_wide_letters_take_two_columns() -> None:
    assert [columns(text) for text in ("abc", "한글", "e\u0301", "ㅋ", "漢a")] == [3, 4, 1, 2, 3]


def test_a_file_name_does_not_move_the_cursor(write, trained: Path) -> None:
    path = write("a\x1b[2Jb.txt", "학교에서 바다를")
    second = write("c.txt", "학교에서")
    text = render(compare([trained], [path, second]))
    assert "\x1b" not in text
    assert "a?[2Jb.txt" in text


def test_one_vocabulary_and_text_without_korean(write, trained: Path) -> None:
    found = compare([trained], [write("ja.txt", "私は学校へ行きます。")])
    (only,) = found.vocabularies
    assert (only.silver, only.gold, only.parity, only.hangul.nfd) == (None, None, None, None)
    assert only.text.all.words is None
    assert found.disputed == []
    assert not any(row.best.count(True) for row in rows(found))
    assert "tokens per word" not in render(found)
    assert "<h2>Morphemes" not in page(found)


def test_what_is_wrong_is_said_first(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        compare([trained], [tmp_path / "none.txt"])
