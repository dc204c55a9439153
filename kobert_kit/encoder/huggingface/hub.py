"""Models by their name on the Hugging Face hub."""

from pathlib import Path

from kobert_vocab.errors import InputError
from kobert_vocab.hub import fetch, may_be_on_hub

# Configuration, tokenizer and weights; never code.
FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
OLD_WEIGHTS = "pytorch_model.bin"


def local_folder(model: str | Path) -> Path:
    """The folder of a model: itself, or the hub's, copied into the hub's cache.

    Args:
        model: a folder, or a name on the hub such as ``klue/bert-base``.

    Raises:
        InputError: neither, or the hub cannot be reached.
    """
    folder = Path(model)
    if folder.exists():
        return folder
    if isinstance(model, Path) or not may_be_on_hub(model):
        raise InputError(f"{model}: no such folder")
    found = fetch(model, FILES)
    # The old form is as large again; it is fetched only where there is no other.
    return found if any(found.glob("*.safetensors")) else fetch(model, [*FILES, OLD_WEIGHTS])
