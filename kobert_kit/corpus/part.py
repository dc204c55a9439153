"""A block of documents made into a part of a corpus: cleaned, split into sentences, encoded.

This is what worker processes and machines do. A part is a folder with the documents as arrays
(`documents`), their signatures (`duplicates`) and counts of what was dropped.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from kobert_kit.corpus.cleaning import clean
from kobert_kit.corpus.detection import detect
from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.duplicates import write_signatures
from kobert_kit.corpus.korean_sentences import AnalysedSentence, analyse_sentences
from kobert_kit.corpus.morphemes import token_starts
from kobert_kit.corpus.personal_data import mask_personal
from kobert_kit.corpus.sentences import split_sentences
from kobert_kit.corpus.shard_writer import token_dtype
from kobert_kit.corpus.shards import Bools, Int64s, Ints
from kobert_kit.corpus.signatures import signature
from kobert_vocab.languages import KOREAN, UNKNOWN
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

Splitter = Literal["rules", "kiwi"]

COUNTS = "counts.json"
EMPTY = "empty"  # the reason to drop a document of which no token is left
SENTENCES_AT_ONCE = 4096  # the ids of more, as Python numbers, take more memory than they save time
EXAMPLES = 3  # of each reason in a part
EXAMPLE = 120  # characters


class RawDocument(NamedTuple):
    """A document as it was read."""

    text: str
    language: str
    line: int


@dataclass
class Counts:
    """What became of the documents of one language in a part."""

    read: int = 0
    read_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class PartCounts:
    """``counts.json`` of a part."""

    languages: dict[str, Counts]
    """In the order of their numbers in `Documents.languages`."""
    examples: dict[str, list[str]]
    """Beginnings of dropped documents, by reason."""

    @classmethod
    def load(cls, folder: Path) -> "PartCounts":
        """Read what `make_part` wrote."""
        raw = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
        return cls({code: Counts(**row) for code, row in raw["languages"].items()}, raw["examples"])


class _Kept(NamedTuple):
    """A document that stays, in sentences."""

    language: int
    line: int
    sentences: Sequence[AnalysedSentence | str]
    hash: int
    bands: bytes | None
    words: int
    bytes: int


def make_part(
    block: Sequence[RawDocument], folder: Path, vocabulary: AnyVocabulary, splitter: Splitter
) -> None:
    """Write the part of ``block`` into the empty ``folder``."""
    counts = PartCounts({}, {})
    kept = list(_kept(block, counts, vocabulary, splitter))
    documents, kept = _encoded(kept, vocabulary, counts)
    documents.save(folder)
    write_signatures(folder, documents.hashes, [one.bands for one in kept])
    # Not `asdict`, which makes a Counter of a Counter's pairs.
    languages = {code: vars(one) for code, one in counts.languages.items()}
    about = {"languages": languages, "examples": counts.examples}
    content = json.dumps(about, ensure_ascii=False)
    (folder / COUNTS).write_text(content + "\n", encoding="utf-8")


def _kept(
    block: Sequence[RawDocument], counts: PartCounts, vocabulary: AnyVocabulary, splitter: Splitter
) -> Iterator[_Kept]:
    numbers: dict[str, int] = {}
    for document in block:
        language = detect(document.text) if document.language == UNKNOWN else document.language
        number = numbers.setdefault(language, len(numbers))
        of_language = counts.languages.setdefault(language, Counts())
        of_language.read += 1
        of_language.read_bytes += len(document.text.encode())
        cleaned = clean(document.text, language)
        if cleaned.changes:
            of_language.changed.update(cleaned.changes)
        if cleaned.dropped is not None:
            of_language.dropped[cleaned.dropped] += 1
            _show(counts, cleaned.dropped, document.text)
            continue
        text, masked = mask_personal(cleaned.text)
        if masked:
            of_language.changed.update(masked)
        if splitter == "kiwi" and language == KOREAN:
            # Normalised first, so that morphemes are found again among the pieces.
            normalized = "\n".join(map(vocabulary.normalize, text.split("\n")))
            sentences: Sequence[AnalysedSentence | str] = analyse_sentences(normalized)
        else:
            sentences = split_sentences(text, language)
        words, size = _count_words(text), len(text.encode())
        yield _Kept(number, document.line, sentences, *signature(text), words, size)


def _count_words(text: str) -> int:
    """Of clean text, which has single blanks and trimmed lines: English in a tenth of the time."""
    if "\n\n" in text or text[:1] == "\n" or text[-1:] == "\n":
        return len(text.split())
    return text.count(" ") + text.count("\n") + 1


def _show(counts: PartCounts, reason: str, text: str) -> None:
    shown = counts.examples.setdefault(reason, [])
    if len(shown) < EXAMPLES:
        shown.append(mask_personal(" ".join(text[: 2 * EXAMPLE].split()))[0][:EXAMPLE])


def _encoded(
    kept: Sequence[_Kept], vocabulary: AnyVocabulary, counts: PartCounts
) -> tuple[Documents, list[_Kept]]:
    """The documents as arrays, without those of which no token is left (only deleted signs)."""
    sentences = [sentence for document in kept for sentence in document.sentences]
    of_document = np.repeat(np.arange(len(kept)), [len(document.sentences) for document in kept])
    tokens, morphemes, lengths = _tokens(sentences, vocabulary)
    has_tokens = lengths > 0
    sizes = np.bincount(of_document[has_tokens], minlength=len(kept))
    languages = list(counts.languages.values())
    for document, size in zip(kept, sizes.tolist(), strict=True):
        if not size:
            languages[document.language].dropped[EMPTY] += 1
    stays = [document for document, size in zip(kept, sizes.tolist(), strict=True) if size]
    return Documents(
        tokens=tokens,
        morphemes=morphemes,
        sentences=lengths[has_tokens],
        documents=sizes[sizes > 0].astype(np.int64),
        languages=np.array([document.language for document in stays], dtype=np.int64),
        hashes=np.array([document.hash for document in stays], dtype=np.uint64),
        lines=np.array([document.line for document in stays], dtype=np.int64),
        words=np.array([document.words for document in stays], dtype=np.int64),
        bytes=np.array([document.bytes for document in stays], dtype=np.int64),
    ), stays


def _tokens(
    sentences: Sequence[AnalysedSentence | str], vocabulary: AnyVocabulary
) -> tuple[Ints, Bools, Int64s]:
    """All ids end to end, where morphemes begin among them, and how many each sentence has."""
    ids: list[Ints] = []
    lengths: list[Int64s] = []
    starts: list[Bools] = []
    remaining = iter(sentences)
    while batch := list(islice(remaining, SENTENCES_AT_ONCE)):
        texts = [one if isinstance(one, str) else one.text for one in batch]
        encoded = vocabulary.encode_batch(texts)
        lengths.append(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)))
        ids.append(np.fromiter(chain.from_iterable(encoded), dtype=token_dtype(len(vocabulary))))
        starts.append(_starts(batch, encoded, vocabulary))
    if not ids:
        return np.zeros(0, "<u2"), np.zeros(0, np.bool_), np.zeros(0, np.int64)
    return np.concatenate(ids), np.concatenate(starts), np.concatenate(lengths)


def _starts(
    sentences: Sequence[AnalysedSentence | str],
    encoded: Sequence[Sequence[int]],
    vocabulary: AnyVocabulary,
) -> Bools:
    """Where morphemes begin among the ids of ``sentences``."""
    starts = np.zeros(sum(map(len, encoded)), dtype=np.bool_)
    if all(isinstance(sentence, str) for sentence in sentences):
        return starts
    at = 0
    for sentence, ids in zip(sentences, encoded, strict=True):
        if not isinstance(sentence, str):
            pieces = [vocabulary.piece(i) for i in ids]
            found = token_starts(pieces, sentence.text, sentence.morpheme_starts)
            starts[at : at + len(ids)] = found
        at += len(ids)
    return starts
