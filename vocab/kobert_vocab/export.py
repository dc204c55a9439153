r"""A SentencePiece model as ``tokenizer.json`` that gives the same ids, for ``transformers``.

The stock conversion gives other ids for 31 % of ordinary lines. What has to be right:

* ``Precompiled`` looks at whole graphemes and keeps only the first part of short ones. NFC before
  it composes Hangul; a soft hyphen, which breaks a grapheme and is then deleted, goes between a
  character that folds and the marks after it; half-width カ with its own voiced mark is replaced
  before.
* Control and byte pieces stand in the matching trie, where SentencePiece has none: a score of
  -10,000 keeps literal ``<0x41>`` from matching.
* A ▁ is put before the first word of a text, and elsewhere only where a space stood. So
  ``서울[MASK] 간다`` reads ``▁서울 [MASK] ▁간다`` and ``[MASK]은`` has a particle after the mask,
  as a masked word of running text does. That needs ``Metaspace`` with ``first``, which goes by the
  offset in the text; so blanks at the beginning become one space instead of being stripped.

Rare syllables are two characters for the model (`kobert_vocab.hangul`). The decoder, which cannot
compose, lists all 8,772 of them; that takes 9 ms per text, and 0.1 s to load.

One difference is left: the ``NFC`` of ``tokenizers`` 0.23 is that of Unicode 9, so it does not
order or compose marks that came later (U+08CF between a letter and an accent, say). Text that is
composed beforehand has the same ids.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kobert_vocab.char_class import char_class
from kobert_vocab.hangul import rare_syllables
from kobert_vocab.model_file import NORMAL, Piece, read_charsmap, read_pieces
from kobert_vocab.normalize import read_folds
from kobert_vocab.specials import CLS, MASK, NAMED, PAD, SEP, UNK

if TYPE_CHECKING:  # imported in the functions: most who import this package never export
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

UNREACHABLE = -1e4  # a word of 16 rare letters, as bytes, scores about -300
LONGEST_INPUT = 512  # positions of BERT
_SOFT_HYPHEN = "\u00ad"
# What extends a grapheme: marks, joiners, letters that Unicode calls extending, and what may have
# become a mark in a later Unicode than the regular expressions know.
_EXTENDING = r"[\p{M}\p{Cn}\x{200C}\x{200D}\x{0E33}\x{0EB3}\x{FF9E}\x{FF9F}]"
_LAST_OF_THREE_BYTES = "\uffff"  # `Precompiled` goes wrong on graphemes of less than 6 bytes
_TOKENIZER_CONFIG: Mapping[str, object] = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": PAD,
    "unk_token": UNK,
    "cls_token": CLS,
    "sep_token": SEP,
    "mask_token": MASK,
    "padding_side": "right",
    "truncation_side": "right",
    "model_max_length": LONGEST_INPUT,
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    "clean_up_tokenization_spaces": False,
}


def export(model: bytes, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``."""
    _fast_tokenizer(model).save(str(folder / "tokenizer.json"))
    write_tokenizer_config(folder, {})


def write_tokenizer_config(folder: Path, settings: Mapping[str, object]) -> None:
    """Write ``tokenizer_config.json``; ``settings`` go before those of a vocabulary of ours."""
    config = json.dumps({**_TOKENIZER_CONFIG, **settings}, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(config + "\n", encoding="utf-8")


def _fast_tokenizer(model: bytes) -> "Tokenizer":
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary = [(piece.text, _score(piece)) for piece in read_pieces(model)]
    ids = {text: i for i, (text, _) in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.Unigram(vocabulary, ids[UNK], byte_fallback=True))
    tokenizer.normalizer = _normalizer(read_charsmap(model))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Metaspace("▁", prepend_scheme="first"),
            decoders.Fuse(),
            *(decoders.Replace(two, one) for one, two in rare_syllables().items()),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in NAMED])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    return tokenizer


def _score(piece: Piece) -> float:
    return piece.score if piece.type == NORMAL else UNREACHABLE


def _normalizer(charsmap: bytes) -> "Normalizer":
    from tokenizers import Regex, normalizers

    folds = read_folds()
    single = [source for source in folds if len(source) == 1]
    blanks = char_class(char for char in single if folds[char] in ("", " "))
    folding = char_class(char for char in single if char <= _LAST_OF_THREE_BYTES)
    return normalizers.Sequence(
        [
            normalizers.NFC(),
            *_voiced_kana(folds),
            normalizers.Replace(Regex(f"^[ {blanks}]+"), " "),
            normalizers.Replace(Regex(f"(?<=[{folding}])(?={_EXTENDING})"), _SOFT_HYPHEN),
            normalizers.Precompiled(charsmap),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(left=False, right=True),
        ]
    )


def _voiced_kana(folds: Mapping[str, str]) -> Iterator["Normalizer"]:
    """Half-width ``ｶﾞ`` to ``ガ`` in two steps, since a replaced pair would lose its offset."""
    from tokenizers import Regex, normalizers

    voiced = []
    for source, kana in folds.items():
        if source[1:] not in ("ﾞ", "ﾟ"):
            continue
        letter, mark = source[0], source[1]
        if letter == kana:
            voiced.append(f"(?<={letter}){mark}")
        else:
            yield normalizers.Replace(Regex(f"{letter}(?={mark})"), kana)
    yield normalizers.Replace(Regex("|".join(voiced)), "")
