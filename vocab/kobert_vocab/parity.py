"""Language shares moved until languages need about as many tokens to say the same.

The premium of a language is its tokens over those of English on parallel text (Petrov et al.,
2023). Each round a language's share is multiplied by a power of its premium and the vocabulary is
learnt again. Parity-aware BPE (Foroutan et al., 2025) does the like merge by merge.
"""

from collections.abc import Mapping, Sequence

from kobert_vocab.languages import ENGLISH, KOREAN
from kobert_vocab.report.metrics import gini
from kobert_vocab.vocabulary import Vocabulary
from kobert_vocab.weigh import hold_korean

POWER = 0.5
LEAST_GAIN = 0.01  # of the Gini coefficient; rounds that gain less are not worth their time
MOST_KOREAN_LOSS = 0.03  # of tokens of Korean


def premiums(vocabulary: Vocabulary, parallel: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Tokens over those of English, by language, on the lines that both have."""
    lengths = {
        language: [len(ids) for ids in vocabulary.encode_batch(lines)]
        for language, lines in parallel.items()
    }
    english = lengths[ENGLISH]
    return {
        language: sum(n for n, e in zip(own, english, strict=True) if n and e)
        / sum(e for n, e in zip(own, english, strict=True) if n and e)
        for language, own in lengths.items()
    }


def moved_shares(
    shares: Mapping[str, float], premium: Mapping[str, float], *, floor: float, cap: float
) -> dict[str, float]:
    """The shares of the next round; languages without parallel text keep their weight."""
    moved = {
        language: share * premium.get(language, 1.0) ** POWER for language, share in shares.items()
    }
    return hold_korean(moved, floor=floor, cap=cap)


def is_better(new: Mapping[str, float], old: Mapping[str, float]) -> bool:
    """Whether a round was worth it: fairer, and not at the cost of Korean."""
    if gini(list(new.values())) > (1 - LEAST_GAIN) * gini(list(old.values())):
        return False
    return KOREAN not in new or new[KOREAN] <= (1 + MOST_KOREAN_LOSS) * old[KOREAN]
