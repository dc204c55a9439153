"""Which encoding the bytes of a text file are in: UTF-8, UTF-16 or, in Korean, CP949."""

import codecs
import re
import unicodedata
from collections import Counter

UTF_16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
UTF_32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# The 100 most frequent syllables of ten Korean corpora (reviews, news, law, fairy tales, dialogue,
# manuals), each corpus counted alike. They are 63 to 69 % of the syllables in every one of them.
FREQUENT = (
    "이다는에하의을지가고한로기서사은를어니도리요자인수해아있시정나그대보제으들라게스적과일만여전화"
    "부주상면성습용장것구세할조위우관공영거경되소야내했원트국마무미었드비문와동러신생계데모개오연중간"
    "말유터진안"
)
# Halfway between Korean and chance, which is 100 of the 2,350 syllables of KS X 1001, 4 %.
LEAST_FREQUENT = 0.3
# Korean law, the corpus with the most Chinese characters and signs, has 98 % Hangul; Chinese in
# GB 2312 read as CP949 has about 60 %.
LEAST_HANGUL = 0.8
# In the order of trial. Nearly any bytes are something in these, so a part of what is not ASCII
# must be of the right script: kana in Japanese, Hangul and its jamo in Korean.
ENCODINGS_TO_NAME = (
    ("cp932", "[\u3041-\u30ff]", 0.3),
    ("euc_jp", "[\u3041-\u30ff]", 0.3),
    ("cp949", "[\u3131-\u318e\uac00-\ud7a3]", LEAST_HANGUL),
    ("gb18030", "", 0),
    ("cp1251", "", 0),
    ("cp1252", "", 0),
)


def is_plain(block: bytes) -> bool:
    """Whether ``block`` reads the same in UTF-8 and CP949 and cannot be UTF-16."""
    return block.isascii() and b"\0" not in block


def find_encoding(sample: bytes) -> str:
    """The codec that ``sample``, cut off anywhere, is to be read with; ``utf-8`` if none fits.

    The codec is ``utf-8``, ``utf-16-le``, ``utf-16-be`` or ``cp949``, which EUC-KR is a part of.
    The choice allows for single broken places, so that these are errors where they stand. CP949 is
    chosen only for what reads as Korean: nearly any Chinese or Japanese bytes are some Hangul.
    """
    if sample.startswith(UTF_32_MARKS):
        return "utf-8"
    for mark, marked in UTF_16_MARKS.items():
        if sample.startswith(mark):
            return marked
    if b"\0" in sample and (encoding := _utf_16_without_mark(sample)):
        return encoding
    return "cp949" if not _is_utf_8(sample) and _looks_korean(sample) else "utf-8"


def name_encoding(line: bytes) -> str | None:
    """The name of an encoding that ``line``, which is not UTF-8, may be in; for advice only."""
    if line.startswith(UTF_32_MARKS):
        return "UTF-32"
    for encoding, script, least in ENCODINGS_TO_NAME:
        text = _decoded(line, encoding)
        if text is not None:
            foreign = sum(char > "\x7f" for char in text)
            if len(re.findall(script, text)) >= least * foreign:
                return encoding.upper().replace("_", "-")
    return None


def _decoded(line: bytes, encoding: str) -> str | None:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_utf_8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # may end within a character
    except UnicodeDecodeError:
        return False
    return True


def _looks_korean(sample: bytes) -> bool:
    counts = Counter(sample.decode("cp949", errors="replace"))
    foreign = sum(count for char, count in counts.items() if char > "\x7f")
    hangul = sum(count for char, count in counts.items() if "\uac00" <= char <= "\ud7a3")
    frequent = sum(counts[char] for char in FREQUENT)
    return hangul >= LEAST_HANGUL * foreign and frequent >= LEAST_FREQUENT * hangul > 0


def _utf_16_without_mark(sample: bytes) -> str | None:
    # The high byte of spaces, line ends and Latin letters is NUL: the second byte in little endian.
    # Low bytes are NUL too, in U+AC00 가 and U+B300 대, but more seldom.
    first, second = sample[::2].count(0), sample[1::2].count(0)
    encoding = "utf-16-le" if second > first else "utf-16-be"
    text = sample[: len(sample) // 2 * 2].decode(encoding, errors="replace")
    # ASCII with a stray NUL: its other bytes in pairs are Chinese characters.
    if _is_utf_8(sample) and not text.isascii():
        return None
    counts = Counter(text)
    strange = sum(count for char, count in counts.items() if _is_strange(char))
    spaces = counts[" "] + counts["\n"] + counts["\u3000"]
    # Text has a space or line end at least every 200 characters, and hardly anything unassigned;
    # of 16-bit samples of sound or pictures every second one would be.
    return encoding if 200 * spaces >= len(text) and 100 * strange <= len(text) else None


def _is_strange(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cn", "Co"} and char not in "\t\n\f\r"
