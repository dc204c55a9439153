"""Documents of a ``.txt``: paragraphs per line, a blank line between documents."""

from collections.abc import Iterator

from kobert_vocab.reading.rows import Row, Rows

LONGEST_DOCUMENT = 1 << 20  # characters; a .txt without blank lines becomes documents of this size


def blank_separated(lines: Iterator[tuple[int, str]]) -> Rows:
    """A row for each run of lines that are not blank, numbered by its first line."""
    start, size = 1, 0
    held: list[str] = []
    for number, line in lines:
        blank = not line or line.isspace()
        if not blank:
            if not held:
                start = number
            held.append(line)
            size += len(line)
        if held and (blank or size >= LONGEST_DOCUMENT):
            yield Row(start, "\n".join(held))
            held, size = [], 0
    if held:
        yield Row(start, "\n".join(held))
