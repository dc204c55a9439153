"""Why a whole document is dropped: too short, repeating itself, no prose, or in another language.

Thresholds were set on Korean film reviews, regulations and technical documentation and on the
Declaration of Human Rights and news in 421 languages: of these nearly nothing may go.
"""

import re
import string
from collections import Counter

from kobert_kit.corpus.letters import count, letters_of

LEAST_LETTERS = 2  # 굿 and 헐 are reviews, but nothing can be predicted in them
_TWO_LETTERS = re.compile(r"[^\W\d_].*?[^\W\d_]", re.DOTALL)

# Gopher (Rae et al. 2021, table A1) drops documents with over 30 % of lines that are copies; and
# with over 20, 18 and 16 % of characters in the most frequent 2-, 3- and 4-gram of words. It
# leaves documents under 50 words alone, and so do we. Copied lines are weighed by their characters
# (headings and table cells recur), and 3-grams are counted in a sample: that is what is cheap.
LEAST_WORDS = 50
COPIED_LINES = 0.30
TOP_TRIGRAM = 0.18

# Letters among what is not blank. Gopher asks for a letter in 80 % of the words (section A.1.1); of
# 44,454 documents of the corpora one in a thousand has under 45 %, and eight, cheers of one sign
# (♥!!♥!!), under 30 %.
LEAST_LETTER_SHARE = 0.30
SHORT = 100  # characters; "최고!!!!!!!!!!" and other cheers are left alone
_LETTER_RUN = re.compile(r"[^\W\d_]+")
_LATIN = string.ascii_letters.encode()

# Own letters among all. A syllable of Hangul or a Han character stands for two to three Latin
# letters (密码是"Muiriel" is Chinese), and documentation of C++ in Korean goes down to a third.
DENSE = frozenset({"ko", "ja", "zh-Hans", "zh-Hant"})
OWN_SHARE_OF_DENSE = 0.2
OWN_SHARE = 0.5
SAMPLE = 500  # characters, from the beginning, the middle and the end


def reason_to_drop(text: str, language: str) -> str | None:
    """The name of the first filter that takes the document, or None."""
    if not _TWO_LETTERS.search(text):
        return "short"
    sample = _sample(text)
    if _is_symbols(sample):
        return "symbols"
    if _is_foreign(sample, language):
        return "language"
    # 50 words have 100 characters at least.
    if len(text) > 2 * LEAST_WORDS and (_has_copied_lines(text) or _is_repetitive(sample)):
        return "repetitive"
    return None


def _sample(text: str) -> str:
    if len(text) <= 3 * SAMPLE:
        return text
    middle = (len(text) - SAMPLE) // 2
    return text[:SAMPLE] + text[middle : middle + SAMPLE] + text[-SAMPLE:]


def _is_symbols(sample: str) -> bool:
    if len(sample) < SHORT:
        return False
    least = LEAST_LETTER_SHARE * (len(sample) - sample.count(" ") - sample.count("\n"))
    data = sample.encode()
    # English is settled by its bytes, ten times as fast.
    if len(data) - len(data.translate(None, _LATIN)) >= least:
        return False
    return count(_LETTER_RUN, sample) < least


def _is_foreign(sample: str, language: str) -> bool:
    letters = letters_of(language)
    if letters is None or (letters.latin and sample.isascii()):
        return False
    if not letters.foreign.search(sample):
        return False
    foreign = count(letters.foreign, sample)
    own = count(letters.own, sample)
    least = OWN_SHARE_OF_DENSE if language in DENSE else OWN_SHARE
    return own < least * (own + foreign)


def _has_copied_lines(text: str) -> bool:
    lines = text.split("\n")
    different = set(lines)
    if len(different) == len(lines):
        return False
    copied = sum(map(len, lines)) - sum(map(len, different))
    return copied > COPIED_LINES * len(text)


def _is_repetitive(sample: str) -> bool:
    words = sample.split()
    if len(words) < LEAST_WORDS:
        return False
    trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
    top, times = trigrams.most_common(1)[0]
    return times > 1 and times * sum(map(len, top)) > TOP_TRIGRAM * sum(map(len, words))
