"""Google's BERT checkpoints of TensorFlow 1, read and written without TensorFlow."""

from kobert_kit.tensorflow1.bert_config import BertConfig, Gelu
from kobert_kit.tensorflow1.conversion import Conversion, Row
from kobert_kit.tensorflow1.tensor_bundle import TensorBundle, write_bundle
from kobert_kit.tensorflow1.to_huggingface import to_huggingface
from kobert_kit.tensorflow1.to_tf1 import to_tf1
from kobert_kit.tensorflow1.word_pieces import Case

__all__ = [
    "BertConfig",
    "Case",
    "Conversion",
    "Gelu",
    "Row",
    "TensorBundle",
    "to_huggingface",
    "to_tf1",
    "write_bundle",
]
