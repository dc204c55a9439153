"""From text to a vocabulary folder.

The road: count words, cut Korean ones at morphemes, weigh languages, let BPE mine candidate pieces
and a unigram model choose among them. BPE honours weights alike in every version of SentencePiece;
its unigram trainer, left to find candidates by itself, forgets them. The result is a plain
SentencePiece model that needs no analyser in use.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from kobert_vocab.alphabet import alphabet
from kobert_vocab.card import write_card
from kobert_vocab.child import run_in_child
from kobert_vocab.count import PERSONAL, count_words
from kobert_vocab.errors import InputError
from kobert_vocab.export import export
from kobert_vocab.languages import KOREAN
from kobert_vocab.learn import CUTS, Material, learn
from kobert_vocab.new_folder import new_folder, refuse_existing
from kobert_vocab.reading import Document, Source, find_sources, reading
from kobert_vocab.recipe import Recipe
from kobert_vocab.report.card import write_card_page
from kobert_vocab.report.parallel import read_parallel
from kobert_vocab.segment import Analyser, find_analyser, write_cuts
from kobert_vocab.selftest import write_selftest
from kobert_vocab.specials import BYTES, NAMED
from kobert_vocab.steps import Step, Steps, steps_of
from kobert_vocab.user_words import read_user_words, user_pieces
from kobert_vocab.verify import verify
from kobert_vocab.vocabulary import MODEL, Vocabulary
from kobert_vocab.weigh import MOST_TYPES, Language, read_languages
from kobert_vocab.word_counts import merge, summarize, write_counts

WORDS = "words.tsv"
RATE = 0.92  # see `train`
log = logging.getLogger(__name__)


def train(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    size: int,
    boundaries: str = "all",
    rate: float = RATE,
    analyser: str | None = None,
    alpha: float = 0.3,
    korean_floor: float = 0.15,
    korean_cap: float = 1.0,
    parallel: str | Path | None = None,
    words: str | Path | None = None,
    unused: int = 100,
    work: str | Path | None = None,
) -> Path:
    """Build a vocabulary of ``size`` pieces from ``inputs`` and write it to the folder ``out``.

    The same text and options give the same files, but for the seconds in ``vocabulary.json`` and
    ``report.html``. Nothing is left at ``out`` unless the vocabulary has passed its checks. The
    steps that are done when a run stops, for whatever reason, are kept, and the same call goes on
    from there.

    Args:
        inputs: files, folders and data sets, as for `find_sources`.
        out: a folder that does not exist yet, or is empty.
        size: pieces in all, special, unused and byte pieces included.
        boundaries: what Korean pieces should not cross: ``all`` morphemes, only where particles,
            endings and verbal suffixes begin (``je``), or ``none``.
        rate: how much of a word's weight respects these boundaries. Measured at 32,000 pieces
            (``benchmarks/vocabulary.py korean``): at 1 1.3 % of pieces cross one, and words take
            1.12 to 1.27 times the pieces of plain SentencePiece; at 0.92 4.3 %, and 1.07 to 1.19.
        analyser: ``kiwi`` or ``rules``; by default ``kiwi`` where it is installed.
        alpha: how much more larger languages get: 1 in proportion to their text, 0 all alike.
        korean_floor: the least part of the weight that Korean gets if it is there.
        korean_cap: the largest, if it is not alone.
        parallel: a folder of line-aligned ``<language>.txt`` files, English among them; language
            shares are then moved until languages need about as many tokens for the same text.
        words: a file of words that must be one piece each, one per line; each takes two ids.
        unused: ids kept free.
        work: folder for the steps, kept when all is done; a later call with other options takes
            from it what it can. By default one beside ``out``, which goes when all is done.

    Raises:
        InputError: an input, an option or ``out`` cannot be used.
    """
    found = find_analyser(analyser, boundaries)
    out = Path(out)
    refuse_existing(out)
    recipe = Recipe(
        size=size,
        rate=rate,
        alpha=alpha,
        korean_floor=korean_floor,
        korean_cap=korean_cap,
        unused=unused,
        analyser=None if boundaries == "none" else found,
        user_words=() if words is None else tuple(read_user_words(words)),
        parallel={} if parallel is None else read_parallel(parallel),
    )
    sources = find_sources(inputs)
    with steps_of(out, work) as steps:
        _build(sources, recipe, steps, out)
    return out


def _build(sources: Sequence[Source], recipe: Recipe, steps: Steps, out: Path) -> None:
    merged = _count(sources, steps)
    languages = read_languages(merged.folder)
    _check_words(languages, sources)
    chars = alphabet({code: language.counts for code, language in languages.items()})
    _check_smallest(recipe, len(chars))
    material = Material(
        counted=merged,
        languages=languages,
        chars=chars,
        cuts=_cut(merged, languages, recipe.analyser, steps),
    )
    learnt = learn(material, recipe, steps)
    with new_folder(out) as folder:
        with steps.timed("export"):
            (folder / MODEL).write_bytes(learnt.model)
            export(learnt.model, folder)
            write_selftest(Vocabulary.load(folder), folder)
        with steps.timed("verify"):
            verify(folder)
        write_card(folder, recipe, material, learnt, steps.seconds)
        write_card_page(folder)


def _count(sources: Sequence[Source], steps: Steps) -> Step:
    """The step that holds ``<language>.tsv`` and ``<language>.json`` of each language."""
    counted: dict[str, list[Step]] = {}
    with reading(sources, "counting words") as read:
        for source in sources:
            step = steps.run(
                "count",
                {"source": source.identity(), "language": source.language},
                partial(_count_source, source, read),
                one_of_many=True,
            )
            counted.setdefault(source.language, []).append(step)
    before = all(step.before for found in counted.values() for step in found)
    log.info("count: %s", "done before" if before else f"{steps.seconds['count']:.1f} s")
    return steps.run(
        "merge",
        {"counted": {code: sorted(s.hash for s in found) for code, found in counted.items()}},
        partial(_merge, counted),
    )


def _count_source(
    source: Source, read: Callable[[Source], Iterator[Document]], folder: Path
) -> None:
    count_words(read(source), source.language, folder / WORDS)


def _merge(counted: Mapping[str, Sequence[Step]], folder: Path) -> None:
    for language, found in counted.items():
        rows = merge([step.folder / WORDS for step in found])
        about = folder / f"{language}.json"
        write_counts(folder / f"{language}.tsv", summarize(rows, about, personal=PERSONAL))


def _cut(
    merged: Step, languages: Mapping[str, Language], analyser: Analyser | None, steps: Steps
) -> Step | None:
    if KOREAN not in languages or analyser is None:
        return None
    log.info("analyser: %s", analyser)
    about = {"analyser": str(analyser), "boundaries": analyser.boundaries}
    korean = languages[KOREAN]
    least = korean.counts.least_count(MOST_TYPES)
    known = [str(step.folder / CUTS) for step in steps.done("cut", about)]
    return steps.run(
        "cut",
        {**about, "counted": merged.hash, "least": least},
        lambda folder: run_in_child(  # an analyser takes 0.5 GB
            write_cuts.__module__,
            write_cuts.__name__,
            {
                "counts": str(korean.path),
                "out": str(folder / CUTS),
                "analyser": analyser.name,
                "boundaries": analyser.boundaries,
                "least": least,
                "known": known,
            },
        ),
    )


def _check_words(languages: Mapping[str, Language], sources: Sequence[Source]) -> None:
    for code, language in languages.items():
        if not language.counts.types:
            first = next(source for source in sources if source.language == code)
            raise InputError(
                f"{first}: no words in the text of language {code!r}, only blanks, control "
                "characters or personal data; leave it out or give more text"
            )


def _check_smallest(recipe: Recipe, alphabet_size: int) -> None:
    specials = len(NAMED) + recipe.unused
    own = len(user_pieces(recipe.user_words))
    smallest = specials + BYTES + alphabet_size + own + 1  # and ▁ alone
    if recipe.size < smallest:
        words = f", {own} for your own words" if own else ""
        raise InputError(
            f"size {recipe.size}: too small for the {alphabet_size} characters of this text, "
            f"256 bytes{words} and {specials} special pieces; choose at least {smallest}"
        )
