"""Regular expressions of Oniguruma, which `tokenizers` uses, for sets of characters and strings."""

from collections.abc import Iterable

_END = ""  # in a tree of strings: one ends here
_Tree = dict[str, "_Tree"]


def char_class(chars: Iterable[str]) -> str:
    """The inside of a regular expression's ``[...]`` that matches ``chars``."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in ranges)


def longest_of(strings: Iterable[str]) -> str:
    """An expression that matches the longest of ``strings`` that there is at a place.

    Put into ``(?>...)`` it matches no other. Characters that the same things may follow share a
    class, so the 200,000 strings of ``nmt_nfkc`` take some 20 kB.
    """
    tree: _Tree = {}
    for string in strings:
        node = tree
        for char in string:
            node = node.setdefault(char, {})
        node[_END] = {}
    return _expression(tree)


def _expression(tree: _Tree) -> str:
    alike: dict[str, list[str]] = {}
    for char, below in tree.items():
        if char != _END:
            alike.setdefault(_expression(below), []).append(char)
    if not alike:
        return ""
    parts = sorted(f"[{char_class(chars)}]{rest}" for rest, chars in alike.items())
    return f"(?:{'|'.join(parts)})" + ("?" if _END in tree else "")
