"""Which id each piece of a SentencePiece model has, which are special, and how pairs are joined.

Most models are used with the numbers of their file. Those that Fairseq trained (XLM-R, CamemBERT)
have four or five pieces of their own first, leave out as many of the file, and end in a mask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from kobert_vocab.errors import InputError

Style = Literal["bert", "roberta", "xlnet", "xlm-roberta", "camembert"]
STYLES: tuple[Style, ...] = get_args(Style)
Template = Literal["bert", "roberta", "xlnet"]

TEMPLATES: Mapping[Template, tuple[str, str]] = {
    "bert": ("{cls}:0 $A:0 {sep}:0", "{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1"),
    "roberta": ("{cls}:0 $A:0 {sep}:0", "{cls}:0 $A:0 {sep}:0 {sep}:0 $B:0 {sep}:0"),
    "xlnet": ("$A:0 {sep}:0 {cls}:2", "$A:0 {sep}:0 $B:1 {sep}:1 {cls}:2"),
}
"""A text and a pair of them with the number of each one's segment, as `tokenizers` writes it."""
_TEMPLATE_OF: Mapping[Style, Template] = {
    "bert": "bert",
    "roberta": "roberta",
    "xlnet": "xlnet",
    "xlm-roberta": "roberta",
    "camembert": "roberta",
}


@dataclass(frozen=True, kw_only=True)
class _Fairseq:
    """How the ids of a model of Fairseq begin."""

    first: tuple[str, ...]
    left_out: int
    """Pieces at the beginning of the file whose ids are among ``first``, or none."""


_FAIRSEQ: Mapping[str, _Fairseq] = {
    "xlm-roberta": _Fairseq(first=("<s>", "<pad>", "</s>", "<unk>"), left_out=3),
    "camembert": _Fairseq(
        first=("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"), left_out=1
    ),
}
FAIRSEQ_NAMES = {"pad": "<pad>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}


@dataclass(frozen=True, kw_only=True)
class IdLayout:
    """The pieces of a vocabulary by id, and those of them that stand for no text."""

    style: Style
    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    """The id of each piece of the SentencePiece model, in the order of its file."""
    pad: str
    unk: str
    cls: str
    sep: str
    mask: str

    @property
    def template(self) -> Template:
        """The key into `TEMPLATES`."""
        return _TEMPLATE_OF[self.style]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {piece: place for place, piece in enumerate(self.pieces)}

    def id_of(self, piece: str) -> int:
        """The id of a piece.

        Raises:
            KeyError: there is none of that name.
        """
        return self._places[piece]

    @cached_property
    def names(self) -> dict[str, str]:
        """The five special pieces by what they are for."""
        return {name: getattr(self, name) for name in ("pad", "unk", "cls", "sep", "mask")}


def lay_out(pieces: Sequence[str], *, unk: str, style: Style, names: Mapping[str, str]) -> IdLayout:
    """The ids of a model's ``pieces``.

    Args:
        pieces: in the order of the file.
        unk: the one for what no other piece has.
        style: of the ids and of pairs.
        names: of ``pad``, ``cls``, ``sep`` and ``mask``; those that are no pieces get the ids after
            the last one, in this order.

    Raises:
        InputError: the style cannot be that of these pieces.
    """
    fairseq = _FAIRSEQ.get(style, _Fairseq(first=(), left_out=0))
    own, rest = pieces[: fairseq.left_out], pieces[fairseq.left_out :]
    if not set(own) <= set(fairseq.first) or set(rest) & set(fairseq.first):
        begins = ", ".join(pieces[:4])
        raise InputError(
            f"its ids cannot be those of {style}, whose models begin with <unk>, <s>, </s> and "
            f"have no <pad>; this one begins with {begins}; give another --style"
        )
    taken = [*fairseq.first, *rest]
    taken += [names[key] for key in ("pad", "cls", "sep", "mask") if names[key] not in taken]
    places = {piece: place for place, piece in enumerate(taken)}
    ids = [places[piece] for piece in pieces]
    return IdLayout(style=style, pieces=tuple(taken), ids=tuple(ids), unk=unk, **names)
