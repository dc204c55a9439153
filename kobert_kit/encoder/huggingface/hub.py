"""Models by their name on the Hugging Face hub."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from kobert_vocab.errors import InputError

NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
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
    name = str(model)
    if isinstance(model, Path) or not NAME.fullmatch(name):
        raise InputError(f"{model}: no such folder")
    try:
        found = Path(snapshot_download(name, allow_patterns=list(FILES)))
        if not any(found.glob("*.safetensors")):
            found = Path(snapshot_download(name, allow_patterns=[*FILES, OLD_WEIGHTS]))
    except GatedRepoError as error:
        raise InputError(
            f"{name}: its owner gives access on demand; ask for it, then `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(f"{name}: no such folder, and no model of the hub") from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"{name}: no such folder, and the hub cannot be reached; copy the model here first"
        ) from error
    except HfHubHTTPError as error:
        raise InputError(f"{name}: the hub says {error.response.status_code}") from error
    return found
