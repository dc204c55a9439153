import dataclasses
import json
import re

import pytest
from huggingface_hub import ModelCard

from kobert_kit.corpus.shards import Corpus, LanguageCounts, SourceFile
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining import model_card
from kobert_kit.pretraining.evaluation import Evaluation, LanguageScore
from kobert_kit.pretraining.model_card import read_cost, write_model_card
from kobert_kit.pretraining.run import pretrain
from kobert_vocab.errors import InputError
from kobert_vocab.languages import languages


@pytest.fixture(scope="module")
def card(short_run):
    config, _ = short_run
    return ModelCard.load(config.out / "model" / "README.md")


@pytest.fixture
def write(short_run, tmp_path, monkeypatch):
    """Write a card with a manifest, settings or scores of one's own; gives it back loaded."""
    config, evaluation = short_run
    corpus = Corpus.load(config.corpus)
    model = PretrainingModel(
        EncoderConfig(vocab_size=4_000, hidden_size=32, layers=1, heads=2, max_positions=16)
    )

    def run(*, manifest=None, scores=None, made_with=None, **changes):
        of_corpus = dataclasses.replace(corpus.manifest, **(manifest or {}))
        shown = dataclasses.replace(corpus, manifest=of_corpus)
        monkeypatch.setattr(model_card.Corpus, "load", lambda _: shown)
        write_model_card(
            tmp_path,
            dataclasses.replace(config, **changes),
            model,
            evaluation if scores is None else scores,
            {"device": "cpu"} if made_with is None else made_with,
        )
        return ModelCard.load(tmp_path / "README.md")

    return run


def test_the_hub_can_read_its_head(card):
    data = card.data.to_dict()
    assert data["language"][0] == "ko"
    assert set(data["language"]) == {"ko", "en", "de", "ru", "th", "zh", "ar"}
    assert data["language_bcp47"] == ["zh-Hans"]
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "fill-mask"
    assert data["mask_token"] == "[MASK]"
    assert "kobert-kit" in data["tags"]
    assert all("[MASK]" in widget["text"] for widget in data["widget"])
    assert data["widget"][0]["text"].startswith("오늘은")


def test_no_licence_is_invented(card, write):
    assert "license" not in card.data.to_dict()
    assert "Licence: none was chosen" in card.text
    chosen = write(license="cc-by-sa-4.0")
    assert chosen.data.license == "cc-by-sa-4.0"
    assert "none was chosen" not in chosen.text


@pytest.mark.parametrize("wrong", ["", "Apache 2.0", "mit\nlanguage: en", "MIT"])
def test_a_licence_that_the_hub_would_not_know(run_settings, wrong):
    with pytest.raises(InputError, match=r"apache-2\.0, cc-by-sa-4\.0, other"):
        dataclasses.replace(run_settings, license=wrong)


def test_it_says_what_the_model_was_made_of(card, short_run, corpus, vocabulary):
    config, _ = short_run
    counts = corpus.manifest.languages.values()
    for part in (
        f"{sum(one.documents for one in counts):,} documents",
        f"{sum(one.tokens for one in counts):,} tokens",
        corpus.manifest.fingerprint,
        f"{len(vocabulary):,} pieces",
        "| analyser | rules 1 |",
        "| korean floor | 0.15 |",
        "`news.txt`",
        "| batch | 4 windows = 160 tokens |",
        "| masked | 15% of the tokens",
        "| steps | 12 |",
        "| seed | 0 |",
        "| device | cpu |",
        "| torch | 2.",
    ):
        assert part in card.text
    assert re.search(r"\| kernel table \| [0-9a-f]{64} \|", card.text)
    assert str(config.out.parent) not in card.text
    assert str(config.corpus.parent) not in card.text


def test_parameters_are_those_that_transformers_counts(card, short_run):
    from transformers import BertForPreTraining

    config, _ = short_run
    count = BertForPreTraining.from_pretrained(config.out / "model").num_parameters()
    assert f"| parameters | {count:,} |" in card.text


def test_the_scores_are_those_of_the_evaluation(card, short_run):
    _, evaluation = short_run
    korean = evaluation.languages["ko"]
    rows = [row for row in card.text.splitlines() if row.startswith("| Korean (`ko`)")]
    assert rows[-1] == (
        f"| Korean (`ko`) | {korean.masked:,} | {korean.loss:.2f} | {korean.accuracy:.1%} | "
        f"{korean.bits_per_character:.2f} | {korean.unigram_loss:.2f} |"
    )
    masked = sum(one.masked for one in evaluation.languages.values())
    assert f"| all 7 together | {masked:,} | {evaluation.loss:.2f} |" in card.text


def test_many_languages_are_thirty_rows_and_a_sum(write):
    codes = list(languages())[:50]
    score = LanguageScore(
        masked=2, loss=1, accuracy=0.5, unigram_loss=2, entropy=1, bits_per_character=None
    )
    counts = LanguageCounts(documents=3, sentences=4, tokens=5, bytes=6, held_out_below=0)
    card = write(
        manifest={"languages": dict.fromkeys(codes, counts)},
        scores=Evaluation(
            loss=1,
            accuracy=0.5,
            next_accuracy=None,
            bits_per_character=None,
            languages=dict.fromkeys(codes, score),
        ),
    )
    # The names of languages end in their codes.
    of_languages = [row for row in card.text.splitlines() if re.match(r"\| [^|]+`\) \|", row)]
    assert len(of_languages) == 30 + 30
    assert "| 20 more | 60 | 100 |" in card.text
    assert "| all 50 together | 100 | 1.00 | 50.0% |  |  |" in card.text
    assert "pairs of sentences" in card.text.split("\n## ")[0]


def test_sources_are_named_without_the_way_to_them(write):
    names = ("kim/secret`s|news.txt", "wikimedia/wikipedia:20231101.ko", "kim/data", "lee/data")
    card = write(
        manifest={"sources": tuple(SourceFile(name=n, problems={}, messages=()) for n in names)}
    )
    line = next(row for row in card.text.splitlines() if row.startswith("Sources"))
    assert (
        line == "Sources, by name: `secret's/news.txt`, `wikimedia/wikipedia:20231101.ko`, `data`."
    )


def test_a_run_that_was_stopped_says_so(run_settings, tmp_path):
    config = dataclasses.replace(run_settings, out=tmp_path / "run")
    pretrain(config, stop_after=5)
    text = (config.out / "model" / "README.md").read_text(encoding="utf-8")
    assert "| steps | 5 of 12: the run was stopped before its end |" in text


def test_a_vocabulary_that_does_not_say_how_it_was_made(write, tmp_path):
    assert "not known" in write(vocab=tmp_path).text
    (tmp_path / "vocabulary.json").write_text("{")
    with pytest.raises(InputError, match=r"vocabulary\.json: not JSON"):
        write(vocab=tmp_path)


def test_cost_is_that_of_the_steps(tmp_path):
    rows = [
        {"step": 1, "tokens": 3_600, "tokens_per_second": 1.0},
        {"step": 2, "tokens": 7_200, "tokens_per_second": 4.0},
        {"step": 2, "evaluation": {}},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cost = read_cost(path)
    assert (cost.steps, cost.tokens, cost.hours) == (2, 10_800, 1.5)
    assert cost.tokens_per_second == 2.0


def test_the_snippet_runs(card, short_run, monkeypatch, capsys):
    config, _ = short_run
    [code] = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    monkeypatch.chdir(config.out / "model")
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5
