r"""SentencePiece's normaliser in the parts that `tokenizers` has, exact for any text.

SentencePiece goes through a text once, from left to right. At each place it takes the longest
string that it has a rule for (or a user-defined piece, which stays as it is), writes the
replacement and goes on behind it. The ``Precompiled`` of `tokenizers` cannot do that: it looks at
graphemes, keeps the shortest rule of a short one and drops the rest, so decomposed Hangul stays
decomposed (tokenizers#2116). Here the work is divided:

1. One expression walks through the text as SentencePiece does and puts a `MARK` between two
   strings that it takes one after the other, wherever what follows could join what is before.
2. Rules for several characters that NFC cannot follow are replaced one by one.
3. ``Precompiled`` replaces single characters, with a charsmap of those alone; a `GLUE` behind each
   cuts the graphemes.
4. NFC composes what is still side by side: the strings that SentencePiece took whole, since it
   cannot join over a `MARK`. Which rules it follows is tried out on each when the model is read.
5. Marks are deleted.

The marks are characters that the rules delete. Where there are none they are noncharacters, and
those of the text are written in two others meanwhile.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kobert_vocab.char_class import char_class, longest_of
from kobert_vocab.conversion.charsmap import compile_rules
from kobert_vocab.conversion.model import SentencePieceModel
from kobert_vocab.conversion.rule_plan import (
    ESCAPE,
    ESCAPE_GLUE,
    ESCAPE_ITSELF,
    ESCAPE_MARK,
    GLUE,
    MARK,
    RulePlan,
    needed,
    plan_rules,
)
from kobert_vocab.model_file import NORMAL, USER_DEFINED

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer

# In this order, so that what an earlier one writes is not read by a later one; undone backwards.
_ESCAPES = {
    ESCAPE: ESCAPE + ESCAPE_ITSELF,
    MARK: ESCAPE + ESCAPE_MARK,
    GLUE: ESCAPE + ESCAPE_GLUE,
}


def exact_normalizer(model: SentencePieceModel) -> list["Normalizer"]:
    """What gives ``tokenizers`` the text that the pieces of ``model`` are matched with.

    A space is still a space, and the one before a text is still to come (`fast_tokenizer`).

    Raises:
        InputError: it has rules that cannot be followed.
    """
    from tokenizers import normalizers

    plan = plan_rules(model.charsmap, tuple(model.texts(USER_DEFINED)))
    if not model.byte_fallback:
        plan = needed(plan, set("".join(model.texts(NORMAL, USER_DEFINED))))
    if model.remove_extra_whitespaces:
        spaces = list(_spaces(space_first=model.add_dummy_prefix))
        return [*_characters(plan, space_first=model.add_dummy_prefix), *spaces]
    parts = list(_characters(plan, space_first=False))
    # Before spaces too: ▁▁가 of " 가".
    return [normalizers.Prepend("▁"), *parts] if model.add_dummy_prefix else parts


def _characters(plan: RulePlan, *, space_first: bool) -> Iterator["Normalizer"]:
    """The five steps for characters, those that a model needs.

    With ``space_first`` what is deleted at the beginning becomes a space: `Metaspace` puts its ▁
    only before a text whose very first character is still there.
    """
    from tokenizers import Regex, normalizers

    replace = normalizers.Replace
    if not plan.between and not plan.single:
        return
    if plan.escapes:
        yield from (replace(char, code) for char, code in _ESCAPES.items())
    if plan.between:
        yield replace(Regex(plan.between), plan.mark)
    gone = [source for source, target in (plan.single | plan.replaced).items() if not target]
    if gone and space_first:
        yield replace(Regex(rf"\A(?:{longest_of([*gone, plan.mark])})+"), " ")
    yield from _one_by_one(plan)
    deleted = {source for source in gone if len(source) == 1} - {plan.mark, plan.glue}
    written = {source: target for source, target in plan.single.items() if target}
    if deleted:  # `Precompiled` would forget them when it counts offsets
        yield replace(Regex(f"[{char_class(deleted)}]"), "")
    if written:
        yield replace(Regex(rf"[{char_class(written)}]\K"), plan.glue)
        yield normalizers.Precompiled(compile_rules(written))
    yield replace(plan.glue, "")
    if plan.composed:
        yield normalizers.NFC()
    yield replace(plan.mark, "")
    if plan.escapes:
        yield from (replace(code, char) for char, code in reversed(_ESCAPES.items()))


def _one_by_one(plan: RulePlan) -> Iterator["Normalizer"]:
    """The rules for several characters, the longest first, those with one target together.

    The first character is replaced and the others are deleted; a pair that is replaced as one would
    lose its offset.
    """
    from tokenizers import Regex, normalizers

    for length in sorted({len(source) for source in plan.replaced}, reverse=True):
        sources = [source for source in plan.replaced if len(source) == length]
        firsts: dict[str, list[str]] = {}
        for source in sources:
            firsts.setdefault(plan.replaced[source], []).append(source)
        for target, alike in firsts.items():
            first = "|".join(f"{longest_of(s[0])}(?={longest_of([s[1:]])})" for s in alike)
            yield normalizers.Replace(Regex(first), target + plan.glue)
        rests = longest_of(source[1:] for source in sources)
        yield normalizers.Replace(Regex(f"[{char_class(plan.glue)}]{rests}"), "")


def _spaces(*, space_first: bool) -> Iterator["Normalizer"]:
    """Spaces beside others and at both ends are left out."""
    from tokenizers import Regex, normalizers

    replace = normalizers.Replace
    yield replace(Regex(" {2,}"), " ")
    # At the end also the sign that stands for a space: `서울▁` loses it.
    yield replace(Regex(r"[ ▁]+\z"), "")
    if space_first:  # `Metaspace` makes a ▁ of a space there or puts one, but not before a ▁
        yield replace(Regex(r"\A▁"), " ▁")
    else:
        yield replace(Regex(r"\A "), "")
