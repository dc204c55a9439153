"""The encoder: padding-free BERT that reads and writes Hugging Face folders."""

from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.model import Encoder, PretrainingModel

__all__ = ["Encoder", "EncoderConfig", "PretrainingModel"]
