"""``report.html``: a run on one self-contained page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kobert_kit import __version__
from kobert_kit.pretraining.evaluation import Evaluation, Example
from kobert_kit.pretraining.example_history import ExampleHistory, histories
from kobert_kit.pretraining.report_curves import language_curves, loss_curve, step_curves
from kobert_vocab.languages import languages
from kobert_vocab.normalize import nfc
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

AROUND = 12  # tokens shown on both sides of an example's kept masks


@dataclass(frozen=True)
class Row:
    """One language in the table."""

    code: str
    name: str
    masked: int
    loss: float
    unigram_loss: float
    entropy: float
    bits_per_character: float | None
    accuracy: float


@dataclass(frozen=True)
class Token:
    """One token of an example, as a person reads it."""

    text: str
    starts_word: bool
    label: str | None = None
    guesses: tuple[tuple[str, float], ...] = ()
    position: int = 0
    """In its sequence."""

    @property
    def right(self) -> bool:
        """Whether the first guess is what stood there."""
        return bool(self.guesses) and self.guesses[0][0] == self.label


@dataclass(frozen=True)
class Sentence:
    """A language's name and its tokens."""

    language: str
    tokens: list[Token]


@dataclass(frozen=True)
class Course:
    """One example over the evaluations: its text about the masks, and the guesses for each."""

    language: str
    tokens: list[Token]
    numbers: dict[int, int]
    """Of masks, by position."""
    history: ExampleHistory


def write_report(
    run: Path,
    vocabulary: AnyVocabulary,
    evaluation: Evaluation,
    filled: list[Example],
    sentences: Mapping[str, str],
) -> Path:
    """Write ``report.html`` into a run's folder.

    Args:
        run: has ``metrics.jsonl``.
        vocabulary: turns ids into pieces.
        evaluation: the last one.
        filled: held-out sequences with the model's guesses.
        sentences: example texts by language code, shown as pieces.
    """
    steps = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            version=__version__,
            # Our own SVG.
            loss=Markup(loss_curve(steps)),
            about_steps=Markup(step_curves(steps)),
            by_language=Markup(language_curves(steps)),
            steps=max(row["step"] for row in steps),
            tokens=sum(row.get("tokens", 0) for row in steps),
            evaluation=evaluation,
            rows=_rows(evaluation),
            filled=[_filled(example, vocabulary) for example in filled],
            courses=[
                _course(history, example, vocabulary)
                for history, example in zip(histories(steps), filled, strict=False)  # not all kept
            ],
            pieces=[
                Sentence(_name(code), _pieces(text, vocabulary)) for code, text in sentences.items()
            ],
            vocabulary_size=len(vocabulary),
        )
    )
    path = run / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kobert_kit.pretraining", "."),
        autoescape=True,  # corpus text is not ours
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    return environment


def _name(code: str) -> str:
    known = languages().get(code)
    return known.name if known else code


def _rows(evaluation: Evaluation) -> list[Row]:
    rows = [
        Row(
            code,
            _name(code),
            *(s.masked, s.loss, s.unigram_loss, s.entropy, s.bits_per_character, s.accuracy),
        )
        for code, s in evaluation.languages.items()
    ]
    return sorted(rows, key=lambda row: (row.code != "ko", -row.accuracy))


def _filled(example: Example, vocabulary: AnyVocabulary) -> Sentence:
    guesses = {guess.position: guess for guess in example.guesses}
    tokens = []
    for position, token in enumerate(example.tokens):
        guess = guesses.get(position)
        if guess is None:
            tokens.append(_token(token, vocabulary))
        else:
            top = tuple((_text(i, vocabulary), p) for i, p in guess.top)
            begins = bool(vocabulary.starts_word[guess.label])
            tokens.append(Token("", begins, _text(guess.label, vocabulary), top, position))
    return Sentence(_name(example.language), tokens)


def _course(history: ExampleHistory, example: Example, vocabulary: AnyVocabulary) -> Course:
    numbers = {mask.position: number for number, mask in enumerate(history.masks, 1)}
    sentence = _filled(example, vocabulary)
    about = slice(max(0, min(numbers) - AROUND), max(numbers) + AROUND + 1)
    return Course(sentence.language, sentence.tokens[about], numbers, history)


def _pieces(text: str, vocabulary: AnyVocabulary) -> list[Token]:
    return [_token(token, vocabulary) for token in vocabulary.encode(text)]


def _token(token: int, vocabulary: AnyVocabulary) -> Token:
    return Token(_text(token, vocabulary), bool(vocabulary.starts_word[token]))


def _text(token: int, vocabulary: AnyVocabulary) -> str:
    return shown(vocabulary.piece(token))


def shown(piece: str) -> str:
    """A piece as a person reads it: whole syllables, without the mark of a word's beginning."""
    return nfc(piece.removeprefix("▁")) or "▁"
