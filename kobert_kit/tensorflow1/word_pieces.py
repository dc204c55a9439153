"""WordPiece vocabularies: Google's ``vocab.txt`` and the tokenizer of `transformers`.

``vocab.txt`` has a piece in each line, whose number is its id. Whether text is lower-cased, and its
accents taken off, before it is cut into pieces is in no file of a checkpoint: in Google's code it
is the flag ``--do_lower_case``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from kobert_kit.tensorflow1.json_file import read_json, write_json
from kobert_vocab.errors import InputError
from kobert_vocab.specials import CLS, MASK, NAMED, PAD, SEP, UNK

Case = Literal["cased", "uncased"]

VOCAB, TOKENIZER, TOKENIZER_CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
INSIDE = "##"  # before a piece that goes on with a word


@dataclass(frozen=True, kw_only=True)
class WordPieces:
    """A vocabulary and what is done to text before it."""

    pieces: tuple[str, ...]
    """By id."""
    case: Case | None
    """None where no file says it."""

    @property
    def pad_id(self) -> int:
        """The id of ``[PAD]``."""
        return self.pieces.index(PAD)


def read_vocab_txt(path: Path) -> tuple[str, ...]:
    """The pieces of a ``vocab.txt``, as Google's code reads it: blanks around a piece go.

    Raises:
        InputError: the file is not UTF-8, a line is empty or repeats another, or a special piece is
            missing.
    """
    try:
        lines = path.read_bytes().decode().split("\n")  # other line ends may be within a piece
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; convert it") from error
    if lines[-1] == "":
        lines.pop()
    ids: dict[str, int] = {}
    for number, line in enumerate(lines):
        piece = line.strip()
        if not piece:
            raise InputError(f"{path}:{number + 1}: no piece in this line; take the original file")
        if piece in ids:
            raise InputError(
                f"{path}:{number + 1}: {piece!r} stands in line {ids[piece] + 1} too; "
                "take the original file"
            )
        ids[piece] = number
    for special in NAMED:
        if special not in ids:
            raise InputError(f"{path}: no {special}; take the original file")
    return tuple(ids)


def read_tokenizer(folder: Path) -> WordPieces | None:
    """The WordPiece vocabulary of a Hugging Face folder; None if it has no such one.

    ``tokenizer.json`` counts before ``vocab.txt``, as for `transformers`.

    Raises:
        InputError: the files are damaged, or Google's code cannot be given such a vocabulary.
    """
    path = folder / TOKENIZER
    if not path.exists():
        if not (folder / VOCAB).exists():
            return None
        return WordPieces(pieces=read_vocab_txt(folder / VOCAB), case=None)
    raw = read_json(path)
    model = raw.get("model")
    if not isinstance(model, dict) or not _is_word_piece(model):
        return None
    if model.get("continuing_subword_prefix") != INSIDE:
        raise InputError(f"{path}: pieces inside words do not begin with ##, as Google's code asks")
    normalizer = raw.get("normalizer") or {}
    lowers = normalizer.get("lowercase") if isinstance(normalizer, dict) else None
    case: Case | None = None if lowers is None else "uncased" if lowers else "cased"
    return WordPieces(pieces=_in_order(raw, path), case=case)


def _is_word_piece(model: dict[str, Any]) -> bool:
    kind = model.get("type")
    # Files of 2020 name no type, that of bert-base-uncased for one; no other model has this limit.
    return kind == "WordPiece" or (kind is None and "max_input_chars_per_word" in model)


def write_vocab_txt(folder: Path, pieces: tuple[str, ...]) -> None:
    """Write ``vocab.txt``."""
    (folder / VOCAB).write_bytes("".join(f"{piece}\n" for piece in pieces).encode())


def write_tokenizer(folder: Path, pieces: tuple[str, ...], case: Case, longest: int) -> None:
    """Write ``vocab.txt``, and the tokenizer files of `BertTokenizer` of `transformers`.

    Args:
        folder: an existing one.
        pieces: by id.
        case: whether text is lower-cased first.
        longest: tokens that the model takes.
    """
    write_vocab_txt(folder, pieces)
    _tokenizer(pieces, case).save(str(folder / TOKENIZER))
    # `transformers` 5 builds the tokenizer anew from these, and takes only pieces from the other.
    settings: dict[str, object] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": case == "uncased",
        "strip_accents": None,  # as lower-casing goes
        "tokenize_chinese_chars": True,
        "model_max_length": longest,
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
    }
    write_json(folder / TOKENIZER_CONFIG, settings)


def _tokenizer(pieces: tuple[str, ...], case: Case) -> Tokenizer:
    ids = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNK, continuing_subword_prefix=INSIDE))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=case == "uncased")
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(INSIDE)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in NAMED])
    tokenizer.post_processor = TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    return tokenizer


def _in_order(raw: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The pieces of a ``tokenizer.json`` by id, added tokens included."""
    try:
        added = {token["content"]: token["id"] for token in raw["added_tokens"]}
        ids = {**raw["model"]["vocab"], **added}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a tokenizer's file ({error}); copy it again") from error
    numbers = list(ids.values())
    if any(type(number) is not int for number in numbers) or sorted(numbers) != list(
        range(len(ids))
    ):
        raise InputError(f"{path}: an id is missing or there twice; vocab.txt has a line for each")
    for piece in ids:
        if not _fits_a_line(piece):
            raise InputError(f"{path}: the piece {piece!r} cannot stand in a line of vocab.txt")
    for special in NAMED:
        if special not in ids:
            raise InputError(f"{path}: no {special}, which Google's code asks for")
    return tuple(sorted(ids, key=ids.__getitem__))


def _fits_a_line(piece: object) -> bool:
    if not isinstance(piece, str) or not piece or piece != piece.strip() or "\n" in piece:
        return False
    return not any("\ud800" <= char <= "\udfff" for char in piece)  # halves: no UTF-8 has them
