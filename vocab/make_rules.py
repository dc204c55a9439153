"""Write ``kobert_vocab/rules/ko_nfc.tsv``, the folds of the normaliser, from this Python's Unicode.

Run once and commit what it writes: Python versions carry different Unicode versions, so a table
made while training would differ from machine to machine. Hangul syllables are not in the file:
their 21,945 compositions are arithmetic (Unicode 3.12) and `kobert_vocab.normalize` adds them.

    python vocab/make_rules.py
"""

import hashlib
import sys
import unicodedata
from pathlib import Path

OUT = Path(__file__).parent / "kobert_vocab" / "rules" / "ko_nfc.tsv"

COMPATIBILITY_JAMO = range(0x3131, 0x318F)  # ㅋㅋ, ㅠㅠ, ㄳ: what people write; NFKC would
HALFWIDTH_JAMO = range(0xFFA0, 0xFFDD)  # turn them into the conjoining jamo U+1100..
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
SPACES = {0x3164, 0xFFA0, 0x2581}  # Hangul fillers, and the mark that stands for a space in pieces
DELETED = {
    *(0x200B, 0x2060, 0xFEFF, 0x00AD),  # zero-width space, word joiner, BOM, soft hyphen
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # bidi controls
}
# Thai and Lao am, Lao ho-no and ho-mo, Armenian ew: NFKC splits them, but they are plain letters
# in the spelling of today.
LETTERS_KEPT = {0x0E33, 0x0EB3, 0x0EDC, 0x0EDD, 0x0587}


def compatibility_jamo_by_conjoining() -> dict[str, str]:
    """``{"\u1100": "ㄱ", ...}``, what ``NFKC`` does to compatibility jamo, backwards."""
    return {unicodedata.normalize("NFKC", chr(c)): chr(c) for c in COMPATIBILITY_JAMO}


def fold(code: int, jamo: dict[str, str]) -> str:
    """What one character becomes; itself if it stays."""
    char = chr(code)
    if code in DELETED:
        return ""
    if code in SPACES or char.isspace():
        return " "
    if unicodedata.category(char) == "Cc":
        return "" if code else char  # NUL cannot stand in SentencePiece's table
    if code in COMPATIBILITY_JAMO or code in LETTERS_KEPT:
        return char
    folded = unicodedata.normalize("NFKC", char)
    if folded.startswith(" ") and len(folded) > 1:
        # ´ ¨ ¯ are no space with an accent: they stand in faces such as (´▽`) and (￣▽￣).
        wide = unicodedata.decomposition(char).partition("<wide> ")[2]
        return chr(int(wide, 16)) if wide else char
    if folded == char:
        return char
    # ㉠ and ㈀ hold a letter, not a syllable's first part; half-width ﾡ likewise.
    return "".join(jamo.get(c, c) for c in folded)


def compositions(char: str) -> set[str]:
    """The sequences that NFC makes one character of."""
    pair = unicodedata.decomposition(char)
    if not pair or "<" in pair or unicodedata.normalize("NFC", char) != char:
        return set()
    first, mark = (chr(int(code, 16)) for code in pair.split())
    return {first + mark, *(longer + mark for longer in compositions(first))}


def halfwidth_voiced() -> dict[str, str]:
    """``{"ｶﾞ": "ガ", "ガﾞ": "ガ", ...}``: half-width kana that take a mark of their own width.

    The second form is what the first is on its way through ``tokenizer.json``.
    """
    pairs = [chr(kana) + mark for kana in range(0xFF66, 0xFF9E) for mark in "ﾞﾟ"]
    folded = {pair: unicodedata.normalize("NFKC", pair) for pair in pairs}
    voiced = {pair: kana for pair, kana in folded.items() if len(kana) == 1}
    return voiced | {kana + pair[1]: kana for pair, kana in voiced.items()}


def rules() -> dict[str, str]:
    """Every rule, what is replaced by what it becomes."""
    jamo = compatibility_jamo_by_conjoining()
    table = halfwidth_voiced()
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if code in HANGUL_SYLLABLES or unicodedata.category(char) in ("Cs", "Cn", "Co"):
            continue
        becomes = fold(code, jamo)
        if becomes != char:
            table[char] = becomes
        table.update(dict.fromkeys(compositions(char), becomes))
    return table


def main() -> None:
    """Write the table and print what `kobert_vocab.normalize` records of it."""
    table = rules()
    lines = [
        " ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target)
        for source, target in sorted(table.items())
    ]
    content = ("\n".join(lines) + "\n").encode()
    OUT.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    sys.stdout.write(f"{len(lines)} rules, Unicode {unicodedata.unidata_version}, {sha256}\n")


if __name__ == "__main__":
    main()
