"""The characters of a text: broken encodings mended, and what nobody reads taken out.

Each step searches the text once with one set and does no more where nothing is found.
"""

import re
from collections import defaultdict

# What each step took, by its name. Not a Counter, which takes longer to make than a review to
# clean.
Changes = defaultdict[str, int]

# Two bytes and more of UTF-8 as Latin-1 or CP1252 shows them: a lead byte, then what the bytes
# 0x80 to 0xBF become. "naïve" has no such pair, "naÃ¯ve" has; ftfy decides.
_TRAILING = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE_BEGIN = re.compile(f"[Â-ô][{_TRAILING}]")  # twice as fast as the whole
_MOJIBAKE = re.compile(f"[Â-ß][{_TRAILING}]|[à-ï][{_TRAILING}]{{2}}|[ð-ô][{_TRAILING}]{{3}}")

# Control characters, soft hyphen, zero-width space, bidi marks, BOM, replacement characters,
# private use, noncharacters and lone surrogates. Not the joiners U+200C and U+200D: Persian, Indic
# scripts and emoji are spelt with them.
_NEEDLESS = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\uffff\ufdd0-\ufdef\ud800-\udfff\ue000-\uf8ff"
    "\U000e0000-\U000e007f\U000f0000-\U0010ffff"
)
_LINE_ENDS = "\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
# Every Unicode blank, and U+3164 and U+FFA0, the empty jamo that Korean pages set for blanks.
_BLANKS = "\t\x1f\xa0\u1680\u2000-\u200a\u202f\u205f\u3000\u3164\uffa0"

_ODD = re.compile(f"[{_NEEDLESS}{_LINE_ENDS}{_BLANKS}]")
_NEEDLESS_RUN = re.compile(f"[{_NEEDLESS}]+")
_LINE_END = re.compile(f"\r\n|[{_LINE_ENDS}]")
_BLANK_RUN = re.compile(f"[ {_BLANKS}]{{2,}}|[{_BLANKS}]")
_EMPTY_LINES = re.compile("\n{3,}")

LONGEST_RUN = 20  # of one character; one film review in 700 has such a run, typed in play
RUN_LEFT = 3  # what is left of it: ㅋㅋㅋ; the vocabulary's pieces know two and three
_STEP = 5
_RUN = re.compile(rf"(\S)\1{{{LONGEST_RUN - 1},}}")
# A run of 20 covers four of the places 0, 5, 10 ...: a text of every fifth character is searched
# for four equal neighbours first, in a fifth of the time.
_RUN_IN_FIFTHS = re.compile(r"(\S)\1\1\1")


def mend_encoding(text: str, changes: Changes) -> str:
    """Undo UTF-8 that was read as Latin-1 or CP1252, line by line, with ftfy.

    Nothing else that ftfy can do is done: width, quotes, case and ligatures stay.
    """
    if text.isascii() or not _MOJIBAKE_BEGIN.search(text):
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _MOJIBAKE.search(line):
            lines[number] = mended = _mended(line)
            changes["encoding"] += max(0, len(line) - len(mended))
    return "\n".join(lines)


def _mended(line: str) -> str:
    import ftfy  # here: clean text never needs it

    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=True,
        decode_inconsistent_utf8=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    return ftfy.fix_encoding(line, config)


def drop_needless(text: str, changes: Changes) -> str:
    """Take out characters that nobody reads; line ends become LF and runs of blanks one blank."""
    # English is settled three times as fast without the set.
    plain = text.isascii() and text.replace("\n", " ").isprintable()
    if not plain and _ODD.search(text):
        before = len(text)
        text = _LINE_END.sub("\n", text)
        changes["line_ends"] += before - len(text)
        before = len(text)
        text = _NEEDLESS_RUN.sub("", text)
        changes["characters"] += before - len(text)
        before = len(text)
        text = _BLANK_RUN.sub(" ", text)
        changes["blanks"] += before - len(text)
    elif "  " in text:
        before = len(text)
        text = _BLANK_RUN.sub(" ", text)
        changes["blanks"] += before - len(text)
    if "\n" in text:
        text = _trim_lines(text, changes)
    if text[:1] in " \n" or text[-1:] in " \n":
        before = len(text)
        text = text.strip(" \n")
        changes["blanks"] += before - len(text)
    return text


def _trim_lines(text: str, changes: Changes) -> str:
    before = len(text)
    if " \n" in text or "\n " in text:
        text = "\n".join(line.strip(" ") for line in text.split("\n"))
    if "\n\n\n" in text:
        text = _EMPTY_LINES.sub("\n\n", text)
    changes["blanks"] += before - len(text)
    return text


def shorten_runs(text: str, changes: Changes) -> str:
    """Cut one character repeated 20 times and more to three.

    >>> shorten_runs("아" + "ㅋ" * 30, defaultdict(int))
    '아ㅋㅋㅋ'
    """
    if len(text) < LONGEST_RUN or not _RUN_IN_FIFTHS.search(text[::_STEP]):
        return text
    before = len(text)
    text = _RUN.sub(lambda run: run[1] * RUN_LEFT, text)
    changes["runs"] += before - len(text)
    return text
