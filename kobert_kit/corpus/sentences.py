"""Sentences by rule: at line ends, and after the signs that end a sentence.

Next-sentence pairs need plausible units, not perfect ones: an abbreviation split in two costs
little. Korean by its analyser comes with the deeper corpus builder.
"""

import re

# Latin, Greek and Cyrillic enders need a space after them (3.5, U.S.A); the others do not.
# Danda (Indic), Arabic question mark and full stop, Armenian, Ethiopic, Khmer, Myanmar, Tibetan.
_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]»]*\s+"
    r"|(?<=[。！？｡])(?![」』”’）])\s*"
    r"|(?<=[।॥؟۔։።፧។၊။།])\s*"
)


def split_sentences(text: str) -> list[str]:
    """The sentences of ``text``, stripped, none empty; every character but blanks is kept.

    >>> split_sentences("비가 온다. 우산은 3.5만 원! 今日は寒い。明日も。")
    ['비가 온다.', '우산은 3.5만 원!', '今日は寒い。', '明日も。']
    """
    sentences: list[str] = []
    for line in text.split("\n"):
        begin = 0
        for end in _END.finditer(line):
            _append(sentences, line[begin : end.end()])
            begin = end.end()
        _append(sentences, line[begin:])
    return sentences


def _append(sentences: list[str], piece: str) -> None:
    if piece := piece.strip():
        sentences.append(piece)
