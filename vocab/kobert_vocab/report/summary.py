"""A comparison in a few sentences."""

from collections.abc import Iterator

from kobert_vocab.report.compare import Comparison, Measured

WORTH_SAYING = 0.001  # a smaller share of unknown tokens is left to the table
BLOWN_UP = 1.5  # decomposed text that takes so many times the tokens is worth a sentence


def sentences(comparison: Comparison) -> list[str]:
    """What a person should know first, each a sentence."""
    measured = comparison.vocabularies
    return [*_morphemes(measured), *_lengths(measured), *_parities(measured), *_faults(measured)]


def _morphemes(measured: list[Measured]) -> Iterator[str]:
    standard = "gold" if measured[0].gold else "silver"
    scored = [(v, score) for v in measured if (score := v.gold or v.silver)]
    scored.sort(key=lambda row: -row[1].f1)
    if not scored:
        return
    (best, score), *others = scored
    text = (
        f"{best.name} cuts at {score.recall:.0%} of {standard} morpheme boundaries inside words, "
        f"and {score.crossing:.1%} of its pieces cross one"
    )
    parts = [f"{v.name} at {s.recall:.0%} and {s.crossing:.1%}" for v, s in others]
    yield f"{text}; {_list(parts)}." if parts else f"{text}."


def _lengths(measured: list[Measured]) -> Iterator[str]:
    ranked = sorted(
        ((v.text.all.words.fertility, v.name) for v in measured if v.text.all.words),
    )
    if ranked:
        parts = [f"{number:.2f} tokens in {name}" for number, name in ranked]
        yield f"A word takes {_list(parts)}."


def _parities(measured: list[Measured]) -> Iterator[str]:
    parts = [
        f"{v.parity.korean:.2f} in {v.name}"
        for v in measured
        if v.parity and v.parity.korean is not None
    ]
    if parts:
        yield f"For a token of English, Korean that says the same takes {_list(parts)}."


def _faults(measured: list[Measured]) -> Iterator[str]:
    for v in measured:
        if v.text.all.unknown >= WORTH_SAYING:
            yield f"{v.name} does not know {v.text.all.unknown:.1%} of its tokens."
        if lost := v.hangul.jamo_lost:
            shown = "ㅋ" if "ㅋ" in lost else lost[0]
            yield f"{v.name} loses or changes {len(lost)} of {v.hangul.jamo} jamo, {shown} for one."
        nfd = v.hangul.nfd
        if nfd and nfd.blow_up >= BLOWN_UP:
            yield f"Decomposed Korean takes {v.name} {nfd.blow_up:.1f} times the tokens."
        if v.pieces.unreachable:
            yield f"{v.pieces.unreachable:,} pieces of {v.name} are never made of any text."


def _list(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
