"""Word counts of many languages to the rows that pieces are learnt from, each with a weight.

Language l with N_l characters gets the share p_l ∝ (N_l / ΣN)^α. Within a language a word that
occurs n times weighs n^γ; its rows weigh p_l · T together: exactly what sampling the text by p_l
would give on average, without sampling anything.

A Korean word is a row for each of its morphemes, with `rate` of its weight, and with the rest of it
a row as a whole. So a piece across a morpheme boundary must be about a dozen times as frequent as
one within (at the default rate) to be learnt: 봤습니다 is, 학교를 is not.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kobert_vocab.alphabet import split_outside
from kobert_vocab.languages import KOREAN
from kobert_vocab.normalize import in_model_form
from kobert_vocab.segment import cuts_of_word, has_hangul, read_cuts
from kobert_vocab.word_counts import LanguageCounts, most_frequent, read_counts, write_counts

# SentencePiece's M-step drops pieces whose expected count is below 0.5 and weights are whole
# numbers, so the total must be large; at 1e9 and more its arithmetic drifts.
TOTAL_WEIGHT = 10**8
# Of a word's count: the 62 MB of Korean regulations repeat themselves, and what they repeat took
# pieces from the rest. At equal tokens per word it gained 0.7 points of F1 on gold morphemes.
EXPONENT = 0.7
# Rows of all languages together. SentencePiece takes about 400 MB for a million.
MOST_TYPES = 600_000
# So many of a language whatever its share: in one without spaces a word is a clause, and with 5,000
# Khmer took 44 % more tokens than with 20,000.
LEAST_TYPES = 8_000


_ENDS_OF_NUMBERS = re.compile(r"(?<=\d)(?=\D)|(?<=[^\d ])(?=\d)")


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language's words on disk and what is known of them."""

    path: Path
    counts: LanguageCounts

    def words(self, share: float) -> dict[str, int]:
        """The words to learn from: as many of the most frequent as the language's share allows."""
        most = max(LEAST_TYPES, int(share * MOST_TYPES))
        return dict(most_frequent(read_counts(self.path), self.counts, most))


def language_shares(
    characters: Mapping[str, int], *, alpha: float, korean_floor: float, korean_cap: float
) -> dict[str, float]:
    """The part of the training text that each language makes up, smoothed.

    Korean has a floor and a cap, unless it is alone.
    """
    total = sum(characters.values())
    smoothed = {language: (n / total) ** alpha for language, n in characters.items() if n}
    return hold_korean(smoothed, floor=korean_floor, cap=korean_cap)


def hold_korean(shares: Mapping[str, float], *, floor: float, cap: float) -> dict[str, float]:
    """``shares`` made to add up to 1, with Korean's between ``floor`` and ``cap``."""
    total = sum(shares.values())
    if KOREAN not in shares or len(shares) == 1:
        return {language: share / total for language, share in shares.items()}
    korean = min(max(shares[KOREAN] / total, floor), cap)
    rest = (1 - korean) / (total - shares[KOREAN])
    return {
        language: korean if language == KOREAN else share * rest
        for language, share in shares.items()
    }


def read_languages(folder: Path) -> dict[str, Language]:
    """The languages of a folder of ``<code>.tsv`` files of word counts, each with a summary."""
    return {
        path.stem: Language(path=path, counts=LanguageCounts.read(path.with_suffix(".json")))
        for path in sorted(folder.glob("*.tsv"))
    }


def write_rows(
    *, counts: str, out: str, shares: Mapping[str, float], chars: str, cuts: str | None, rate: float
) -> None:
    """Write the rows to learn from, sorted: ``text <tab> weight``; for a process of its own.

    Args:
        counts: folder for `read_languages`.
        out: file to write.
        shares: by code; they add up to 1.
        chars: the alphabet; a word is parted where a character is not in it.
        cuts: file for `read_cuts`; None to cut nothing.
        rate: the part of a Korean word's weight that respects its cuts.
    """
    known = read_cuts(Path(cuts)) if cuts else None
    alphabet = frozenset(chars)
    weights: defaultdict[str, float] = defaultdict(float)
    for code, language in read_languages(Path(counts)).items():
        share = shares[code]
        damped = {word: count**EXPONENT for word, count in language.words(share).items()}
        factor = share * TOTAL_WEIGHT / sum(len(word) * n for word, n in damped.items())
        rows = (
            damped.items() if known is None or code != KOREAN else _korean_rows(damped, known, rate)
        )
        for text, weight in rows:
            for part in _parts(text, alphabet):
                weights[part] += weight * factor
    kept = ((text, round(weights[text])) for text in sorted(weights) if weights[text] >= 1)
    write_counts(Path(out), kept)


def _parts(text: str, alphabet: frozenset[str]) -> Iterator[str]:
    """``text`` as the model has it, parted where no piece goes on: strange characters, numbers.

    SentencePiece would learn 2024.07.13 as one piece, since digits and punctuation are one script.
    """
    for part in split_outside(in_model_form(text), alphabet):
        yield from _ENDS_OF_NUMBERS.split(part)


def _korean_rows(
    words: Mapping[str, float], cuts: Mapping[str, list[int]], rate: float
) -> Iterator[tuple[str, float]]:
    for word, weight in words.items():
        places = cuts_of_word(word, cuts)
        if places is None and has_hangul(word):
            # Too rare to have been cut. Left whole such words teach pieces that cross morphemes:
            # with words seen once in it, agreement with gold morphemes fell from 82 to 71 %.
            continue
        if not places:
            yield word, weight
            continue
        for start, end in pairwise([0, *places, len(word)]):
            yield word[start:end], weight * rate
        if rate < 1:
            yield word, weight * (1 - rate)
