"""Pieces of our own in somebody else's vocabulary: Korean for multilingual BERT or XLM-R.

The old ids stay, so that the model's weights stay good. New pieces come after them, with a matrix
that says from which old embeddings each new one begins (`new_embeddings`). Which pieces can be
added is decided in `candidates`.
"""

import hashlib
import importlib.metadata
import json
import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kobert_vocab.errors import InputError
from kobert_vocab.extension.base_tokenizer import (
    SPACE,
    Base,
    extended,
    find_base,
    open_base,
    read_tokenizer,
    write_extended,
)
from kobert_vocab.extension.candidates import Candidate, choose, old_ids, written
from kobert_vocab.extension.new_embeddings import write_rows
from kobert_vocab.hangul import TAIL_JAMO
from kobert_vocab.languages import KOREAN, languages
from kobert_vocab.model_file import NORMAL, Piece, read_pieces
from kobert_vocab.new_folder import new_folder, refuse_existing
from kobert_vocab.normalize import nfc
from kobert_vocab.reading import Document, find_sources, read_all
from kobert_vocab.train import train
from kobert_vocab.vocabulary import CARD, MODEL, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "extension.json"
SIZE = 32_000  # of the vocabulary that new pieces are taken from
SAMPLE = 20_000  # lines of each language to measure on
SENTENCEPIECE_FILES = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """How a language's sample is cut, before and after.

    Of words that hold an unknown character BERT makes one unknown token, however long they are. So
    a share of unknowns that falls can hide some of what is won in tokens per word.
    """

    words: int
    """Between blanks."""
    tokens_before: int
    unknown_before: int
    tokens_after: int
    unknown_after: int

    def __str__(self) -> str:
        before, after = self.tokens_before / self.words, self.tokens_after / self.words
        lost = 100 * self.unknown_before / max(1, self.tokens_before)
        still_lost = 100 * self.unknown_after / max(1, self.tokens_after)
        return (
            f"tokens per word {before:.2f} -> {after:.2f}, UNK {lost:.2f} % -> {still_lost:.2f} %"
        )


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A vocabulary that was extended."""

    folder: Path
    base_size: int
    """The first new id."""
    pieces: list[str]
    """The new ones, by id, as the base writes them."""
    dropped: dict[str, int]
    """How many pieces were learnt but not fit to add, by the reason."""
    measured: dict[str, Fertility]
    """By language; nothing where there was no text to measure on."""


def extend(
    base: str | Path,
    texts: Sequence[str | Path],
    out: str | Path,
    *,
    add: int,
    size: int | None = None,
    on: Sequence[str | Path] = (),
) -> Extension:
    """Add the ``add`` best pieces of ``texts`` to the vocabulary ``base``; write it to ``out``.

    Characters of the text that the base lacks come first, for up to half of ``add``, since each
    makes an unknown of any word it stands in; then the learnt pieces, the most probable first. The
    same base, text and options give the same files.

    Args:
        base: a folder with ``tokenizer.json``, WordPiece or Unigram, or the name of one on the hub.
        texts: files and folders, as for `kobert_vocab.train`; or one vocabulary folder of ours.
        out: a folder that does not exist yet, or is empty.
        add: how many pieces.
        size: of the vocabulary that is learnt from ``texts`` to take the pieces from; by default
            32,000. It matters little: 12,000 gave the same tokens per word within 0.05.
        on: text to measure on, best such as is not among ``texts``; by default ``texts``
            themselves, or nothing if they are a vocabulary.

    Raises:
        InputError: an input, an option or ``out`` cannot be used, the base is of another kind, or
            there are fewer pieces to add.
    """
    if add < 1:
        raise InputError(f"add {add}: give the number of pieces to add, for example 8000")
    given = _is_vocabulary(texts)
    if not given:
        size = SIZE if size is None else size
    elif size is not None:
        raise InputError(f"size {size}: {texts[0]} is a vocabulary already; leave the size out")
    out = Path(out)
    refuse_existing(out)
    folder = find_base(base)
    opened = open_base(folder, Path(base).resolve().name)
    measured_on = on or ([] if given else texts)
    sources = find_sources(measured_on) if measured_on else []  # before long work
    model = _read_model(Path(texts[0])) if size is None else _learn(texts, out, size)
    learnt = list(_learnt(model))
    chosen, dropped = choose(opened, learnt, add)
    pieces = [written(opened, candidate) for candidate in chosen]
    content = extended(opened, pieces, [candidate.score for candidate in chosen])
    rows = [old_ids(opened, candidate) for candidate in chosen]
    sample = _sample(read_all(sources, "measuring")) if sources else {}
    with new_folder(out) as partial:
        write_extended(opened, content, partial)
        write_rows(rows, opened.learnt, partial)
        extension = Extension(
            folder=out,
            base_size=len(opened.pieces),
            pieces=pieces,
            dropped=dropped,
            measured=_measure(opened, read_tokenizer(content), sample),
        )
        made = _card(opened, extension, model, size, rows, chosen)
        (partial / FILE).write_text(made, encoding="utf-8")
    _report(folder, opened, extension)
    return extension


def _is_vocabulary(texts: Sequence[str | Path]) -> bool:
    return len(texts) == 1 and all((Path(texts[0]) / name).is_file() for name in (MODEL, CARD))


def _read_model(folder: Path) -> bytes:
    Vocabulary.load(folder)  # refuses what is not one of ours
    return (folder / MODEL).read_bytes()


def _learnt(model: bytes) -> Iterator[Piece]:
    """The pieces of text, composed: elsewhere no rare syllable is written as two characters."""
    for piece in read_pieces(model):
        text = nfc(piece.text)
        if piece.type == NORMAL and text != SPACE and not TAIL_JAMO.intersection(text):
            yield Piece(text, piece.score, piece.type)


def _learn(texts: Sequence[str | Path], out: Path, size: int) -> bytes:
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.learnt.") as work:
        trained = train(texts, Path(work) / "vocabulary", size=size, work=Path(work) / "steps")
        return _read_model(trained)


def _sample(documents: Iterable[Document]) -> dict[str, list[str]]:
    """Lines of each language, each as likely as any other (Vitter 1985, algorithm R)."""
    draw = random.Random(0)
    kept: dict[str, list[str]] = {}
    seen: Counter[str] = Counter()
    for document in documents:
        lines = kept.setdefault(document.language, [])
        for line in filter(str.strip, document.text.splitlines()):
            seen[document.language] += 1
            if len(lines) < SAMPLE:
                lines.append(line)
            elif (at := draw.randrange(seen[document.language])) < SAMPLE:
                lines[at] = line
    return kept


def _measure(
    base: Base, tokenizer: "Tokenizer", sample: Mapping[str, list[str]]
) -> dict[str, Fertility]:
    measured = {}
    for language, lines in sorted(sample.items()):
        before, unknown_before = _count_tokens(base.tokenizer, base.unk, lines)
        after, unknown_after = _count_tokens(tokenizer, base.unk, lines)
        measured[language] = Fertility(
            words=sum(len(line.split()) for line in lines),
            tokens_before=before,
            unknown_before=unknown_before,
            tokens_after=after,
            unknown_after=unknown_after,
        )
    return measured


def _count_tokens(tokenizer: "Tokenizer", unk: int, lines: list[str]) -> tuple[int, int]:
    encoded = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
    return sum(len(e.ids) for e in encoded), sum(e.ids.count(unk) for e in encoded)


def _card(
    base: Base,
    extension: Extension,
    model: bytes,
    size: int | None,
    rows: Sequence[Sequence[int]],
    chosen: Sequence[Candidate],
) -> str:
    """How it was made. No paths; the base by its name only."""
    made = {
        "base": {
            "name": base.name,
            "kind": base.kind,
            "size": extension.base_size,
            "tokenizer_json_sha256": base.sha256,
        },
        "options": {"add": len(extension.pieces), "size": size},
        "vocabulary_sha256": hashlib.sha256(model).hexdigest(),
        "added": {
            "pieces": len(extension.pieces),
            "characters": sum(len(candidate.surface) == 1 for candidate in chosen),
            "unknown_to_base": sum(not row for row in rows),
        },
        "dropped": extension.dropped,
        "measured": {code: asdict(found) for code, found in extension.measured.items()},
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("kobert-kit", "sentencepiece", "tokenizers")
        },
    }
    return json.dumps(made, ensure_ascii=False, indent=2) + "\n"


def _report(folder: Path, base: Base, extension: Extension) -> None:
    for name in SENTENCEPIECE_FILES:
        if (folder / name).is_file():
            log.info("left out %s: it has the old pieces only; use tokenizer.json", name)
    if base.unused:
        log.info("left the %d unused ids of %s as they are", len(base.unused), base.name)
    measured = extension.measured
    if not measured:
        log.info(
            "added %s pieces; give text with --on to see what they bring",
            f"{len(extension.pieces):,}",
        )
        return
    code = KOREAN if KOREAN in measured else max(measured, key=lambda code: measured[code].words)
    name = languages()[code].name if code in languages() else code
    log.info("added %s pieces; %s %s", f"{len(extension.pieces):,}", name, measured[code])
