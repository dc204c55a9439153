"""What a person names as input, found: files, folders, data sets of the hub."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kobert_vocab.errors import InputError
from kobert_vocab.languages import (
    UNKNOWN,
    find_language,
    guess_language,
    language_named,
    language_of_file,
)
from kobert_vocab.reading.csv_rows import DELIMITERS, has_text_column
from kobert_vocab.reading.documents import read_documents
from kobert_vocab.reading.packages import import_late
from kobert_vocab.reading.packing import kind_of
from kobert_vocab.reading.problems import Problems
from kobert_vocab.reading.sources import (
    SAVED_SPLITS,
    SUFFIXES,
    SUFFIXES_IN_WORDS,
    Source,
    is_saved_data_set,
)
from kobert_vocab.reading.tables import hub_revision

_NAME = r"[A-Za-z0-9_][\w.-]*"
OWNER_AND_NAME = re.compile(f"{_NAME}/{_NAME}", re.ASCII)
HUB_DATA_SET = re.compile(f"((?:{_NAME}/)?{_NAME}):({_NAME})", re.ASCII)
SHORT_NAMES = {"wikipedia": "wikimedia/wikipedia"}  # the hub's own short name leads to a script
HUB_ADVICE = (
    "a data set of the Hugging Face hub is named OWNER/NAME:CONFIG, such as "
    "wikimedia/wikipedia:20231101.ko (CONFIG is default where it has only one)"
)
# Of a folder only these: .xml may be anything.
DUMP = "*-pages-articles*.xml*"
PACKAGES = {".parquet": "pyarrow", ".xml": "mwparserfromhell", ".wet": "warcio"}


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """What ``inputs`` name, each with its language, sorted within a folder.

    An input is a file, a folder or a data set of the Hugging Face hub (``OWNER/NAME:CONFIG``), with
    an optional language tag: ``ko=news.jsonl.gz``. Without a tag the language is the code that the
    file's name, a folder's name or the config is, else a guess from the text itself, which a
    row's own language goes before. Faults in the text are left to whoever reads it.

    Raises:
        InputError: a path does not exist, a folder holds no text, a tag or suffix is not known, the
            hub has no such data set, or a package to read it with is missing.
    """
    sources: list[Source] = []
    for given in inputs:
        tag, name = _split_tag(str(given))
        named = HUB_DATA_SET.fullmatch(name)
        if named and not Path(name).exists():
            sources.append(_hub_source(tag, named[1], named[2]))
        else:
            sources.extend(_sources_on_disk(tag, Path(name)))
    if not sources:
        raise InputError("no input given; name at least one file or folder")
    return sources


def _split_tag(given: str) -> tuple[str | None, str]:
    tag, equals, rest = given.partition("=")
    if not equals or Path(given).exists() or "/" in tag:
        return None, given
    return language_named(tag), rest


def _hub_source(tag: str | None, name: str, config: str) -> Source:
    name = SHORT_NAMES.get(name, name)
    language = tag or _language_of_config(config)
    source = Source(
        path=Path(name), language=language or UNKNOWN, config=config, revision=hub_revision(name)
    )
    return source if language else _guessed(source)


def _language_of_config(config: str) -> str | None:
    """The language that a config, or a part of it between dots, is a code of.

    >>> _language_of_config("20231101.ko"), _language_of_config("kor_Hang")
    ('ko', 'ko')
    """
    codes = (find_language(part) for part in reversed(config.split(".")))
    return next((code for code in codes if code), None)


def _sources_on_disk(tag: str | None, path: Path) -> list[Source]:
    if not path.exists():
        name = SHORT_NAMES.get(path.as_posix(), path.as_posix())
        may_be_hub = OWNER_AND_NAME.fullmatch(name) and not name.endswith(SUFFIXES)
        advice = f"; {HUB_ADVICE}" if may_be_hub else ""
        raise InputError(f"{path}: no such file or folder{advice}")
    sources = []
    for place in _places(path):
        package = "datasets" if is_saved_data_set(place) else PACKAGES.get(kind_of(place.name))
        if package is not None:
            import_late(package)
        language = tag or language_of_file(place, path)
        source = Source(path=place, language=language or UNKNOWN)
        sources.append(source if language else _guessed(source))
    return sources


def _places(path: Path) -> list[Path]:
    if is_saved_data_set(path):
        return [path]
    if path.is_dir():
        places = sorted(p for p in path.rglob("*") if _is_readable(p))
        if not places:
            raise InputError(f"{path}: no text in this folder; looked for {SUFFIXES_IN_WORDS}")
        return places
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: not a kind of file I can read; I read {SUFFIXES_IN_WORDS}")
    return [path]


def _is_readable(path: Path) -> bool:
    if path.is_dir():
        # The splits of a data set are folders in its folder, and read with that.
        return is_saved_data_set(path) and not (path.parent / SAVED_SPLITS).is_file()
    if not (path.name.endswith(SUFFIXES) and path.is_file()):
        return False
    kind = kind_of(path.name)
    if kind == ".xml":
        return fnmatch.fnmatchcase(path.name, DUMP)
    return kind not in DELIMITERS or has_text_column(path, DELIMITERS[kind])  # not an index


def _guessed(source: Source) -> Source:
    source = replace(source, guessed=True)
    if kind_of(source.path.name) == ".wet":
        return source  # of the whole web: each record says its own, or is guessed
    # Faults are for whoever reads the text, to refuse or to count.
    for document in read_documents(source, Problems()):
        return replace(source, language=guess_language(document.text))
    return source
