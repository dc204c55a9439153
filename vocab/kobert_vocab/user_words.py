"""Words of one's own that must be one piece each: product names, terms of a trade."""

from collections.abc import Sequence
from pathlib import Path

from kobert_vocab.count import LONGEST_WORD
from kobert_vocab.errors import InputError
from kobert_vocab.normalize import in_model_form, normalize

# Log probability 1. Any other way to write the word has at least two pieces of less than that.
SCORE = 0.0


def read_user_words(path: str | Path) -> list[str]:
    """The words of a UTF-8 file, one per line, normalised and sorted.

    Raises:
        InputError: there is no such file, or a line is not a word.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a text file with one word per line")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8; convert it first") from error
    words = {
        _checked(path, number, normalize(line))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    }
    if not words:
        raise InputError(f"{path}: no word in this file")
    return sorted(words)


def _checked(path: Path, number: int, word: str) -> str:
    where = f"{path}:{number}"
    if " " in word:
        raise InputError(f"{where}: {word!r} is several words; a piece holds no space")
    if not 2 <= len(word) <= LONGEST_WORD:
        raise InputError(f"{where}: {word!r}: a word has 2 to {LONGEST_WORD} characters")
    return word


def user_pieces(words: Sequence[str]) -> list[str]:
    """The pieces of ``words``: each at the beginning of a word and within one."""
    return [mark + in_model_form(word) for word in words for mark in ("▁", "")]
