"""From counted words to a model: weigh languages, mine candidate pieces, choose among them.

With parallel text this goes in rounds, each with the language shares moved towards parity.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from kobert_vocab.child import run_in_child
from kobert_vocab.errors import InputError
from kobert_vocab.finish import finish
from kobert_vocab.fit import fit_unigram, mine_seeds
from kobert_vocab.parity import is_better, moved_shares, premiums
from kobert_vocab.recipe import Recipe
from kobert_vocab.steps import Step, Steps
from kobert_vocab.user_words import user_pieces
from kobert_vocab.vocabulary import Vocabulary
from kobert_vocab.weigh import (
    EXPONENT,
    LEAST_TYPES,
    MOST_TYPES,
    Language,
    language_shares,
    write_rows,
)
from kobert_vocab.word_counts import read_counts

ROUNDS = 3
CUTS, ROWS, SEEDS, FITTED = "cuts.tsv", "rows.tsv", "seeds.tsv", "unigram.model"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What pieces are learnt from."""

    counted: Step
    """The word counts on disk."""
    languages: Mapping[str, Language]
    chars: frozenset[str]
    cuts: Step | None
    """Of Korean words; None where none is cut."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """A model with what it came from."""

    model: bytes
    shares: Mapping[str, float]
    premium: Mapping[str, float]
    """Tokens over those of English on parallel text, by language; empty without such text."""


def learn(material: Material, recipe: Recipe, steps: Steps) -> Learnt:
    """The model of a recipe, the fairest of `ROUNDS` more if there is parallel text.

    Raises:
        InputError: the text does not hold as many pieces as the recipe asks for.
    """
    characters = {code: lang.counts.characters for code, lang in material.languages.items()}
    shares = language_shares(
        characters,
        alpha=recipe.alpha,
        korean_floor=recipe.korean_floor,
        korean_cap=recipe.korean_cap,
    )
    best = _learn_with(shares, material, recipe, steps)
    for number in range(1, ROUNDS + 1) if recipe.parallel else ():
        shares = moved_shares(
            best.shares, best.premium, floor=recipe.korean_floor, cap=recipe.korean_cap
        )
        new = _learn_with(shares, material, recipe, steps)
        if not is_better(new.premium, best.premium):
            log.info("parity round %d: no fairer, left", number)
            break
        log.info("parity round %d: fairer, kept", number)
        best = new
    return best


def _learn_with(
    shares: Mapping[str, float], material: Material, recipe: Recipe, steps: Steps
) -> Learnt:
    chars = "".join(sorted(material.chars))
    rows = steps.run(
        "weigh",
        {
            "counted": material.counted.hash,
            "cuts": material.cuts and material.cuts.hash,
            "chars": chars,
            "shares": shares,
            "rate": recipe.rate,
            "constants": [EXPONENT, MOST_TYPES, LEAST_TYPES],
        },
        lambda folder: run_in_child(  # the memory it takes is needed by the trainers next
            write_rows.__module__,
            write_rows.__name__,
            {
                "counts": str(material.counted.folder),
                "out": str(folder / ROWS),
                "shares": shares,
                "chars": chars,
                "cuts": str(material.cuts.folder / CUTS) if material.cuts else None,
                "rate": recipe.rate,
            },
        ),
    ).folder
    if not any(text.startswith(" ") for text, _ in read_counts(rows / ROWS)):
        raise InputError(
            "no word in this text can be learnt: before each stands U+2585 (▅), which "
            "SentencePiece keeps to itself; remove this sign"
        )
    mined = steps.run(
        "mine",
        {"rows": rows.name, "size": recipe.size},
        lambda folder: mine_seeds(rows / ROWS, folder / SEEDS, material.chars, size=recipe.size),
    ).folder
    fitted = steps.run(
        "fit",
        {"seeds": mined.name, "unused": recipe.unused, "words": recipe.user_words},
        lambda folder: fit_unigram(
            rows / ROWS,
            mined / SEEDS,
            folder / FITTED,
            material.chars,
            size=recipe.size,
            unused=recipe.unused,
            reserved=user_pieces(recipe.user_words),
        ),
    ).folder
    model = finish((fitted / FITTED).read_bytes(), recipe.user_words)
    return Learnt(
        model=model,
        shares=shares,
        premium=premiums(Vocabulary(model), recipe.parallel) if recipe.parallel else {},
    )
