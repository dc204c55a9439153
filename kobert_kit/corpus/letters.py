"""Which letters belong to a language: the blocks of the scripts it is written in.

Blocks from Unicode 16.0 (Blocks.txt). A class names whole blocks, marks and digits included: what
is counted is letters in runs, and a vowel sign is no foreign letter.
"""

import re
from dataclasses import dataclass
from functools import cache

from kobert_vocab.languages import languages

_HAN = "々〆〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"

BLOCKS = {
    "Arab": "\u0600-\u06ff\u0750-\u077f\u0870-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "Armn": "\u0530-\u058f\ufb13-\ufb17",
    "Beng": "\u0980-\u09ff",
    "Cans": "\u1400-\u167f\u18b0-\u18ff",
    "Cher": "\u13a0-\u13ff\uab70-\uabbf",
    "Copt": "\u2c80-\u2cff\u03e2-\u03ef",
    "Cyrl": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "Deva": "\u0900-\u097f\u1cd0-\u1cff\ua8e0-\ua8ff",
    "Ethi": "\u1200-\u139f\u2d80-\u2ddf\uab00-\uab2f",
    "Geor": "\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f",
    "Grek": "\u0370-\u03e1\u03f0-\u03ff\u1f00-\u1fff",
    "Gujr": "\u0a80-\u0aff",
    "Guru": "\u0a00-\u0a7f",
    "Hani": _HAN,
    "Hans": _HAN,
    "Hant": _HAN + "\u3100-\u312f\u31a0-\u31bf",  # with Bopomofo
    "Hebr": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Jpan": "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f" + _HAN,
    "Khmr": "\u1780-\u17ff",
    "Knda": "\u0c80-\u0cff",
    # Syllables first (a set is searched in order), jamo of every kind (decomposed text is Korean
    # too), half-width ones, and Hanja.
    "Kore": "\uac00-\ud7ff\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uffa1-\uffdc" + _HAN,
    "Laoo": "\u0e80-\u0eff",
    "Latn": "A-Za-zªº\u00c0-\u02ff\u0300-\u036f\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f"
    "\ua720-\ua7ff\uab30-\uab6f\ufb00-\ufb06Ａ-Ｚａ-ｚ",
    "Mlym": "\u0d00-\u0d7f",
    "Mymr": "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f",
    "Nkoo": "\u07c0-\u07ff",
    "Olck": "\u1c50-\u1c7f",
    "Orya": "\u0b00-\u0b7f",
    "Sinh": "\u0d80-\u0dff",
    "Syrc": "\u0700-\u074f\u0860-\u086f",
    "Taml": "\u0b80-\u0bff",
    "Telu": "\u0c00-\u0c7f",
    "Tfng": "\u2d30-\u2d7f",
    "Thaa": "\u0780-\u07bf",
    "Thai": "\u0e00-\u0e7f",
    "Tibt": "\u0f00-\u0fff",
    "Vaii": "\ua500-\ua63f",
    "Yiii": "\ua000-\ua4cf",
}


@dataclass(frozen=True)
class Letters:
    """Patterns of a language's own letters and of other letters, in runs."""

    own: re.Pattern[str]
    foreign: re.Pattern[str]
    latin: bool
    """Whether a to z are among the own ones."""


@cache
def letters_of(language: str) -> Letters | None:
    """The letters of a language code, of all scripts the table has it in; None if unknown.

    Serbian is written in Cyrillic and Latin letters, and either code takes both.
    """
    known = languages()
    if language not in known:
        return None
    iso = known[language].iso639_3
    scripts = sorted({other.script for other in known.values() if other.iso639_3 == iso})
    blocks = "".join(BLOCKS[script] for script in scripts)
    return Letters(
        own=re.compile(f"[{blocks}]+"),
        foreign=re.compile(f"[^{blocks}\\W\\d_]+"),
        latin="Latn" in scripts,
    )


def count(pattern: re.Pattern[str], text: str) -> int:
    """The characters of ``text`` in the runs that ``pattern`` finds."""
    return sum(map(len, pattern.findall(text)))
