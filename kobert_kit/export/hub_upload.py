"""``kobert push``: a model folder to the Hugging Face hub."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from huggingface_hub import HfApi, errors
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from kobert_kit import __version__
from kobert_kit.encoder.huggingface.folder import CONFIG, open_folder
from kobert_kit.encoder.huggingface.weights import INDEX, WHOLE
from kobert_kit.export.model_card import read_card
from kobert_kit.export.onnx_files import GRAPH, WEIGHTS
from kobert_kit.export.tokenizer_files import TOKENIZER_FILES
from kobert_kit.pretraining.model_card import MODEL_CARD
from kobert_vocab.errors import InputError
from kobert_vocab.hub import may_be_on_hub

logger = logging.getLogger(__name__)

# All that goes up, and nothing else: no checkpoint, no measurement, no code.
FILES = (
    *(MODEL_CARD, "LICENSE", CONFIG),
    *(WHOLE, INDEX, "model-*-of-*.safetensors"),
    *TOKENIZER_FILES,
    *(GRAPH, f"onnx/{WEIGHTS}"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    *("1_Pooling/config.json", "2_Normalize/config.json"),
)


def push(folder: Path, name: str, *, public: bool = False) -> str:
    """Upload a model folder, to a repository that is made if there is none.

    Args:
        folder: with ``config.json``, weights or an ONNX graph, and a model card that has a licence.
        name: OWNER/NAME, or NAME for one's own.
        public: whether all may see it.

    Returns:
        Its address.

    Raises:
        InputError: the folder is not complete, who asks is not logged in or has no right to write
            there, what is there is seen by others than asked for, or the hub cannot be reached.
    """
    if not may_be_on_hub(name):
        raise InputError(f"{name}: not a name on the hub; write OWNER/NAME")
    files = model_files(folder)
    api = HfApi()
    with _told_in_one_line(name):
        owner = api.whoami()["name"]  # first, since it says best what is wrong with a token
        full_name = name if "/" in name else f"{owner}/{name}"
        _make_repository(api, full_name, public=public)
        api.upload_folder(
            repo_id=full_name,
            folder_path=folder,
            allow_patterns=files,
            commit_message=f"Upload a model with kobert-kit {__version__}",
        )
    return f"{api.endpoint}/{full_name}"


def model_files(folder: Path) -> list[str]:
    """The files of a model folder that go to the hub; a log says which stay.

    Raises:
        InputError: no model, no model card, no licence, or a path of this machine in a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = [path for pattern in FILES for path in sorted(folder.glob(pattern))]
    files = [path.relative_to(folder).as_posix() for path in found]
    _check_model(folder, files)
    _check_card(folder)
    for path in found:
        if path.suffix == ".json":
            _check_paths(path)
    go = {file.partition("/")[0] for file in files}
    stay = sorted(path.name for path in folder.iterdir() if path.name not in go)
    if stay:
        logger.warning("not uploaded: %s", ", ".join(stay))
    return files


def _check_model(folder: Path, files: list[str]) -> None:
    if CONFIG not in files:
        raise InputError(f"{folder}: not a model folder (no {CONFIG})")
    if any(file.endswith(".safetensors") for file in files):
        with open_folder(folder):  # raises where it is not whole
            return
    if GRAPH not in files:
        raise InputError(f"{folder}: no {WHOLE} and no {GRAPH}; nothing else is uploaded")


def _check_card(folder: Path) -> None:
    card = read_card(folder)
    path = folder / MODEL_CARD
    if card is None:
        raise InputError(f"{path}: no model card; write one that says what it was trained on")
    if not card.data.get("license"):
        raise InputError(
            f"{path}: no licence; choose one and write it at the head, as license: mit"
        )


def _check_paths(path: Path) -> None:
    """That no setting names a place on this machine, as old versions of `transformers` write."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); copy it again") from error
    for key, value in raw.items() if isinstance(raw, dict) else ():
        if isinstance(value, str) and _is_path(value):
            raise InputError(f"{path}: {key} is the path {value!r} of this machine; take it out")


def _is_path(text: str) -> bool:
    inside = len(PurePosixPath(text).parts) > 2  # a token may be "/"
    return (PurePosixPath(text).is_absolute() and inside) or PureWindowsPath(text).is_absolute()


def _make_repository(api: HfApi, name: str, *, public: bool) -> None:
    """A repository that is seen by whom it shall be."""
    try:
        private = api.model_info(name).private
    except RepositoryNotFoundError:
        api.create_repo(name, private=not public)
        return
    if private and public:
        raise InputError(f"{name}: there, and private; leave --public out, or change it on the hub")
    if not private and not public:
        raise InputError(f"{name}: there, and public; --public says that you mean it")


@contextmanager
def _told_in_one_line(name: str) -> Iterator[None]:
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise InputError("not logged in to the hub: hf auth login") from error
    except OfflineModeIsEnabled as error:
        raise InputError("HF_HUB_OFFLINE is set; unset it to upload") from error
    except HfHubHTTPError as error:
        raise InputError(_refusal(name, error)) from error
    # Of whatever library the hub's client speaks HTTP by, which changes between its versions.
    except errors.HTTPError as error:  # type: ignore[attr-defined]
        raise InputError(f"{name}: the hub cannot be reached ({error}); try again later") from error
    except ValueError as error:  # what the hub says of the card, or of a name
        raise InputError(f"{name}: {' '.join(str(error).split())}") from error
    except RuntimeError as error:  # how the hub's client says that a large file did not get there
        said = " ".join(str(error).split())
        raise InputError(f"{name}: {said} Run the same command again") from error


def _refusal(name: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return "the hub does not take your token: hf auth login"
    if status == 403:
        return f"{name}: you may not write there; take another name, or a token that may write"
    return f"{name}: the hub says {status} {error.server_message or ''}".rstrip()
