"""The encoder: padding-free BERT and ModernBERT that read and write Hugging Face folders."""

from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.electra_discriminator import ElectraDiscriminator
from kobert_kit.encoder.model import Encoder, PretrainingModel

__all__ = ["ElectraDiscriminator", "Encoder", "EncoderConfig", "PretrainingModel"]
