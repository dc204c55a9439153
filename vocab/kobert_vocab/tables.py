"""Rows of a column ``text``: Parquet files, and data sets saved to disk or on the hub.

pyarrow and ``datasets`` are imported when the first such source is read; text files need neither.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from kobert_vocab.errors import InputError
from kobert_vocab.lines import LONGEST_LINE

COLUMN = "text"
ROWS = 64  # at once: all as long as `LONGEST_LINE` take 4 GiB; fewer are slower
PARQUET_BUFFER = 1 << 20  # bytes; without a buffer a row group, often a whole file, is read at once
SPLIT = "train"  # what pretraining data has; for another the folder of that split can be named
HUB_SECONDS = 10  # for the one question asked before reading


def import_late(name: str) -> ModuleType:
    """A module that the extra ``hub`` installs.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install 'kobert-kit[hub]'") from error


def parquet_rows(path: Path) -> Iterator[tuple[int, str, int]]:
    """Numbered texts of a Parquet file, and how many bytes of it have been read by then.

    Raises:
        InputError: the file is broken or has no column ``text`` of strings.
    """
    arrow, parquet = import_late("pyarrow"), import_late("pyarrow.parquet")
    size = path.stat().st_size
    with path.open("rb") as raw:
        try:
            file = parquet.ParquetFile(raw, buffer_size=PARQUET_BUFFER, pre_buffer=False)
            _check_column(str(path), file.schema_arrow.names)
            count = file.metadata.num_rows
            batches = file.iter_batches(batch_size=ROWS, columns=[COLUMN], use_threads=False)
            for row, text in _texts(str(path), batches):
                yield row, text, size * row // count
        except (arrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: not a Parquet file, or broken ({_line(error)})") from error


def saved_rows(path: Path, size: int) -> Iterator[tuple[int, str, int]]:
    """Numbered texts of a folder that ``save_to_disk`` made, and how many of its bytes are read.

    Raises:
        InputError: the folder is broken, or has no split ``train`` or no column ``text``.
    """
    arrow, datasets = import_late("pyarrow"), import_late("datasets")
    try:
        data = datasets.load_from_disk(str(path))
        if isinstance(data, datasets.DatasetDict):
            data = _one_split(path, data)
        _check_column(str(path), data.column_names)
        batches = data.select_columns(COLUMN).with_format("arrow").iter(batch_size=ROWS)
        for row, text in _texts(str(path), batches):
            yield row, text, size * row // len(data)
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: broken data set ({_line(error)}); save it again") from error


def hub_rows(name: str, config: str, revision: str | None) -> Iterator[tuple[int, str, int]]:
    """Numbered texts of a data set's split ``train``, and how many bytes they have together.

    Raises:
        InputError: the data set cannot be reached or read, or has no column ``text``.
    """
    arrow, datasets = import_late("pyarrow"), import_late("datasets")
    where, read = f"{name}:{config}", 0
    try:
        data = datasets.load_dataset(name, config, split=SPLIT, streaming=True, revision=revision)
        for row, text in _texts(where, data.with_format("arrow").iter(batch_size=ROWS)):
            read += len(text.encode())
            yield row, text, read
    except (arrow.ArrowException, OSError, ValueError, RuntimeError, _http_error()) as error:
        raise InputError(f"{where}: cannot be read from the hub ({_line(error)})") from error


def hub_revision(name: str) -> str:
    """The newest commit of the data set ``name`` of the Hugging Face hub.

    Raises:
        InputError: there is no such data set, or no way to the hub.
    """
    import_late("datasets")
    hub = import_late("huggingface_hub")
    try:
        return str(hub.HfApi().dataset_info(name, timeout=HUB_SECONDS).sha)
    except hub.errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{name}: no such file or folder, and the hub has no such data set or shows it only "
            "after: hf auth login"
        ) from error
    except (OSError, ValueError, _http_error()) as error:
        raise InputError(
            f"{name}: no such file or folder, and the Hugging Face hub cannot be asked for a data "
            f"set of that name ({_line(error)})"
        ) from error


def _http_error() -> type[Exception]:
    # Of the HTTP client that huggingface_hub uses, which is another one from version to version.
    error: type[Exception] = import_late("huggingface_hub.errors").HTTPError
    return error


def _one_split(path: Path, splits: Any) -> Any:  # noqa: ANN401
    if SPLIT not in splits:
        example = path / next(iter(splits), SPLIT)
        raise InputError(
            f"{path}: no split {SPLIT!r}; found {', '.join(splits)}: name one, such as {example}"
        )
    return splits[SPLIT]


def _texts(where: str, batches: Iterator[Any]) -> Iterator[tuple[int, str]]:
    """Numbered strings of the column ``text``, without rows that have none."""
    row = 0
    for batch in batches:
        _check_column(where, batch.schema.names)
        for value in batch.column(COLUMN):
            row += 1
            try:
                text = value.as_py()
            except UnicodeDecodeError as error:
                raise InputError(f"{where}: row {row}: not UTF-8 ({error.reason})") from error
            if text is None:
                continue
            if not isinstance(text, str):
                kind = type(text).__name__
                raise InputError(f"{where}: row {row}: column {COLUMN!r} holds {kind}, not strings")
            if len(text) > LONGEST_LINE:
                raise InputError(f"{where}: row {row}: more than {LONGEST_LINE:,} characters")
            yield row, text


def _check_column(where: str, found: list[str]) -> None:
    if COLUMN not in found:
        raise InputError(
            f"{where}: no column {COLUMN!r}; found {', '.join(map(repr, found))}; "
            f"rename the one with the text to {COLUMN!r}"
        )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
