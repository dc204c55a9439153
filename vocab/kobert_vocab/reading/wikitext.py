"""Wikitext to readable text: what a reader of the page sees, a heading or paragraph per line.

mwparserfromhell takes the page apart. What is not prose goes: templates, tables, references, files,
categories, links to other languages, formulas, code, comments, magic words.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kobert_vocab.languages import find_language
from kobert_vocab.reading.packages import import_late

# Tags whose content is no prose; the others leave theirs.
DROPPED = frozenset(
    """
    ref references table gallery math chem ce timeline score hiero graph maplink mapframe imagemap
    inputbox categorytree section templatestyles templatedata syntaxhighlight source pre style
    script indicator noinclude
    """.split()  # noqa: SIM905
)
ITEM, LEVELS = "\v", "\f"  # begin a list item's line and a heading's; no wiki page has them
# Templates that mark a page of links to what a word may mean, as the larger Wikipedias call them.
DISAMBIGUATION = frozenset(
    """
    disambig disambiguation dab hndis geodis 동음이의 동명이인 begriffsklärung homonymie
    desambiguación desambiguação disambigua doorverwijspagina aimai 曖昧さ回避 消歧义 消歧義
    disambig-cn многозначность неоднозначность ujednoznacznienie förgrening
    """.split()  # noqa: SIM905
)
FILES_AND_CATEGORIES = frozenset({"file", "image", "media", "category"})  # known to every Wikipedia
MAGIC_WORD = re.compile(r"__[^\W_]+__")
VARIANTS = re.compile(r"-\{(?:([A-Za-z;-]*)\|)?([^{}]*)\}-")  # of Chinese: -{zh-hans:a;zh-hant:b}-
EMPTY_BRACKETS = (  # what templates leave behind: (首爾, {{lang|en|Seoul}})
    (re.compile(r"(?<=[(（])[\s,;:/·、，；]+"), ""),
    (re.compile(r"[\s,;:/·、，；]+(?=[)）])"), ""),
    (re.compile(r"[ ]?(?:\(\)|（）)"), ""),
)
TABLE_RESTS = ("{|", "|", "!!", "{{", "}}")  # of markup that never ends, which stays text
LEFT_OVER = re.compile(r"'{2,}|\[\[|\]\]|</?(?:ref|div|span|small|big|center|br)\b[^<>]*>", re.I)
LONG_LISTS = re.compile(r"^([*#:;]{8})[*#:;]+", re.M)  # each mark is a node; nobody nests 8 lists

# The parser reads on from each opening that never ends, or lies deeper than its own limit, to the
# end of the page and then goes back. 2e7 such characters take about a second.
TOKEN = re.compile(r"\{\{|\}\}|\{\||\|\}|\[|\]|</?[a-zA-Z]+|/?>")
CLOSES = {"}}": "{{", "|}": "{|", "]": "[", "/>": "<", ">": "<"}
SINGLE = frozenset("br wbr hr meta link img li dt dd th td tr".split())  # noqa: SIM905
DEEPEST, MOST_READ_AGAIN = 40, 20_000_000
# The cells of one table take time in their square: 40,000 took 5 s.
CELL, MOST_CELLS = re.compile(r"^[|!]|\|\||!!", re.MULTILINE), 50_000


class TangledError(Exception):
    """A page whose markup would take long to parse, and is no article."""


@dataclass(frozen=True)
class Namespaces:
    """The names, in lower case, of what a link shows or sorts instead of linking."""

    names: frozenset[str] = FILES_AND_CATEGORIES

    def with_name(self, name: str) -> "Namespaces":
        """These and one more, as a dump's head lists those of its own language."""
        return Namespaces(self.names | {name.strip().lower()})


def readable(wikitext: str, namespaces: Namespaces) -> str:
    """The prose of ``wikitext``; empty if it has none or only tells meanings of a word apart.

    Raises:
        TangledError: it would take longer than seconds.
    """
    wikitext = LONG_LISTS.sub(r"\1", _without_comments(wikitext))
    wikitext = wikitext.replace(ITEM, " ").replace(LEVELS, " ")
    _check(wikitext)
    parse = import_late("mwparserfromhell").parse
    page = _Page(namespaces)
    # Quotes for bold and italics are no trees to us; the parser is faster without them.
    text = "".join(page.texts(parse(wikitext, skip_style_tags=True).nodes))
    if page.is_disambiguation:
        return ""
    for pattern, rest in EMPTY_BRACKETS:
        text = pattern.sub(rest, text)
    lines = _paragraphs(VARIANTS.sub(_variant, MAGIC_WORD.sub("", LEFT_OVER.sub("", text))))
    return "\n".join(_without_empty_sections(lines))


def _without_comments(wikitext: str) -> str:
    parts, at = [], 0
    while (start := wikitext.find("<!--", at)) >= 0:
        parts.append(wikitext[at:start])
        end = wikitext.find("-->", start)
        at = len(wikitext) if end < 0 else end + 3
    return "".join([*parts, wikitext[at:]])


def _check(wikitext: str) -> None:
    opened: list[str] = []
    lost = 0
    for token in TOKEN.findall(wikitext):
        opening = CLOSES.get(token)
        if opening is None:
            opened.append(token)
            lost += len(opened) > DEEPEST
            continue
        closed, tangled = _close(opened, opening)
        lost += tangled
        if closed.startswith("</"):
            lost += _close(opened, closed[2:].lower() + ">")[1]
        elif token == ">" and closed and (name := closed[1:].lower()) not in SINGLE:
            opened.append(name + ">")
    lost += len(opened)
    if lost * len(wikitext) > MOST_READ_AGAIN:
        raise TangledError(f"{lost:,} marks that open and never close, or too deep")
    if (cells := len(CELL.findall(wikitext))) > MOST_CELLS:
        raise TangledError(f"{cells:,} cells of tables, more than {MOST_CELLS:,}")


def _close(opened: list[str], opening: str) -> tuple[str, int]:
    """Take the newest mark that begins with ``opening`` off, and those it leaves unclosed."""
    for back, mark in enumerate(reversed(opened[-DEEPEST:])):
        if mark.startswith(opening):
            del opened[-1 - back :]
            return mark, back
    return "", 0


class _Page:
    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.is_disambiguation = False

    def texts(self, nodes: Iterable[Any]) -> Iterator[str]:
        """The text of ``nodes`` in parts, list items and headings marked."""
        for node in nodes:
            match type(node).__name__:
                case "Text":
                    yield node.value
                case "HTMLEntity":
                    yield node.normalize() or ""
                case "Heading":
                    yield f"\n{LEVELS}{node.level}"
                    yield from self.texts(node.title.nodes)
                    yield "\n"
                case "Wikilink":
                    yield from self._link(node)
                case "ExternalLink" if node.title is not None:
                    yield from self.texts(node.title.nodes)
                case "Tag":
                    yield from self._tag(node)
                case "Template":
                    name = str(node.name).strip().lower()
                    self.is_disambiguation |= name in DISAMBIGUATION

    def _link(self, link: Any) -> Iterator[str]:  # noqa: ANN401
        title, label = str(link.title).strip(), link.text
        prefix = title.partition(":")[0].strip().lower() if ":" in title else ""
        if prefix in self._namespaces.names:
            return
        if label is not None and str(label).strip():
            yield from self.texts(label.nodes)
        elif not (prefix and find_language(prefix)):
            yield title.removeprefix(":")

    def _tag(self, tag: Any) -> Iterator[str]:  # noqa: ANN401
        name = str(tag.tag).strip().lower()
        if name in DROPPED:
            return
        if tag.wiki_markup in ("*", "#", ":", ";"):
            yield ITEM
        elif name in ("br", "hr"):
            yield " " if name == "br" else "\n\n"
        elif tag.contents is not None:
            block = "\n\n" if name in ("p", "div", "blockquote", "center", "poem", "li") else ""
            yield block
            yield from self.texts(tag.contents.nodes)
            yield block


def _variant(found: re.Match[str]) -> str:
    flags, content = found[1] or "", found[2]
    if flags.upper() in ("A", "H", "T"):  # rules for the whole page, not text
        return ""
    first = content.partition(";")[0]
    return first.partition(":")[2] if re.match(r"\s*zh[a-z-]*:", first) else content


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the level of a heading, or 0: lines of one paragraph joined."""
    held: list[str] = []
    for line in [*text.split("\n"), ""]:
        is_item, level = ITEM in line, int(line[1]) if line.startswith(LEVELS) else 0
        line = " ".join(line[2 if level else 0 :].replace(ITEM, " ").split())
        if line.startswith(TABLE_RESTS):
            line = ""
        if held and (not line or is_item or level):
            yield 0, " ".join(held)
            held = []
        if line and (is_item or level):
            yield level, line
        elif line:
            held.append(line)


def _without_empty_sections(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    waiting: list[tuple[int, str]] = []  # headings that nothing stands under yet
    for level, line in lines:
        if level:
            waiting = [above for above in waiting if above[0] < level]
            waiting.append((level, line))
        else:
            yield from (heading for _, heading in waiting)
            waiting = []
            yield line
