"""Sentences by rule: at line ends, and after the signs that end a sentence.

Next-sentence pairs need plausible units, not perfect ones. What is guarded against is what would
make many wrong ones: list numbers, dates, abbreviations, initials, and quotations that go on. For
Korean by its analyser see `kobert_kit.corpus.korean_sentences`.
"""

import re
from functools import cache

from kobert_vocab.languages import SENTENCE_ENDERS, UNKNOWN, languages

LONGEST = 2_000  # characters; four times what 512 tokens hold, so nothing of use is lost
# Thai and Lao have no sign for the end of a sentence, only blanks between phrases: a line is cut
# at them when it is longer than this, 40 words.
LONG_PHRASES = 200
_PHRASES = frozenset(("Thai", "Laoo"))

_CLOSING = "\"'”’»›)\\]」』》〉】〕）］"
_WIDE = "。！？｡"
_WIDE_CLOSING = "」』”’）］】〕》〉"
_WIDE_OPENING = "「『“‘（［【〔《〈"

_KOREAN_ENDINGS = "다요죠까네음임함됨"  # of verbs, in the last syllable

# Before a full stop; in any language, since texts quote names of others.
_ABBREVIATION_LIST = """
mr mrs ms dr prof st sr jr vs etc eg ie cf al gen col lt sgt capt
rev hon inc ltd corp dept univ ave mt ft approx jan feb apr aug sept oct nov dec
hr fr bzw usw ca str tel evtl ggf inkl sog mio mrd mme mlle mm sra srta dra ud uds
pág núm sig sigg dott ing avv dhr mevr bijv enz resp
г гг ул им стр руб коп тыс млн млрд см рис др пр проф
e.g i.e z.b d.h u.a p.ex p.s a.m p.m ph.d т.е т.д т.п
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
# Words too, but not before a number: no. 5, fig. 3, Art. 1.
_BEFORE_NUMBERS = frozenset(("no", "nos", "fig", "figs", "vol", "pp", "nr", "abs", "art", "bd"))
_ENUMERATOR = re.compile(
    r"[(\[]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4}|[가나다라마바사아자차카타파하])\."
)
_DATE = re.compile(r"\d{1,4}\. ?\d{1,2}\.$")


def split_sentences(text: str, language: str = UNKNOWN) -> list[str]:
    """The sentences of ``text``, stripped, none empty; every character but blanks is kept.

    A line end always ends a sentence, so Korean endings (-다, -요) need no full stop there. No
    sentence has more than `LONGEST` characters: longer ones are cut at blanks, or anywhere if there
    are none.

    >>> split_sentences("비가 온다. 우산은 3.5만 원! 2024. 3. 1. 시행. 今日は寒い。明日も。")
    ['비가 온다.', '우산은 3.5만 원!', '2024. 3. 1. 시행.', '今日は寒い。', '明日も。']
    """
    sentences: list[str] = []
    begin = 0
    for match in _ends(_script(language)).finditer(text):
        if match.lastindex == 1 and not _ends_here(text, begin, match):
            continue
        end = match.end()
        if piece := text[begin:end].strip():
            sentences.append(piece)
        begin = end
    if piece := text[begin:].strip():
        sentences.append(piece)
    most = LONG_PHRASES if _script(language) in _PHRASES else LONGEST
    if len(text) > most:
        sentences = [part for sentence in sentences for part in cut_at_blanks(sentence, most)]
    return sentences


def cut_at_blanks(sentence: str, most: int) -> list[str]:
    """``sentence`` in parts of at most ``most`` characters, none of them empty."""
    parts: list[str] = []
    while len(sentence) > most:
        blank = sentence.rfind(" ", 1, most + 1)
        end = blank if blank > 0 else most
        if part := sentence[:end].strip():
            parts.append(part)
        sentence = sentence[end:].strip()
    return [*parts, sentence] if sentence else parts


@cache
def _script(language: str) -> str:
    known = languages()
    return known[language].script if language in known else ""


@cache
def _ends(script: str) -> re.Pattern[str]:
    """Where a sentence may end, with the blanks after it; group 1 where that has to be judged."""
    everywhere = "".join(sorted({sign for signs in SENTENCE_ENDERS.values() for sign in signs}))
    own = SENTENCE_ENDERS.get(script, "") if script else everywhere
    stops = ".!?…;" if script == "Grek" else ".!?…"  # ; asks in Greek
    wide = _WIDE + own
    # A quarter of such ends in Korean film reviews have no blank after them: 좋다.더
    glued = rf"|(?<=[{_KOREAN_ENDINGS}][{stops}])[{stops}]*(?=[가-힣])" if script == "Kore" else ""
    # All that begins with one set of signs is found twice as fast as a choice of beginnings.
    return re.compile(
        rf"[\n{stops}{wide}](?:"
        rf"(?<=\n)\s*"
        rf"|(?<=[{stops}])[{stops}]*[{_CLOSING}]*[^\S\n]+(?!\n)()"
        rf"{glued}"
        # A quotation that ends with its sentence may go on: 「行く。」と言った。
        rf"|(?<=[{wide}])[{wide}]*"
        rf"(?:[{_WIDE_CLOSING}]+(?=[\s{_WIDE_OPENING}])|(?![{_WIDE_CLOSING}{wide}]))\s*"
        rf")"
    )


def _ends_here(text: str, begin: int, match: re.Match[str]) -> bool:
    """Whether a sentence ends at a sign and a blank."""
    end = match.end()
    after = text[end : end + 1]
    if after.islower() or after == "<":
        return False  # "No!" he said; approx. five; ... 한다. <개정 2013. 12. 3.>
    stop = match.start()
    if text[stop] != "." or not text[stop + 1].isspace():
        return True  # ... or with a quotation mark: He said "no." Then
    before = text[stop - 1 : stop]
    if before.isdigit() and (after.isdigit() or _DATE.search(text, max(begin, stop - 8), stop + 1)):
        return False  # 2024. 3. 1. 시행
    word = text[text.rfind(" ", begin, stop) + 1 : stop] if " " in text[begin:stop] else None
    if word is None:  # the first word: the number of an item?
        word = text[begin:stop]
        if _ENUMERATOR.fullmatch(text, begin, stop + 1):
            return False
    if len(word) == 1:
        return not word.isupper() or word == "I"  # J. R. R. Tolkien
    word = word.lower().lstrip("(\"'“‘[")
    return word not in _ABBREVIATIONS and not (after.isdigit() and word in _BEFORE_NUMBERS)
