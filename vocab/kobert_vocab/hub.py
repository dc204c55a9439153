"""Files of a model on the Hugging Face hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from kobert_vocab.errors import InputError

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def may_be_on_hub(name: str | Path) -> bool:
    """Whether ``name`` could be that of a model on the hub: ``skt/kobert-base-v1``."""
    return _NAME.fullmatch(str(name)) is not None


def fetch(name: str | Path, files: Sequence[str]) -> Path:
    """A folder with those of a model's ``files`` that there are, fetched or from an earlier time.

    Raises:
        InputError: there is no such model, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(str(name), allow_patterns=list(files)))
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
