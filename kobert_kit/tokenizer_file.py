"""``tokenizer.json`` of a model folder."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from kobert_vocab.errors import InputError
from kobert_vocab.extension.base_tokenizer import read_tokenizer as parsed

TOKENIZER = "tokenizer.json"
MASKS = ("[MASK]", "<mask>")  # BERT's, RoBERTa's


def read_tokenizer(folder: Path, words: int) -> Tokenizer:
    """The tokenizer of a model of so many words; it neither cuts off nor fills up text.

    Raises:
        InputError: there is none, or it is broken, or of another model.
    """
    path = folder / TOKENIZER
    if not path.exists():
        raise InputError(
            f"{folder}: no {TOKENIZER}; write one with transformers: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error}); copy it again") from error
    try:
        tokenizer = parsed(text)
    except ValueError as error:
        raise InputError(f"{path}: not a tokenizer; copy it again") from error
    last = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if last >= words:  # there may be words without a piece, but not the other way round
        raise InputError(f"{path}: the tokenizer has the id {last}, the model {words} words")
    return tokenizer


def mask_of(tokenizer: Tokenizer, folder: Path) -> tuple[str, int]:
    """The token that stands for a gap, and its id.

    Raises:
        InputError: there is none.
    """
    for name in MASKS:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return name, found
    raise InputError(f"{folder / TOKENIZER}: the vocabulary has no {' or '.join(MASKS)}")
