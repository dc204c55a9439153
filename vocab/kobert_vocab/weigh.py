"""Word counts of many languages to one weight per word.

Language l with N_l characters gets the share p_l ∝ (N_l / ΣN)^α. Word w then weighs
Σ_l n(w, l) · p_l · T / N_l: exactly what sampling the text by p_l would give on average, without
sampling anything.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from kobert_vocab.count import count_characters

KOREAN = "ko"
# SentencePiece's M-step drops pieces whose expected count is below 0.5 and weights are whole
# numbers, so the total must be large; at 1e9 and more its arithmetic drifts.
TOTAL_WEIGHT = 10**8


def language_shares(
    characters: Mapping[str, int], *, alpha: float, korean_floor: float
) -> dict[str, float]:
    """The part of the training text that each language makes up, smoothed; Korean has a floor."""
    total = sum(characters.values())
    smoothed = {language: (n / total) ** alpha for language, n in characters.items() if n}
    shares = {language: s / sum(smoothed.values()) for language, s in smoothed.items()}
    korean = shares.get(KOREAN)
    if korean is None or korean >= korean_floor or len(shares) == 1:
        return shares
    rest = (1 - korean_floor) / (1 - korean)
    return {
        language: korean_floor if language == KOREAN else share * rest
        for language, share in shares.items()
    }


def weigh(counts: Mapping[str, Counter[str]], shares: Mapping[str, float]) -> dict[str, int]:
    """The weight of each word, words below 1 dropped, sorted by word."""
    weights: defaultdict[str, float] = defaultdict(float)
    for language, share in shares.items():
        words = counts[language]
        factor = share * TOTAL_WEIGHT / count_characters(words)
        for word, count in words.items():
            weights[word] += count * factor
    return {word: round(weights[word]) for word in sorted(weights) if weights[word] >= 1}
