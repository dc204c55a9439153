"""The languages the kit knows: the 104 of multilingual BERT and 346 more.

``languages.tsv`` holds one language per line. A code is the Wikipedia code where multilingual BERT
has the language (``ko``, ``zh-Hans``), else ISO 639-3, with the ISO 15924 script added for a second
script (``aze-Cyrl``). Every ISO 639-3 code and ``<iso>_<Script>`` form is understood as an
alias, and so are the codes of Wikipedias, which for a few languages are their own (``zh-min-nan``).
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from kobert_vocab.errors import InputError

KOREAN, ENGLISH = "ko", "en"
UNKNOWN = "und"  # ISO 639-3 for "undetermined"
# Names of Wikimedia dumps: kowiki-20240101-pages-articles.xml.bz2, zh_min_nanwiki-...
DUMP = re.compile(
    "([a-z]+(?:_[a-z]+)*)(?:wiki|wiktionary)(?:news|books|quote|source|versity|voyage)?-"
)
DUMPS_ONLY = {"als": "gsw"}  # a Wikipedia in Alemannic, but in ISO 639-3 Tosk Albanian

# Signs that end a sentence in a script, by ISO 15924, beside . ! ? … and the full-width ones:
# those of the Unicode property Sentence_Terminal that ordinary text of today uses.
SENTENCE_ENDERS = {
    "Arab": "؟۔",
    "Armn": "։",
    "Beng": "।॥",
    "Cans": "᙮",
    "Deva": "।॥",
    "Ethi": "።፧፨",
    "Gujr": "।॥",
    "Guru": "।॥",
    "Khmr": "។៕",
    "Mymr": "။",
    "Nkoo": "߹",
    "Olck": "᱾᱿",
    "Orya": "।॥",
    "Sinh": "෴",
    "Syrc": "܀܁܂؟",
    "Thaa": "؟",
    "Tibt": "།༎",
    "Vaii": "꘎꘏",
}


@dataclass(frozen=True, kw_only=True)
class Language:
    """One row of ``languages.tsv``."""

    code: str
    iso639_3: str
    script: str
    """ISO 15924."""
    spaces: bool
    """Whether words are written with spaces between them."""
    iso639_1: str | None
    """Two letters; None for the many languages that have no such code."""
    mbert: bool
    """Whether it is one of the 104 languages of multilingual BERT."""
    name: str


@cache
def languages() -> dict[str, Language]:
    """Every language by its code, in the order of the codes."""
    with files(__package__).joinpath("languages.tsv").open(encoding="utf-8") as rows:
        return {
            row["code"]: Language(
                code=row["code"],
                iso639_3=row["iso639_3"],
                script=row["script"],
                iso639_1=row["iso639_1"] or None,
                spaces=row["spaces"] == "yes",
                mbert=row["mbert"] == "yes",
                name=row["name"],
            )
            for row in csv.DictReader(rows, delimiter="\t")
        }


@cache
def _codes_by_alias() -> dict[str, str]:
    table: dict[str, str] = {}
    with files(__package__).joinpath("languages.tsv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            code, iso, script = row["code"], row["iso639_3"], row["script"]
            # A plain code names the language's first script; the second has it spelt out.
            aliases = [code, f"{iso}_{script}", f"{iso}-{script}", *row["aliases"].split()]
            if "-" not in code:
                aliases += [iso, *row["iso639_1"].split()]
            for alias in aliases:
                table.setdefault(alias.lower(), code)
    return table


def find_language(name: str) -> str | None:
    """The code of the language that ``name`` is a code or alias of, or None.

    >>> find_language("kor"), find_language("zho_Hans"), find_language("reviews")
    ('ko', 'zh-Hans', None)
    """
    return _codes_by_alias().get(name.lower())


def language_named(tag: str) -> str:
    """As `find_language`, for a tag that somebody wrote.

    Raises:
        InputError: no language has that code.
    """
    code = find_language(tag)
    if code is None and tag.lower() == UNKNOWN:
        return UNKNOWN
    if code is None:
        raise InputError(
            f"{tag!r} is not a language code this kit knows; use ISO 639 codes such as ko, en, "
            f"zh-Hans, or '{UNKNOWN}' for text in no known language"
        )
    return code


def language_of_file(path: Path, root: Path) -> str | None:
    """The language that a file's name, or else the nearest folder up to ``root``, is a code of.

    >>> language_of_file(Path("data/ko/news.jsonl.gz"), Path("data"))
    'ko'
    """
    code = find_language(path.name.split(".")[0]) or _language_of_dump(path.name)
    if code is not None:
        return code
    for folder in path.parents:
        code = find_language(folder.name)
        if code is not None:
            return code
        if folder == root:
            break
    return None


def _language_of_dump(name: str) -> str | None:
    """The language of a Wikimedia dump, by its file's name.

    >>> _language_of_dump("zh_yuewiki-20240101-pages-articles.xml.bz2")
    'yue'
    """
    found = DUMP.match(name)
    if found is None:
        return None
    code = found[1].replace("_", "-")
    return find_language(DUMPS_ONLY.get(code, code))


def guess_language(text: str) -> str:
    """``ko`` if most letters of ``text`` are Hangul, else ``und``: right for Korean, and cheap."""
    letters = [c for c in text if c.isalpha()]
    hangul = sum("\uac00" <= c <= "\ud7a3" or "\u1100" <= c <= "\u11ff" for c in letters)
    return "ko" if letters and 2 * hangul > len(letters) else UNKNOWN
