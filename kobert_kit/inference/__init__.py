"""A model at work on texts: vectors, and how likely each word is where it stands."""

from kobert_kit.inference.masked_scores import MaskedScorer, MaskedScores
from kobert_kit.inference.text_encoder import TextEncoder

__all__ = ["MaskedScorer", "MaskedScores", "TextEncoder"]
