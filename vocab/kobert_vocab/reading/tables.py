"""Rows of a column ``text``: Parquet files, and data sets saved to disk or on the hub.

pyarrow and ``datasets`` are imported when the first such source is read; text files need neither.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kobert_vocab.errors import InputError
from kobert_vocab.reading.lines import LONGEST_LINE
from kobert_vocab.reading.packages import import_late
from kobert_vocab.reading.problems import Report
from kobert_vocab.reading.rows import LANGUAGES, TEXT, TITLES, PlacedRows, Row, Rows, row_of

WANTED = (TEXT, *LANGUAGES, *TITLES)
ROWS = 64  # at once: all as long as `LONGEST_LINE` take 4 GiB; fewer are slower
PARQUET_BUFFER = 1 << 20  # bytes; without a buffer a row group, often a whole file, is read at once
SPLIT = "train"  # what pretraining data has; for another the folder of that split can be named
HUB_SECONDS = 10  # for the one question asked before reading


def parquet_rows(path: Path, report: Report) -> PlacedRows:
    """Rows of a Parquet file, and how many bytes of it have been read by then.

    Of a row group that is broken what comes before the fault is kept.
    """
    arrow, parquet = import_late("pyarrow"), import_late("pyarrow.parquet")
    size = path.stat().st_size
    with path.open("rb") as raw:
        try:
            file = parquet.ParquetFile(raw, buffer_size=PARQUET_BUFFER, pre_buffer=False)
        except (arrow.ArrowException, OSError) as error:
            report("broken table", f"{path}: not a Parquet file, or broken ({_line(error)})")
            return
        columns = _columns(str(path), file.schema_arrow.names, report)
        count, start = file.metadata.num_rows, 0
        for group in range(file.num_row_groups if columns else 0):
            try:
                batches = file.iter_batches(
                    batch_size=ROWS, row_groups=[group], columns=columns, use_threads=False
                )
                for row in _rows(str(path), batches, report, start):
                    yield row, size * row.number // count
            except (arrow.ArrowException, OSError) as error:
                fault = f"not a Parquet file, or broken ({_line(error)})"
                report("broken table", f"{path}: {fault} in row group {group + 1}")
            start += file.metadata.row_group(group).num_rows


def saved_rows(path: Path, size: int, report: Report) -> PlacedRows:
    """Rows of a folder that ``save_to_disk`` made, and how many of its bytes are read by then.

    Raises:
        InputError: the folder has several splits and none is ``train``.
    """
    arrow, datasets = import_late("pyarrow"), import_late("datasets")
    try:
        data = datasets.load_from_disk(str(path))
        if isinstance(data, datasets.DatasetDict):
            data = _one_split(path, data)
        columns = _columns(str(path), data.column_names, report)
        if not columns:
            return
        batches = data.select_columns(columns).with_format("arrow").iter(batch_size=ROWS)
        for row in _rows(str(path), batches, report):
            yield row, size * row.number // len(data)
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        report("broken table", f"{path}: broken data set ({_line(error)}); save it again")


def hub_rows(name: str, config: str, revision: str | None, report: Report) -> PlacedRows:
    """Rows of a data set's split ``train``, and how many bytes their texts have together.

    Raises:
        InputError: the data set cannot be reached or read.
    """
    arrow, datasets = import_late("pyarrow"), import_late("datasets")
    where, read = f"{name}:{config}", 0
    try:
        data = datasets.load_dataset(name, config, split=SPLIT, streaming=True, revision=revision)
        for row in _rows(where, data.with_format("arrow").iter(batch_size=ROWS), report):
            read += len(row.text.encode())
            yield row, read
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


def _rows(where: str, batches: Iterator[Any], report: Report, start: int = 0) -> Rows:
    """The rows with a string in the column ``text``, numbered from ``start`` on."""
    number = start
    for batch in batches:
        columns = {name: batch.column(name) for name in _columns(where, batch.schema.names, report)}
        for at in range(batch.num_rows if columns else 0):
            number += 1
            row = _row(
                where, number, {name: column[at] for name, column in columns.items()}, report
            )
            if row is not None:
                yield row


def _row(where: str, number: int, values: dict[str, Any], report: Report) -> Row | None:
    place = f"{where}: row {number}"
    try:
        fields = {name: value.as_py() for name, value in values.items()}
    except UnicodeDecodeError as error:
        report("not UTF-8", f"{place}: not UTF-8 ({error.reason})")
        return None
    text = fields[TEXT]
    if text is None:
        return None
    if not isinstance(text, str):
        kind = type(text).__name__
        report("no text field", f"{place}: column {TEXT!r} holds {kind}, not strings")
        return None
    if len(text) > LONGEST_LINE:
        report("line too long", f"{place}: more than {LONGEST_LINE:,} characters")
        return None
    return row_of(place, number, text, fields, report)


def _columns(where: str, found: list[str], report: Report) -> list[str]:
    """Those of the columns that are wanted; none, and a report, where there is no text."""
    if TEXT in found:
        return [name for name in WANTED if name in found]
    report(
        "no text field",
        f"{where}: no column {TEXT!r}; found {', '.join(map(repr, found))}; "
        f"rename the one with the text to {TEXT!r}",
    )
    return []


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
