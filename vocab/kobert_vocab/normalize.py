"""One normaliser for every route: NFC, then SentencePiece's own matcher over one rule table.

Stock ``nmt_nfkc`` turns ㅋ into U+110F, 가ㄳ into 갃 and ㅎㅏ into 하, which nobody types, so the
table is ours (``vocab/make_rules.py``): it composes decomposed text, folds width and ligatures,
keeps compatibility jamo, ZWJ and ZWNJ, makes every kind of blank a space, and deletes zero-width
spaces, soft hyphens, bidi marks and control characters. Last, it writes the syllables that have no
piece of their own as a syllable without its tail and the tail (봣 as 봐 + ᆺ); composing the text
that comes back (NFC) makes them whole again.
"""

import hashlib
import tempfile
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import sentencepiece

from kobert_vocab.hangul import SYLLABLES, rare_syllables, tail

RULES = "ko_nfc"
RULES_SHA256 = "dbb79a26287c1098911073c706619581a52f488dda5e817f0dee77e7462cb705"
RULES_UNICODE = "14.0.0"


def nfc(text: str) -> str:
    """``text`` composed; what every route runs before SentencePiece sees it."""
    return unicodedata.normalize("NFC", text)


def normalize(text: str) -> str:
    """``text`` as a vocabulary reads it, spaces trimmed and collapsed.

    >>> normalize("  Ｋ팝 ㅋㅋㅋ…  ㎏")
    'K팝 ㅋㅋㅋ... kg'
    """
    normalized: str = _normalizer().Normalize(nfc(text))
    return nfc(normalized)


def in_model_form(text: str) -> str:
    """Normalised ``text`` in the characters that pieces are made of: rare syllables in two."""
    return text.translate(_rare_syllables())


@cache
def _rare_syllables() -> dict[int, str]:
    return str.maketrans(rare_syllables())


def write_rules(path: Path) -> None:
    """Write the whole table in the form of ``normalization_rule_tsv``.

    Raises:
        RuntimeError: the installed table is not the one that was released.
    """
    path.write_bytes(_folds_file() + "".join(_hangul_rules()).encode())


def read_folds() -> dict[str, str]:
    """What is replaced by what, without the compositions of Hangul syllables."""
    rows = (line.split("\t") for line in _folds_file().decode().splitlines())
    return {_from_hex(source): _from_hex(target) for source, target in rows} | rare_syllables()


def _from_hex(codes: str) -> str:
    return "".join(chr(int(code, 16)) for code in codes.split())


def _to_hex(text: str) -> str:
    return " ".join(f"{ord(char):X}" for char in text)


def _folds_file() -> bytes:
    folds = files(__package__).joinpath("rules", f"{RULES}.tsv").read_bytes()
    if hashlib.sha256(folds).hexdigest() != RULES_SHA256:
        raise RuntimeError(f"rules/{RULES}.tsv was changed: reinstall, or run vocab/make_rules.py")
    return folds


def _hangul_rules() -> Iterator[str]:
    """Rules that compose L+V, LV+T and L+V+T where there is such a piece, and part rare syllables.

    The parts of a rare syllable, L+V+T or LV+T, need none: L+V composes and T stays.
    """
    rare = rare_syllables()
    for syllable in map(chr, SYLLABLES):
        if syllable in rare:
            yield f"{_to_hex(syllable)}\t{_to_hex(rare[syllable])}\n"
            continue
        decomposed = unicodedata.normalize("NFD", syllable)
        yield f"{_to_hex(decomposed)}\t{_to_hex(syllable)}\n"
        if tail(syllable):
            open_and_tail = nfc(decomposed[:2]) + decomposed[2]
            yield f"{_to_hex(open_and_tail)}\t{_to_hex(syllable)}\n"


@cache
def _normalizer() -> sentencepiece.SentencePieceNormalizer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.tsv"
        write_rules(path)
        sentencepiece.set_min_log_level(2)  # errors only: it reports every step on stderr
        return sentencepiece.SentencePieceNormalizer(
            rule_tsv=str(path),
            add_dummy_prefix=False,
            escape_whitespaces=False,
            remove_extra_whitespaces=True,
        )
