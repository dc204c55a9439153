"""Documents to word counts per language.

A word begins with a space where one stood before it in the text. Languages written without spaces
are cut into chunks at punctuation and changes of script, and only a chunk that followed a space
begins with one: SentencePiece marks the space, so a chunk from the middle of a line must not learn
the mark.
"""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby

from kobert_vocab.languages import languages
from kobert_vocab.normalize import nfc, normalize
from kobert_vocab.texts import Document

LONGEST_WORD = 64  # characters; longer "words" are URLs, or text without spaces
TYPES_IN_MEMORY = 5_000_000  # per language, about 0.6 GB; beyond it, words seen once are dropped
_JAPANESE_AND_CHINESE = {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "BOPOMOFO"}

log = logging.getLogger(__name__)


def count_words(documents: Iterable[Document]) -> dict[str, Counter[str]]:
    """How often each word occurs, by language, normalised."""
    raw: dict[str, Counter[str]] = {}
    for document in documents:
        counter = raw.setdefault(document.language, Counter())
        counter.update(_raw_words(document.text, document.language))
        if len(counter) > TYPES_IN_MEMORY:
            _drop_singletons(counter, document.language)
    return {language: _normalized(raw.pop(language), language) for language in sorted(raw)}


def count_characters(words: Counter[str]) -> int:
    """The length of the text that ``words`` were counted in, a space before most words included."""
    return sum(len(word) * count for word, count in words.items())


def has_spaces(language: str) -> bool:
    """Whether ``language`` is written with spaces; text in no known language is taken to be."""
    known = languages().get(language)
    return known is None or known.spaces


def _raw_words(text: str, language: str) -> Iterable[str]:
    # Words repeat and are normalised once per type, 20 times fewer than tokens in Korean news;
    # chunks hardly repeat, so cutting them here keeps what is held in memory short.
    if has_spaces(language):
        return nfc(text).split()
    return (chunk for line in text.splitlines() for chunk in _chunks_of_line(line))


def _drop_singletons(counter: Counter[str], language: str) -> None:
    before = len(counter)
    for word in [word for word, count in counter.items() if count == 1]:
        del counter[word]
    log.info(
        "%s: dropped %d words seen once, %d kept", language, before - len(counter), len(counter)
    )


def _normalized(raw: Counter[str], language: str) -> Counter[str]:
    if not has_spaces(language):
        return raw  # chunks are of normalised text
    words: Counter[str] = Counter()
    for word, count in raw.items():
        for chunk in _chunks_of_line(word) if len(word) > LONGEST_WORD else _words_of_line(word):
            words[chunk] += count
    return words


def _words_of_line(line: str) -> Iterator[str]:
    return (" " + word for word in normalize(line).split(" ") if word)


def _chunks_of_line(line: str) -> Iterator[str]:
    for word in normalize(line).split(" "):
        space = " "
        for _, run in groupby(word, key=_Kinds()):
            chunk = "".join(run)
            for start in range(0, len(chunk), LONGEST_WORD):
                yield space + chunk[start : start + LONGEST_WORD]
                space = ""


class _Kinds:
    """The kind of each character of a run of text; marks and joiners take that before them."""

    def __init__(self) -> None:
        self.before = ""

    def __call__(self, char: str) -> str:
        self.before = _kind(char) or self.before
        return self.before


@cache
def _kind(char: str) -> str:
    """``digit``, ``other``, a script such as ``THAI``, or nothing for a mark or joiner."""
    category = unicodedata.category(char)
    if category[0] == "M" or category == "Cf":
        return ""
    if category[0] == "N":
        return "digit"
    if category[0] != "L":
        return "other"
    # Python has no script property; a letter's name begins with its script.
    script = unicodedata.name(char, "UNKNOWN").split()[0]
    return "CJK" if script in _JAPANESE_AND_CHINESE else script
