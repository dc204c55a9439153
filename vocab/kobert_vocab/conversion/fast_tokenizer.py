"""``tokenizer.json`` of a SentencePiece model and the ids that its pieces have."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kobert_vocab.char_class import char_class
from kobert_vocab.conversion.merges import merges
from kobert_vocab.conversion.model import SentencePieceModel
from kobert_vocab.conversion.normalizer import exact_normalizer
from kobert_vocab.errors import InputError
from kobert_vocab.export import UNREACHABLE
from kobert_vocab.id_layout import TEMPLATES, IdLayout
from kobert_vocab.model_file import NORMAL, UNUSED, USER_DEFINED
from kobert_vocab.rounding import score_in_use

if TYPE_CHECKING:  # imported in the functions, as in `export`
    from tokenizers import Tokenizer
    from tokenizers.decoders import Decoder
    from tokenizers.models import Model
    from tokenizers.pre_tokenizers import PreTokenizer


def fast_tokenizer(model: SentencePieceModel, layout: IdLayout) -> "Tokenizer":
    """A tokenizer that gives the ids of ``layout`` to the pieces that ``model`` cuts a text in.

    Raises:
        InputError: the model has something that `tokenizers` cannot follow exactly.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors

    cut = _unigram if model.kind == "unigram" else _bpe
    tokenizer = Tokenizer(cut(model, layout))
    parts = exact_normalizer(model)
    if parts:
        tokenizer.normalizer = normalizers.Sequence(parts)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(_pre_tokenizers(model, layout)))
    tokenizer.decoder = decoders.Sequence(list(_decoders(model)))
    named = sorted({layout.pad, layout.unk, layout.cls, layout.sep, layout.mask})
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in named])
    single, pair = TEMPLATES[layout.template]
    names = {"cls": layout.cls, "sep": layout.sep}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single.format(**names),
        pair=pair.format(**names),
        special_tokens=[(name, layout.id_of(name)) for name in names.values()],
    )
    return tokenizer


def _unigram(model: SentencePieceModel, layout: IdLayout) -> "Model":
    from tokenizers import models

    _refuse_what_scores_cannot_say(model, layout)
    scores = [UNREACHABLE] * len(layout.pieces)
    for piece, place in zip(model.pieces, layout.ids, strict=True):
        if piece.type in (NORMAL, USER_DEFINED):
            scores[place] = score_in_use(piece)
    vocabulary = list(zip(layout.pieces, scores, strict=True))
    return models.Unigram(vocabulary, layout.id_of(layout.unk), byte_fallback=model.byte_fallback)


def _refuse_what_scores_cannot_say(model: SentencePieceModel, layout: IdLayout) -> None:
    """Raise an InputError where `UNREACHABLE`, which is also the base of unknown, would show."""
    known = model.known
    for text in model.texts(NORMAL):
        unknown = next((char for char in text if char not in known), None)
        if unknown is not None:
            raise InputError(
                f"its piece {text!r} has {unknown!r}, which is no piece; tokenizers counts unknown "
                "characters in another way"
            )
    for text in _never_matched(model, layout):
        # Split off (`_pre_tokenizers`), it would stand alone.
        alone = len(text) == 1 if model.byte_fallback else not known & set(text)
        if alone and text != layout.unk:
            raise InputError(
                f"its piece {text!r} has no character that is a piece; tokenizers would find it in "
                "text, where SentencePiece does not"
            )


def _never_matched(model: SentencePieceModel, layout: IdLayout) -> list[str]:
    """The pieces that SentencePiece finds in no text."""
    matched = set(model.texts(NORMAL, USER_DEFINED))
    return [piece for piece in layout.pieces if piece not in matched]


def _bpe(model: SentencePieceModel, layout: IdLayout) -> "Model":
    from tokenizers import models

    alone = [piece for piece in _never_matched(model, layout) if len(piece) == 1]
    if alone:
        raise InputError(
            f"its piece {alone[0]!r} is for no text, but one character long; tokenizers would find "
            "it in text"
        )
    return models.BPE(
        {text: place for place, text in enumerate(layout.pieces)},
        merges(model),
        unk_token=layout.unk,
        fuse_unk=True,
        byte_fallback=model.byte_fallback,
    )


def _pre_tokenizers(model: SentencePieceModel, layout: IdLayout) -> Iterator["PreTokenizer"]:
    from tokenizers import Regex, pre_tokenizers

    # Of a model that keeps all spaces the one before a text is put there by the normaliser.
    first = model.add_dummy_prefix and model.remove_extra_whitespaces
    yield pre_tokenizers.Metaspace(
        "▁", prepend_scheme="first" if first else "never", split=_words_stand_alone(model)
    )
    known = model.known
    unknown_within = any(set(piece) - known for piece in _never_matched(model, layout))
    if model.kind == "unigram" and unknown_within:
        # Where `<s>` has a character without a piece, the way over that character would cost more
        # than `UNREACHABLE`. No piece has it, so that cutting there changes nothing else.
        # In bytes each character stands for itself, otherwise a run of them is one unknown.
        many = "" if model.byte_fallback else "+"
        yield pre_tokenizers.Split(Regex(f"[^{char_class(known)}]{many}"), "isolated")


def _words_stand_alone(model: SentencePieceModel) -> bool:
    """Whether no piece reaches beyond a word; words one by one are faster, since they are kept."""
    reaching = any("▁" in text[1:] for text in model.texts(NORMAL, USER_DEFINED, UNUSED))
    return "▁" in model.known and not reaching


def _decoders(model: SentencePieceModel) -> Iterator["Decoder"]:
    from tokenizers import decoders

    if model.byte_fallback:
        yield decoders.ByteFallback()
    yield decoders.Metaspace("▁", prepend_scheme="first" if model.add_dummy_prefix else "never")
    yield decoders.Fuse()
