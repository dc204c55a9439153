"""kobert-kit: from raw text to a Korean or multilingual BERT that `transformers` loads."""

__version__ = "0.1.0"
