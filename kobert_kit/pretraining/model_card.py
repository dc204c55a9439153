"""``model/README.md``: the model card that the Hugging Face hub shows, from what the run knows.

Only what is recorded is said. Names of sources come without the way to them, and the licence is
left to who publishes the model.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from kobert_kit import __version__
from kobert_kit.corpus.shards import Corpus, Manifest
from kobert_kit.encoder import PretrainingModel
from kobert_kit.encoder.huggingface.folder import class_of
from kobert_kit.pretraining.config import PretrainConfig
from kobert_kit.pretraining.evaluation import Evaluation
from kobert_vocab.errors import InputError
from kobert_vocab.languages import KOREAN, languages
from kobert_vocab.reading.inputs import HUB_DATA_SET
from kobert_vocab.specials import MASK
from kobert_vocab.vocabulary import CARD

MOST = 30  # rows of a table; the rest is one row
# What the hub's page offers to try; languages many can read.
WIDGETS = {
    "ko": f"오늘은 학교에서 {MASK} 먹었다.",
    "en": f"She reads a {MASK} before she goes to bed.",
    "ja": f"私は毎朝{MASK}を飲みます。",
    "zh-Hans": f"我每天早上喝{MASK}。",
    "de": f"Am Morgen trinke ich eine Tasse {MASK}.",
    "fr": f"Nous habitons dans une petite {MASK}.",
    "es": f"Mi hermana vive en la {MASK}.",
    "ru": f"Мы живём в большом {MASK}.",
}
MODEL_CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the steps in ``metrics.jsonl`` took."""

    steps: int
    tokens: int
    """Of text; those of skipped steps are counted as well."""
    hours: float
    """Of the steps alone, without evaluations and checkpoints."""

    @property
    def tokens_per_second(self) -> float:
        """While training."""
        return self.tokens / (3600 * self.hours) if self.hours else 0.0


def write_model_card(
    folder: Path,
    config: PretrainConfig,
    model: PretrainingModel,
    evaluation: Evaluation,
    made_with: Mapping[str, object],
) -> None:
    """Write ``README.md`` into a model's folder.

    Args:
        folder: of the model.
        config: of the run, whose folder has ``metrics.jsonl``.
        model: is counted.
        evaluation: the last one.
        made_with: device and versions by name, as checkpoints hold them.

    Raises:
        InputError: the corpus or the vocabulary is no longer what it was.
    """
    manifest = Corpus.load(config.corpus).manifest
    mask = _mask_token(config.vocab)
    page = (
        Environment(
            loader=PackageLoader("kobert_kit.pretraining", "."),
            autoescape=False,  # Markdown, not HTML; names from outside are cleaned by `_plain`
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        .get_template("model_card.md.jinja")
        .render(
            front=_front_matter(config, manifest, mask).to_yaml(),
            config=config,
            shape=model.config,
            class_name=class_of(model.config, model.state_dict()),
            mask=mask,
            version=__version__,
            parameters=sum(weight.numel() for weight in model.parameters()),
            vocabulary_size=model.config.vocab_size,
            vocabulary=_vocabulary_facts(config.vocab),
            documents=sum(counts.documents for counts in manifest.languages.values()),
            tokens=sum(counts.tokens for counts in manifest.languages.values()),
            codes=_ordered(manifest),
            corpus_rows=_corpus_rows(manifest),
            sources=_sources(manifest),
            fingerprint=manifest.fingerprint,
            recipe=_recipe(config),
            cost=read_cost(config.out / "metrics.jsonl"),
            device=made_with.get("device", "unknown"),
            versions={name: value for name, value in made_with.items() if name != "device"},
            evaluation=evaluation,
            score_rows=_score_rows(evaluation),
            most=MOST,
        )
    )
    (folder / MODEL_CARD).write_text(page, encoding="utf-8")


def read_cost(metrics: Path) -> Cost:
    """Steps, tokens and hours of the rows of ``metrics.jsonl``."""
    rows = [json.loads(row) for row in metrics.read_text(encoding="utf-8").splitlines()]
    steps = [row for row in rows if row.get("tokens_per_second")]
    return Cost(
        steps=max((row["step"] for row in rows), default=0),
        tokens=sum(row["tokens"] for row in steps),
        hours=sum(row["tokens"] / row["tokens_per_second"] for row in steps) / 3600,
    )


def _mask_token(vocab: Path) -> str:
    path = vocab / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    token = settings.get("mask_token", MASK)
    return str(token["content"] if isinstance(token, dict) else token)


def _front_matter(config: PretrainConfig, manifest: Manifest, mask: str) -> ModelCardData:
    known = [languages()[code] for code in _ordered(manifest) if code in languages()]
    scripts = [one.code for one in known if "-" in one.code]
    widgets = [
        {"text": WIDGETS[one.code].replace(MASK, mask)} for one in known if one.code in WIDGETS
    ]
    # Not a folder: its name may say whose it is.
    base = config.from_ if config.from_ and not Path(config.from_).exists() else None
    return ModelCardData(
        # ISO 639 alone, as the hub asks; what names a script goes beside it.
        language=list(dict.fromkeys(one.iso639_1 or one.iso639_3 for one in known)) or None,
        language_bcp47=scripts or None,
        license=config.license,
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["bert", "fill-mask", "kobert-kit"],
        base_model=base,
        mask_token=mask,
        widget=widgets or None,
    )


def _ordered(manifest: Manifest) -> list[str]:
    """Languages with text, Korean first, then those with most tokens."""
    counts = {code: one for code, one in manifest.languages.items() if one.documents}
    return sorted(counts, key=lambda code: (code != KOREAN, -counts[code].tokens, code))


def _name(code: str) -> str:
    return languages()[code].name if code in languages() else code


def _corpus_rows(manifest: Manifest) -> list[tuple[str, int, int]]:
    """Name, documents and tokens of languages; the last row sums up those beyond `MOST`."""
    all_of_them = _ordered(manifest)
    shown, rest = all_of_them[:MOST], [manifest.languages[code] for code in all_of_them[MOST:]]
    rows = [
        (f"{_name(code)} (`{code}`)", counts.documents, counts.tokens)
        for code in shown
        for counts in [manifest.languages[code]]
    ]
    if rest:
        documents, tokens = sum(one.documents for one in rest), sum(one.tokens for one in rest)
        rows.append((f"{len(rest)} more", documents, tokens))
    return rows


def _sources(manifest: Manifest) -> list[str]:
    """Names of files and data sets, each once."""
    return list(dict.fromkeys(_plain(_own_name(source.name)) for source in manifest.sources))


def _own_name(name: str) -> str:
    # The folder that a file lies in may be somebody's name; a data set's owner belongs to it.
    return name if HUB_DATA_SET.fullmatch(name) else PurePath(name).name


def _plain(text: str) -> str:
    """For between backticks in Markdown."""
    return " ".join(text.replace("`", "'").replace("|", "/").split())


def _vocabulary_facts(folder: Path) -> list[tuple[str, str]]:
    """How a vocabulary was made, by its own account."""
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [("how it was made", f"not known: it came without `{CARD}`")]
    except ValueError as error:
        raise InputError(f"{path}: not JSON; copy it again, then go on with --resume") from error
    corpus = card.get("corpus", {})
    facts = {
        **card.get("options", {}),
        "analyser": card.get("analyser"),
        "languages": len(corpus["languages"]) if "languages" in corpus else None,
        "text": corpus.get("fingerprint"),
    }
    return [
        (name.replace("_", " "), _plain(str(value)))
        for name, value in facts.items()
        if value is not None
    ]


def _recipe(config: PretrainConfig) -> list[tuple[str, str]]:
    optimizer = config.optimizer
    return [
        ("optimiser", optimizer.kind),
        ("schedule", f"{optimizer.schedule}, warm-up {optimizer.warmup:.1%} of the steps"),
        ("weight decay", f"{optimizer.weight_decay:g}"),
        ("gradient norm, at most", f"{optimizer.clip:g}"),
        *((("moving average", f"{optimizer.average:g}"),) if optimizer.average else ()),
        ("precision", config.precision),
        ("seed", str(config.seed)),
        *(row for number in range(len(config.all_phases)) for row in _phase(config, number)),
    ]


def _phase(config: PretrainConfig, number: int) -> Iterator[tuple[str, str]]:
    phase = config.all_phases[number]
    data, masking = phase.data, phase.data.masking
    rate = f"{masking.rate:.0%}" + (
        f", going to {masking.last_rate:.0%} over {masking.steps:,} steps"
        if masking.last_rate is not None
        else ""
    )
    ramp = (
        f", growing from {data.first_windows} windows over {data.ramp_steps:,} steps"
        if data.first_windows is not None
        else ""
    )
    if config.phases:
        yield f"**phase {number + 1}**", f"{phase.share:.0%} of the run"
    yield "longest sequence", f"{data.length} tokens"
    yield "batch", f"{data.windows} windows = {data.windows * data.length:,} tokens{ramp}"
    yield "peak learning rate", f"{phase.learning_rate:g}"
    yield "masked", f"{rate} of the tokens, each {masking.unit} as a whole ({masking.rule})"
    yield "sequence pairs", data.pairing


def _score_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """One row per language, Korean and those with most masked tokens first."""
    scores = evaluation.languages
    codes = sorted(scores, key=lambda code: (code != KOREAN, -scores[code].masked, code))
    rows = [
        (
            f"{_name(code)} (`{code}`)",
            f"{score.masked:,}",
            *_figures(score.loss, score.accuracy, score.bits_per_character),
            f"{score.unigram_loss:.2f}",
        )
        for code in codes[:MOST]
        for score in [scores[code]]
    ]
    together = (
        f"all {len(scores)} together",
        f"{sum(score.masked for score in scores.values()):,}",
        *_figures(evaluation.loss, evaluation.accuracy, evaluation.bits_per_character),
        "",
    )
    return [*rows, together]


def _figures(loss: float, accuracy: float, bits: float | None) -> tuple[str, str, str]:
    return f"{loss:.2f}", f"{accuracy:.1%}", "" if bits is None else f"{bits:.2f}"
