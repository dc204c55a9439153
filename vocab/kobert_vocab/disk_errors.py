"""What the system says when a ``.safetensors`` file cannot be written."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def errors_of_the_disk(path: Path) -> Iterator[None]:
    """The library has an error of its own for a full disk, with the system's number in its words.

    Raises:
        OSError: ``path`` cannot be written.
    """
    from safetensors import SafetensorError  # a plain install lacks it

    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error
