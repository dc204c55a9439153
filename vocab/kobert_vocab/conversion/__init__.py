"""Any SentencePiece model as a fast tokenizer with the same ids."""

from kobert_vocab.conversion.convert import convert

__all__ = ["convert"]
