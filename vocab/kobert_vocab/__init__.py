"""Korean-aware SentencePiece vocabularies that ``transformers`` loads with the same ids.

>>> from kobert_vocab import Vocabulary, train
>>> train(["ko=news.txt"], "vocabulary", size=8000)  # doctest: +SKIP
>>> Vocabulary.load("vocabulary").pieces("서울에서 만나요")  # doctest: +SKIP
['▁서울', '에서', '▁만나', '요']
"""

from kobert_vocab.errors import InputError
from kobert_vocab.reading import Document, Problems, Source, find_sources, read_all
from kobert_vocab.train import train
from kobert_vocab.verify import verify
from kobert_vocab.vocabulary import Vocabulary

__all__ = [
    "Document",
    "InputError",
    "Problems",
    "Source",
    "Vocabulary",
    "find_sources",
    "read_all",
    "train",
    "verify",
]
