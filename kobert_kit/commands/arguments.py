"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Inputs = Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
Texts = Annotated[tuple[str, ...], arg(metavar="TEXT...")]
Folder = Annotated[Positional[Path], arg(metavar="DIR")]
