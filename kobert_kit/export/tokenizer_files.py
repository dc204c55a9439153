"""The files of a tokenizer beside a model."""

from pathlib import Path
from shutil import copyfile

from kobert_kit.tokenizer_file import TOKENIZER, read_tokenizer

# What `save_pretrained` of a tokenizer writes: of every kind, and of WordPiece, byte-level BPE and
# SentencePiece.
TOKENIZER_FILES = (
    *(TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt"),
    *("spm.model", "spiece.model", "sentencepiece.bpe.model"),
)


def copy_tokenizer(model: Path, words: int, out: Path) -> None:
    """Copy the tokenizer of a model folder.

    Args:
        model: the folder.
        words: of the model.
        out: an existing folder.

    Raises:
        InputError: there is no ``tokenizer.json``, or it is broken or of another model.
    """
    read_tokenizer(model, words)
    for name in TOKENIZER_FILES:
        if (model / name).exists():
            copyfile(model / name, out / name)
