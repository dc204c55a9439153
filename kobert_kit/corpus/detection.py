"""The language of a document that does not say it: by its script, then by py3langid.

A script that one language of the table writes settles it (Hangul, kana, Thai, Georgian ...). For
the others py3langid (a naive Bayes classifier over byte n-grams, 140 languages, BSD licence) is
asked, and its answer holds if it is sure and the table has that language in that script.
"""

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from kobert_kit.corpus.letters import BLOCKS, count
from kobert_vocab.languages import UNKNOWN, find_language, languages

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE = 2_000  # characters that are looked at
LEAST_LETTERS = 2
# Probability. On single lines of multilingual BERT's languages, answers of 0.8 and more are right
# in 92 % of the cases, those of 0.6 to 0.8 in 59 %.
SURE = 0.8

_KANA = re.compile("[\u3041-\u30ff]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HAN = "Hani"
# Characters of everyday words that only one of the two ways to write Chinese has.
_SIMPLIFIED = re.compile("[们这说为国个时会过对来没还发经长门问间见头东马车书学习话语让给现实点]")
_TRADITIONAL = re.compile("[們這說為國個時會過對來沒還發經長門問間見頭東馬車書學習話語讓給現實點]")


def detect(text: str) -> str:
    """The code of the language of ``text`` in the kit's table, or `UNKNOWN` where it is not sure.

    Only languages of which py3langid has a model can be told apart within a script; text of
    another one is unknown, or taken for a relative.

    >>> detect("오늘은 비가 온다"), detect("今日は寒い"), detect("12:30")
    ('ko', 'ja', 'und')
    """
    sample = text[:SAMPLE]
    script = _main_script(sample)
    if script is None:
        return UNKNOWN
    if script == _HAN:
        return _chinese_or_japanese(sample)
    if script in _alone():
        return _alone()[script]
    name, probability = _identifier().classify(sample)
    code = _code(name, script)
    return code if code is not None and probability >= SURE else UNKNOWN


@cache
def _alone() -> dict[str, str]:
    """The language of each script that only one of the table uses."""
    users = Counter(language.script for language in languages().values())
    return {row.script: row.code for row in languages().values() if users[row.script] == 1}


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    # Japanese kana and both ways to write Chinese go with Han and are told apart afterwards. The
    # Korean block here is without Hanja. The scripts of most text come first.
    blocks = {"Kore": BLOCKS["Kore"].removesuffix(BLOCKS[_HAN]), _HAN: BLOCKS["Jpan"]}
    blocks["Latn"] = BLOCKS["Latn"]
    others = BLOCKS.keys() - {"Hans", "Hant", "Jpan", *blocks}
    blocks |= {script: BLOCKS[script] for script in ("Cyrl", "Arab", "Deva", *sorted(others))}
    return {script: re.compile(f"[{block}]+") for script, block in blocks.items()}


def _main_script(sample: str) -> str | None:
    """The script of most letters; None without letters."""
    letters = count(_LETTERS, sample)
    if letters < LEAST_LETTERS:
        return None
    found = {}
    for script, pattern in _patterns().items():
        found[script] = count(pattern, sample)
        # A syllable or a Han character stands for two to three Latin letters.
        if (3 if script in ("Kore", _HAN) else 2) * found[script] >= letters:
            return script
    return max(found, key=lambda script: found[script])


def _chinese_or_japanese(sample: str) -> str:
    # Japanese writes a third of its characters and more in kana, Chinese none.
    if 10 * count(_KANA, sample) > count(_LETTERS, sample):
        return "ja"
    simplified, traditional = count(_SIMPLIFIED, sample), count(_TRADITIONAL, sample)
    if simplified == traditional:
        return UNKNOWN
    return "zh-Hans" if simplified > traditional else "zh-Hant"


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # here: 0.5 s and 120 MB

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _code(name: str, script: str) -> str | None:
    """The code of py3langid's language ``name`` in ``script``, if the table has it."""
    first = find_language(name)
    if first is None:
        return None
    iso = languages()[first].iso639_3
    return find_language(f"{iso}_{script}")
