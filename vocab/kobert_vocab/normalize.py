"""One normaliser for every route: NFC, then SentencePiece's own matcher over one rule table.

Stock ``nmt_nfkc`` turns ㅋ into U+110F, 가ㄳ into 갃 and ㅎㅏ into 하, which nobody types, so the
table is ours (``vocab/make_rules.py``): it composes decomposed text, folds width and ligatures,
keeps compatibility jamo, ZWJ and ZWNJ, makes every kind of blank a space, and deletes zero-width
spaces, soft hyphens, bidi marks and control characters.
"""

import hashlib
import tempfile
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import sentencepiece

RULES = "ko_nfc"
RULES_SHA256 = "dbb79a26287c1098911073c706619581a52f488dda5e817f0dee77e7462cb705"
RULES_UNICODE = "14.0.0"

_HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
_FIRST_L, _FIRST_V, _BEFORE_FIRST_T = 0x1100, 0x1161, 0x11A7  # Unicode 3.12
_VOWELS, _TAILS = 21, 28  # 28: no final consonant, or one of 27


def nfc(text: str) -> str:
    """``text`` composed; what every route runs before SentencePiece sees it."""
    return unicodedata.normalize("NFC", text)


def normalize(text: str) -> str:
    """``text`` as a vocabulary reads it, spaces trimmed and collapsed.

    >>> normalize("  Ｋ팝 ㅋㅋㅋ…  ㎏")
    'K팝 ㅋㅋㅋ... kg'
    """
    normalized: str = _normalizer().Normalize(nfc(text))
    return normalized


def write_rules(path: Path) -> None:
    """Write the whole table in the form of ``normalization_rule_tsv``.

    Raises:
        RuntimeError: the installed table is not the one that was released.
    """
    path.write_bytes(_folds_file() + "".join(_hangul_compositions()).encode())


def read_folds() -> dict[str, str]:
    """What is replaced by what, without the compositions of Hangul syllables."""
    rows = (line.split("\t") for line in _folds_file().decode().splitlines())
    return {_from_hex(source): _from_hex(target) for source, target in rows}


def _from_hex(codes: str) -> str:
    return "".join(chr(int(code, 16)) for code in codes.split())


def _folds_file() -> bytes:
    folds = files(__package__).joinpath("rules", f"{RULES}.tsv").read_bytes()
    if hashlib.sha256(folds).hexdigest() != RULES_SHA256:
        raise RuntimeError(f"rules/{RULES}.tsv was changed: reinstall, or run vocab/make_rules.py")
    return folds


def _hangul_compositions() -> Iterator[str]:
    """The 21,945 rules that compose L+V, LV+T and L+V+T into a syllable."""
    for syllable in _HANGUL_SYLLABLES:
        lead_and_vowel, tail = divmod(syllable - _HANGUL_SYLLABLES.start, _TAILS)
        lead, vowel = divmod(lead_and_vowel, _VOWELS)
        jamo = f"{_FIRST_L + lead:X} {_FIRST_V + vowel:X}"
        if tail:
            yield f"{syllable - tail:X} {_BEFORE_FIRST_T + tail:X}\t{syllable:X}\n"
            jamo += f" {_BEFORE_FIRST_T + tail:X}"
        yield f"{jamo}\t{syllable:X}\n"


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
