"""Documents to word counts, in bounded memory.

A word begins with a space where one stood before it in the text. Languages written without spaces
are cut into chunks at punctuation, changes of script and, in Japanese, where kana give way to the
next word's first letter; only a chunk that followed a space begins with one: SentencePiece marks
the space, so a chunk from the middle of a line must not learn the mark.

Counts are kept in memory until there are too many different words, then written away as a sorted
run; the runs are merged at the end. So memory does not grow with the text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from kobert_vocab.languages import languages
from kobert_vocab.normalize import nfc, normalize
from kobert_vocab.personal import is_personal
from kobert_vocab.reading import Document
from kobert_vocab.scripts import script
from kobert_vocab.word_counts import merge, write_counts

LONGEST_WORD = 64  # characters; longer "words" are URLs, or text without spaces
TYPES_IN_MEMORY = 600_000  # words as they stand in the text, about 100 MB
PERSONAL = "\0personal"  # counts the words left out; no word holds a NUL, so it sorts first
_HIRAGANA, _KANJI_OR_KATAKANA = "HIRAGANA", {"CJK", "KATAKANA"}


def count_words(documents: Iterable[Document], language: str, out: Path) -> None:
    """Write how often each word of ``documents`` occurs to ``out``, sorted.

    The file holds ``word <tab> count`` lines. Words with personal data are not in it; how many
    they were is the count of `PERSONAL`.
    """
    with TemporaryDirectory(dir=out.parent) as folder:
        runs: list[Path] = []
        raw: Counter[str] = Counter()
        for document in documents:
            raw.update(_raw_words(document.text, language))
            if len(raw) > TYPES_IN_MEMORY:
                runs.append(_spill(raw, language, Path(folder) / f"{len(runs)}.tsv"))
                raw = Counter()
        runs.append(_spill(raw, language, Path(folder) / f"{len(runs)}.tsv"))
        write_counts(out, merge(runs))


def has_spaces(language: str) -> bool:
    """Whether ``language`` is written with spaces; text in no known language is taken to be."""
    known = languages().get(language)
    return known is None or known.spaces


def _raw_words(text: str, language: str) -> Iterable[str]:
    # Words repeat and are normalised once per type, 20 times fewer than tokens in Korean news;
    # chunks hardly repeat, so cutting them here keeps what is held in memory short.
    if has_spaces(language):
        return nfc(text).split()
    return (
        chunk
        for line in text.splitlines()
        for word in normalize(line).split(" ")
        for chunk in _chunks(word)
    )


def _spill(raw: Counter[str], language: str, path: Path) -> Path:
    words = _normalized(raw) if has_spaces(language) else raw
    write_counts(path, sorted(words.items()))
    return path


def _normalized(raw: Counter[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    for written, count in raw.items():
        for word in normalize(written).split(" "):
            for part in _chunks(word) if len(word) > LONGEST_WORD else _whole(word):
                words[part] += count
    return words


def _whole(word: str) -> Iterator[str]:
    if word:
        yield PERSONAL if is_personal(word) else " " + word


def _chunks(word: str) -> Iterator[str]:
    if is_personal(word):
        yield PERSONAL
        return
    space = " "
    for _, run in groupby(word, key=_Kinds()):
        chunk = "".join(run)
        for start in range(0, len(chunk), LONGEST_WORD):
            yield space + chunk[start : start + LONGEST_WORD]
            space = ""


class _Kinds:
    """The kind of each character of a run of text; marks and joiners take that before them.

    Each word of a Japanese line, its particles and endings included, is a kind of its own: kanji
    or katakana behind hiragana begin the next (私は|毎日|学校へ).
    """

    def __init__(self) -> None:
        self.before = ""
        self.number = 0

    def __call__(self, char: str) -> tuple[str, int]:
        kind = script(char) or self.before
        if self.before == _HIRAGANA and kind in _KANJI_OR_KATAKANA:
            self.number += 1
        self.before = kind
        return _WRITTEN_TOGETHER.get(kind, kind), self.number


# Chinese characters and both kana make one word: 食べる, サボる.
_WRITTEN_TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO"), "CJK")
