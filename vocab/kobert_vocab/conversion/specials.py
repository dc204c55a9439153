"""Which ids are special in a model that says so in one of many ways."""

from collections.abc import Mapping

from kobert_vocab.conversion.model import SentencePieceModel
from kobert_vocab.conversion.source import CONFIG, ConversionSource
from kobert_vocab.errors import InputError
from kobert_vocab.id_layout import FAIRSEQ_NAMES, IdLayout, Style, lay_out

# What special pieces are called, the names of BERT first.
_CALLED: Mapping[str, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>"),
    "cls": ("[CLS]", "<cls>", "<s>"),
    "sep": ("[SEP]", "<sep>", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
_FAIRSEQ: tuple[Style, ...] = ("xlm-roberta", "camembert")
# `model_type` in config.json; their tokenizers in transformers 5.23 join a pair so.
_STYLE_OF: Mapping[str, Style] = {
    **dict.fromkeys(("bert", "albert", "deberta", "deberta-v2", "electra", "mobilebert"), "bert"),
    **dict.fromkeys(("big_bird", "fnet", "rembert", "modernbert"), "bert"),
    **dict.fromkeys(("xlm-roberta", "xlm-roberta-xl"), "xlm-roberta"),
    "roberta": "roberta",
    "camembert": "camembert",
    "xlnet": "xlnet",
}
# DeBERTa-v3 has 99 rows more than pieces; tables are padded to a multiple of 64 or 128.
MOST_SPARE = 128


def find_layout(
    model: SentencePieceModel, source: ConversionSource, style: Style | None
) -> IdLayout:
    """The ids of a model's pieces, by what it says itself, its settings say and ``style`` asks.

    Raises:
        InputError: that leaves several ways, or does not fit together.
    """
    pieces = [piece.text for piece in model.pieces]
    chosen = style or _style(pieces, source)
    layout = lay_out(
        pieces,
        unk=_unknown(model, source),
        style=chosen,
        names=_names(pieces, source, chosen, may_lack=style is not None),
    )
    _check_added(layout, source)
    _check_config(layout, source)
    return layout


def _style(pieces: list[str], source: ConversionSource) -> Style:
    family = source.family
    if family is not None:
        if family not in _STYLE_OF:
            raise InputError(
                f"{source.model.parent / CONFIG}: model_type is {family!r}, none whose ids are "
                "known; give --style"
            )
        style = _STYLE_OF[family]
        # Models of these families that were trained from a vocabulary with all special pieces.
        return "roberta" if style in _FAIRSEQ and "<pad>" in pieces else style
    found = _inside(pieces)
    if len(found) < len(_CALLED):
        lacking = ", ".join(purpose for purpose in _CALLED if purpose not in found)
        raise InputError(
            f"{source.model}: no piece for {lacking}, so the ids cannot be told; give --style bert "
            "(these get the ids after the last), or xlm-roberta or camembert (ids of Fairseq)"
        )
    by_cls: dict[str, Style] = {"[CLS]": "bert", "<s>": "roberta"}
    if found["cls"] not in by_cls:
        raise InputError(
            f"{source.model}: {found['cls']} may stand before a text or after it; give --style "
            "bert or --style xlnet"
        )
    return by_cls[found["cls"]]


def _inside(pieces: list[str]) -> dict[str, str]:
    """The special pieces by purpose, those that the model has."""
    known = set(pieces)
    called = {purpose: [n for n in names if n in known] for purpose, names in _CALLED.items()}
    return {purpose: names[0] for purpose, names in called.items() if names}


def _names(
    pieces: list[str], source: ConversionSource, style: Style, *, may_lack: bool
) -> dict[str, str]:
    if style in _FAIRSEQ:
        return FAIRSEQ_NAMES
    given = {purpose: name for purpose, name in source.names.items() if purpose in _CALLED}
    found = _inside(pieces) | given
    if may_lack:
        found = {purpose: names[0] for purpose, names in _CALLED.items()} | found
    lacking = ", ".join(purpose for purpose in _CALLED if purpose not in found)
    if lacking:
        raise InputError(
            f"{source.model}: no piece for {lacking}; --style {style} gives it an id after the last"
        )
    return found


def _unknown(model: SentencePieceModel, source: ConversionSource) -> str:
    own = model.unknown.text
    named = source.names.get("unk", own)
    if named != own:
        raise InputError(
            f"{source.model}: its piece for the unknown is {own}; the settings beside it say "
            f"{named}"
        )
    return own


def _check_added(layout: IdLayout, source: ConversionSource) -> None:
    for name in layout.names.values():
        wanted, own = source.added.get(name), layout.id_of(name)
        if wanted is not None and wanted != own:
            raise InputError(
                f"{source.model.parent}: {name} has the id {own} in {source.model.name} and "
                f"{wanted} in the settings; one of them belongs to another model"
            )


def _check_config(layout: IdLayout, source: ConversionSource) -> None:
    path = source.model.parent / CONFIG
    rows, count = source.config.get("vocab_size"), len(layout.pieces)
    if isinstance(rows, int) and not count <= rows <= count + MOST_SPARE:
        raise InputError(
            f"{path}: vocab_size is {rows:,}, but {source.model.name} has {count:,} ids; one of "
            "them belongs to another model"
        )
    pad, own = source.config.get("pad_token_id"), layout.id_of(layout.pad)
    if isinstance(pad, int) and pad != own:
        raise InputError(
            f"{path}: pad_token_id is {pad}, but {layout.pad} is {own} in {source.model.name}; one "
            "of them belongs to another model"
        )
