"""What can be wrong with a checkpoint's bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kobert_vocab.errors import InputError


class Damaged(Exception):
    """Bytes that no writer of the format leaves behind."""


class Unsupported(Exception):
    """Bytes that are whole, and something that we do not read; the message says what to do."""


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Name the file in what its bytes are found to be.

    Raises:
        InputError: they are `Damaged` or `Unsupported`.
    """
    try:
        yield
    except Damaged as error:
        raise InputError(f"{path}: damaged ({error}); copy it again") from error
    except Unsupported as error:
        raise InputError(f"{path}: {error}") from error
