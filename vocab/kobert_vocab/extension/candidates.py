"""Which pieces of ours another vocabulary gets, and from which old ones each begins.

A piece is added only where text can reach it: after the base's own normaliser and pre-tokenizer it
must stand as one part, unchanged. Jamo fall to NFKC, and what mixes letters and punctuation falls
to BERT's pre-tokenizer.
"""

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kobert_vocab.errors import InputError
from kobert_vocab.extension.base_tokenizer import (
    SPACE,
    UNIGRAM,
    WORDPIECE,
    Base,
    extended,
    read_tokenizer,
    words_of,
)
from kobert_vocab.finish import SCORE_STEPS
from kobert_vocab.model_file import Piece

# Characters may be one half of what is added. Of 1,000 pieces for a WordPiece of 40,000 pieces in
# 97 languages (held-out Korean before: 3.06 tokens per word, 2.40 % UNK), all characters first gave
# 3.23 and 0.31 %, up to one half 2.79 and 0.70 %, by rank alone 2.61 and 1.80 %.
FIRST = 2
_BEFORE = "a"  # a letter that no normaliser merges with what follows it
_BYTE = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A piece of ours that may be added."""

    surface: str
    """Without the mark of a word's beginning."""
    starts_word: bool
    score: float
    """Log probability, on the scale of a Unigram base."""
    rank: float
    """Log probability in our vocabulary; of a character, that of the best piece it stands in."""
    is_seen_character: bool
    """Whether it is one character that was in the text."""


def choose(base: Base, learnt: Sequence[Piece], add: int) -> tuple[list[Candidate], dict[str, int]]:
    """The candidates to add, in order, and how many fell out for what reason.

    Raises:
        InputError: fewer than ``add`` are left.
    """
    fit: list[Candidate] = []
    dropped: Counter[str] = Counter()
    for candidate in _candidates(base, learnt):
        reason = _unfit(base, candidate)
        if reason is None:
            fit.append(candidate)
        else:
            dropped[reason] += 1
    while True:
        if len(fit) < add:
            raise InputError(_too_few(base, add, len(fit), dropped))
        chosen = _best(fit, add)
        shadowed = _shadowed(base, chosen)
        if not shadowed:
            return chosen, dict(sorted(dropped.items()))
        dropped["less probable than other new pieces"] += len(shadowed)
        fit = [candidate for candidate in fit if candidate not in shadowed]


def _too_few(base: Base, add: int, fit: int, dropped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count} are {reason}" for reason, count in dropped.items())
    way = f"add up to {fit}, or learn more pieces of more text" if fit else "take another base"
    return (
        f"add {add}: only {fit} of the learnt pieces can be added to {base.name}, for {reasons}; "
        f"{way}"
    )


def _best(fit: Sequence[Candidate], add: int) -> list[Candidate]:
    """Characters of the text for up to half of ``add``, then whatever is the best."""
    ranked = sorted(fit, key=lambda candidate: -candidate.rank)
    first = [candidate for candidate in ranked if candidate.is_seen_character][: add // FIRST]
    taken = set(first)
    return (first + [candidate for candidate in ranked if candidate not in taken])[:add]


def _candidates(base: Base, learnt: Sequence[Piece]) -> Iterator[Candidate]:
    """All pieces, and the characters of the text as the base writes them; none twice.

    WordPiece writes a character in two ways, at a word's beginning and within it, and a word with
    a character that lacks the one it needs is unknown.
    """
    scale = _scale(base, learnt)
    best = _seen_characters(learnt)
    scores = {(p.text.removeprefix(SPACE), p.text.startswith(SPACE)): p.score for p in learnt}
    if base.kind == WORDPIECE:
        for char in best:
            scores.setdefault((char, True), best[char])
    for (surface, starts), score in scores.items():
        # Unigram has no need of a character with a space as long as it has the character.
        is_character = surface in best and (base.kind == WORDPIECE or not starts)
        yield Candidate(
            surface=surface,
            starts_word=starts,
            score=scale(score),
            rank=best[surface] if is_character else score,
            is_seen_character=is_character,
        )


def _seen_characters(learnt: Sequence[Piece]) -> dict[str, float]:
    """The characters that were in the text, with the score of the best piece they stand in."""
    best: dict[str, float] = {}
    unseen = _highest_unseen(learnt)
    for piece in learnt:
        if len(piece.text) > 1 or piece.score > unseen:
            for char in piece.text.removeprefix(SPACE):
                best[char] = max(best.get(char, piece.score), piece.score)
    return best


def _highest_unseen(learnt: Sequence[Piece]) -> float:
    """The highest score that a piece may have which no word of the text is cut into.

    The alphabet of a Korean vocabulary holds 2,350 syllables whether the text has them or not.
    SentencePiece gives characters that it must keep and that no word needs the lowest score of
    all, and each 0.0001 more than the one before it (``FinalizeSentencePieces`` in
    ``unigram_model_trainer.cc``).
    """
    characters = sum(len(piece.text) == 1 for piece in learnt)
    return min(piece.score for piece in learnt) + 0.0001 * characters + 1 / SCORE_STEPS


def _scale(base: Base, learnt: Sequence[Piece]) -> Callable[[float], float]:
    """From our log probabilities to those of the base.

    In a base of many languages a piece is rarer by the part that its language is of all text:
    p(piece) = p(piece | language) · p(language). So log probabilities differ by a constant. It is
    taken as the median over the pieces that both have, since single ones differ with what else is
    in the vocabulary; those that were not in our text have no real score and are left out. The
    result is at least the base's lowest score, since a lower one would change that of unknown
    characters, and at most 0.

    Raises:
        InputError: the two have no piece in common.
    """
    if base.kind == WORDPIECE:
        return lambda score: score  # WordPiece has no scores
    unseen = _highest_unseen(learnt)
    shifts = [
        base.scores[piece.text] - piece.score
        for piece in learnt
        if piece.text in base.scores and piece.score > unseen
    ]
    if not shifts:
        raise InputError(
            f"{base.name}: has no piece in common with the text, so that scores cannot be "
            "compared; give text in a language that the base knows a little"
        )
    shift, least = statistics.median(shifts), min(base.scores.values())
    return lambda score: min(0.0, max(least, score + shift))


def _unfit(base: Base, candidate: Candidate) -> str | None:
    """Why no text would get a piece, or None."""
    text = written(base, candidate)
    if text in base.ids:
        return "in the base already"
    if any(token in candidate.surface for token in base.added):
        return "cut at an added token"
    before = "" if candidate.starts_word else _BEFORE
    mark = SPACE if base.kind == UNIGRAM else ""
    words = words_of(base.tokenizer, before + candidate.surface)
    if words != [mark + before + candidate.surface]:
        same = "".join(words).replace(SPACE, "") == before + candidate.surface
        return "cut by the pre-tokenizer" if same else "changed by the normaliser"
    if base.kind == UNIGRAM and candidate.score <= _old_score(base, text):
        return "less probable than the base's own pieces"
    return None


def _old_score(base: Base, text: str) -> float:
    """The log probability of ``text`` in a Unigram base; what holds an unknown character has none.

    The bytes that some models write for such a character are not scored.
    """
    tokens = base.tokenizer.model.tokenize(text)
    if any(token.id == base.unk or _BYTE.fullmatch(token.value) for token in tokens):
        return -math.inf
    return sum(base.scores[token.value] for token in tokens)


def _shadowed(base: Base, chosen: Sequence[Candidate]) -> set[Candidate]:
    """The candidates that a Unigram model, with all of them in it, would cut nevertheless."""
    if base.kind == WORDPIECE:
        return set()  # takes the longest piece there is
    pieces = [written(base, candidate) for candidate in chosen]
    content = extended(base, pieces, [candidate.score for candidate in chosen])
    model = read_tokenizer(content).model
    return {
        candidate
        for candidate, piece in zip(chosen, pieces, strict=True)
        if len(model.tokenize(piece)) > 1
    }


def written(base: Base, candidate: Candidate) -> str:
    """As the base writes it: ``서울`` and ``##에서``, or ``▁서울`` and ``에서``."""
    if base.kind == WORDPIECE:
        return candidate.surface if candidate.starts_word else base.prefix + candidate.surface
    return SPACE + candidate.surface if candidate.starts_word else candidate.surface


def old_ids(base: Base, candidate: Candidate) -> list[int]:
    """What the base cuts a piece into where it stands in a word, without what is unknown to it."""
    if base.kind == WORDPIECE:
        return list(_longest_matches(base, candidate))
    tokens = base.tokenizer.model.tokenize(written(base, candidate))
    known = [token for token in tokens if token.id != base.unk]
    if len(known) < len(tokens) and all(token.value == SPACE for token in known):
        return []  # the mark alone tells nothing of the piece
    return [token.id for token in known]


def _longest_matches(base: Base, candidate: Candidate) -> Iterator[int]:
    """As WordPiece does, but it goes on after an unknown character instead of giving up."""
    text, at = candidate.surface, 0
    while at < len(text):
        mark = "" if candidate.starts_word and at == 0 else base.prefix
        ends = (end for end in range(len(text), at, -1) if mark + text[at:end] in base.ids)
        end = next(ends, None)
        if end is not None:
            yield base.ids[mark + text[at:end]]
        at = end or at + 1
