"""How the rules of a normaliser are divided among the parts that `tokenizers` has.

Rules for one character make a charsmap. Of those for several NFC follows nearly all that
``nmt_nfkc`` and ``nfkc`` have: which ones is tried out on each. The rest is replaced rule by rule.
"""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import combinations

from kobert_vocab.char_class import char_class, longest_of
from kobert_vocab.conversion.charsmap import read_rules
from kobert_vocab.errors import InputError

# Noncharacters: no text has them for what they are, no model has rules for them (it is looked up).
MARK, GLUE, ESCAPE, ESCAPE_ITSELF, ESCAPE_MARK, ESCAPE_GLUE = map(chr, range(0xFDD0, 0xFDD6))
_OURS = frozenset((MARK, GLUE, ESCAPE, ESCAPE_ITSELF, ESCAPE_MARK, ESCAPE_GLUE))
MOST_REPLACED = 2000  # rules one by one; each takes about a microsecond for every text

Rules = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class RulePlan:
    """How the rules of a model are divided."""

    single: Rules
    """For one character."""
    between: str
    """Expression for the places of a `MARK`; empty if there are no rules for several characters."""
    replaced: Rules
    """Rules for several characters that are replaced one by one, the longest first."""
    composed: bool
    """Whether NFC follows the other rules for several characters."""
    mark: str
    """Character that keeps apart what SentencePiece takes one after the other."""
    glue: str
    """Character that keeps graphemes apart."""

    @property
    def escapes(self) -> bool:
        """Whether a text may have marks of its own, which are to come out again."""
        return self.mark not in self.single


@lru_cache(maxsize=4)  # most models have nmt_nfkc, which takes some seconds
def plan_rules(charsmap: bytes, user_defined: tuple[str, ...]) -> RulePlan:
    """Divide the rules of ``charsmap``.

    Raises:
        InputError: they are damaged, or of a kind that cannot be followed exactly.
    """
    try:
        rules = read_rules(charsmap)
    except ValueError as error:
        raise InputError("its normaliser is damaged; copy the model again") from error
    single = {source: target for source, target in rules.items() if len(source) == 1}
    several = {source: target for source, target in rules.items() if len(source) > 1}
    _refuse(single, several, user_defined)
    followed = _followed_by_nfc(several, single) if several and _nfc_keeps(single) else frozenset()
    rest = {source: several[source] for source in _with_what_has_them(several, followed)}
    followed -= rest.keys()
    if len(rest) > MOST_REPLACED:
        raise InputError(
            f"its normaliser has {len(rest):,} rules for several characters that tokenizers cannot "
            f"follow, more than {MOST_REPLACED:,}"
        )
    replaced = dict(sorted(rest.items(), key=lambda rule: (-len(rule[0]), rule[0])))
    _refuse_chains(replaced, single, composed=bool(followed))
    joining = _joining(several, single, replaced, composed=bool(followed))
    # A character that is deleted anyway is the best mark: in a text it keeps apart as well.
    deleted = sorted(source for source, target in single.items() if not target)
    mark, glue = deleted[:2] if len(deleted) > 1 else (MARK, GLUE)
    return RulePlan(
        mark=mark,
        glue=glue,
        single=single,
        between=_between({*several, *user_defined}, joining) if several else "",
        replaced=replaced,
        composed=bool(followed),
    )


def needed(plan: RulePlan, known: set[str]) -> RulePlan:
    """``plan`` without what makes unknown characters of unknown ones.

    Args:
        plan: of all rules.
        known: characters that are in pieces, of a model without bytes.
    """
    nfc, known = _nfc(), known | {" "}
    replaced = {
        source: target
        for source, target in plan.replaced.items()
        if not target or known & {*source, *target, *nfc(_each(source, plan.single))}
    }
    return replace(plan, replaced=replaced)


def _refuse(single: Rules, several: Rules, user_defined: Iterable[str]) -> None:
    """Raise an InputError for what no division of the rules could make right."""
    for source, target in (*single.items(), *several.items()):
        if _OURS & {*source, *target}:
            raise InputError(f"its normaliser has a rule for a noncharacter: {source!a}")
        if "  " in target:
            raise InputError(f"its normaliser makes two spaces of {source!r}; tokenizers join them")
    for piece in user_defined:
        changed = any(single.get(char, char) != char for char in piece)
        inside = any(source in piece for source in several)
        composed = bool(several) and unicodedata.normalize("NFC", piece) != piece
        if changed or inside or composed or " " in piece:
            raise InputError(
                f"its normaliser would change the user-defined piece {piece!r}; SentencePiece "
                "keeps it as it is, which tokenizers cannot do"
            )


def _refuse_chains(replaced: Rules, single: Rules, *, composed: bool) -> None:
    """Raise an InputError where what a rule writes would be changed again."""
    nfc = _nfc()
    for source, target in replaced.items():
        again = any(other in target for other in replaced)
        again |= _each(target, single) != target or (composed and nfc(target) != target)
        if again:
            raise InputError(
                f"its normaliser makes {target!r} of {source!r} and has a rule for that too; "
                "tokenizers would apply it"
            )


def _each(text: str, single: Rules) -> str:
    return "".join(single.get(char, char) for char in text)


def _nfc() -> Callable[[str], str]:
    """That of `tokenizers`, which knows Unicode 9."""
    from tokenizers import normalizers

    function: Callable[[str], str] = normalizers.NFC().normalize_str
    return function


def _nfc_keeps(single: Rules) -> bool:
    """Whether NFC leaves alone what single characters become."""
    kept = [single.get(char, char) for char in _changed_by_nfc() | single.keys()]
    return _in_one_go(kept) == kept


def _followed_by_nfc(several: Rules, single: Rules) -> frozenset[str]:
    """The rules that come out right when each character is replaced and NFC composes the rest."""
    sources = list(several)
    made = _in_one_go([_each(source, single) for source in sources])
    return frozenset(s for s, text in zip(sources, made, strict=True) if text == several[s])


def _with_what_has_them(several: Rules, followed: frozenset[str]) -> set[str]:
    """The rules that are not ``followed``, and those with one of them inside.

    Replacing the one would break the other up; the longest is replaced first.
    """
    rest = set(several.keys() - followed)
    while rest:
        having = {
            source
            for source in followed - rest
            if any(source[i:j] in rest for i, j in combinations(range(len(source) + 1), 2))
        }
        if not having:
            break
        rest |= having
    return rest


def _in_one_go(texts: list[str]) -> list[str]:
    """NFC of each text; one call, since each of 200,000 would take its own copy."""
    return _nfc()(MARK.join(texts)).split(MARK)


@cache
def _changed_by_nfc() -> frozenset[str]:
    chars = map(chr, (*range(0xD800), *range(0xE000, 0x110000)))
    return frozenset(char for char in chars if not unicodedata.is_normalized("NFC", char))


@cache
def _joining_in_nfc() -> frozenset[str]:
    """Characters that NFC may join with what is before them, or put before it."""
    second: set[str] = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    marks = set()
    for char in map(chr, range(0x110000)):
        if unicodedata.combining(char):
            marks.add(char)
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            second.add(chr(int(parts[1], 16)))
    return frozenset(second | marks)


def _joining(several: Rules, single: Rules, replaced: Rules, *, composed: bool) -> frozenset[str]:
    joining = {char for source in replaced for char in source[1:]}
    if composed:
        joining |= _joining_in_nfc()
    # What becomes such a character, or begins a string that does.
    becoming = {source for source, target in single.items() if target and target[0] in joining}
    becoming |= {source[0] for source, target in several.items() if target[:1] in joining}
    return frozenset(joining | becoming)


def _between(whole: set[str], joining: frozenset[str]) -> str:
    r"""An expression for the empty places between two strings that are taken one after the other.

    ``\G`` is where the last one was found, so that the search keeps to the strings; ``\K`` leaves
    them out of the match.

    Args:
        whole: strings of several characters that SentencePiece takes whole.
        joining: characters that could join what is before them; only there a place is found.
    """
    first = char_class({string[0] for string in whole})
    one = f"(?>[^{first}]|{longest_of(whole)}|[{first}])"
    return rf"\G{one}+?\K(?=[{char_class(joining)}])"
