"""``kobert fill-mask`` without a text: line after line, each answered, with the model loaded once.

At a terminal there is a prompt with readline's history, which is kept in memory only. In a pipe a
line goes in and its answer comes out.
"""

import io
import sys
from contextlib import suppress

from kobert_kit.fill_mask import MaskFiller
from kobert_vocab.errors import InputError

PROMPT = "> "


def answer(filler: MaskFiller, text: str, top: int) -> str:
    """The ``top`` pieces for each mask of ``text`` with their shares, and the text filled.

    Raises:
        InputError: as `MaskFiller.fill`.
    """
    lines = []
    for number, fills in enumerate(filler.fill(text, top), 1):
        lines.append(f"[MASK] {number}")
        lines += [f"  {fill.probability:6.1%}  {fill.piece}" for fill in fills]
    return "\n".join([*lines, filler.filled(text)])


def ask(filler: MaskFiller, top: int) -> bool:
    """Answer what is typed until an empty line or the end, or what comes through a pipe.

    Returns:
        False if a line that came through a pipe could not be answered.
    """
    # What is not UTF-8 is to be an error of its line.
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    # A prompt would get into whatever reads the answers.
    if sys.stdin.isatty() and sys.stdout.isatty():
        _converse(filler, top)
        return True
    unanswered = 0
    for number, line in enumerate(sys.stdin, 1):
        unanswered += not _answered(filler, line.rstrip("\n"), top, where=f"line {number}: ")
    return not unanswered


def _converse(filler: MaskFiller, top: int) -> None:
    with suppress(ImportError):  # Python is built without it on some systems
        import readline  # noqa: F401  # `input` edits lines with it
    print("Type a text with [MASK]. An empty line or Ctrl-D leaves.")  # noqa: T201
    while True:
        try:
            line = input(PROMPT)
        except EOFError:
            print()  # noqa: T201
            return
        except KeyboardInterrupt:
            print()  # noqa: T201
            raise
        if not line.strip():
            return
        _answered(filler, line, top)


def _answered(filler: MaskFiller, line: str, top: int, where: str = "") -> bool:
    """Print the answer to a line, or what is wrong with it."""
    try:
        found = answer(filler, line, top)
    except InputError as error:
        print(f"kobert: {where}{error}", file=sys.stderr)  # noqa: T201
        return False
    print(found, flush=True)  # noqa: T201  # whoever writes into the pipe may wait for it
    return True
