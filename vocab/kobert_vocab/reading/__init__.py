"""Text in: what a person names as input, found and read as documents.

Nothing is held in memory but a few documents, whatever the size of a file or what is wrong with it.
"""

from kobert_vocab.reading.documents import (
    Document,
    read_all,
    read_documents,
    read_with_places,
    reading,
)
from kobert_vocab.reading.inputs import find_sources
from kobert_vocab.reading.problems import Problems
from kobert_vocab.reading.sources import Source

__all__ = [
    "Document",
    "Problems",
    "Source",
    "find_sources",
    "read_all",
    "read_documents",
    "read_with_places",
    "reading",
]
