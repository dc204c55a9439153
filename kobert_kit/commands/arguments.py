"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Inputs = Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
Texts = Annotated[tuple[str, ...], arg(metavar="TEXT...")]
Model = Annotated[Positional[str], arg(metavar="MODEL")]
"""A folder, or a name on the Hugging Face hub."""
Folder = Annotated[Positional[Path], arg(metavar="DIR")]
