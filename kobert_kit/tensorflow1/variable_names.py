"""The variables of Google's BERT and the tensors of `transformers`, side by side.

Shapes are those in TensorFlow: V ``vocab_size``, P ``max_position_embeddings``, S
``type_vocab_size``, H ``hidden_size``, I ``intermediate_size``. A ``kernel`` is [in, out] there and
[out, in] here, so it is transposed. Nothing else is: embeddings have a row per entry on both sides,
and ``output_weights`` a row per class.

Source: modeling.py and run_pretraining.py of google-research/bert.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kobert_kit.tensorflow1.bert_config import BertConfig

Side = Literal["tf1", "huggingface"]
Shape = tuple[int, ...]

_EMBEDDINGS = """
bert/embeddings/word_embeddings         V H  bert.embeddings.word_embeddings.weight
bert/embeddings/position_embeddings     P H  bert.embeddings.position_embeddings.weight
bert/embeddings/token_type_embeddings   S H  bert.embeddings.token_type_embeddings.weight
bert/embeddings/LayerNorm/gamma         H    bert.embeddings.LayerNorm.weight
bert/embeddings/LayerNorm/beta          H    bert.embeddings.LayerNorm.bias
"""
_LAYER_PREFIXES = "bert/encoder/layer_{}/", "bert.encoder.layer.{}."
_LAYER = """
attention/self/query/kernel             H H  attention.self.query.weight
attention/self/query/bias               H    attention.self.query.bias
attention/self/key/kernel               H H  attention.self.key.weight
attention/self/key/bias                 H    attention.self.key.bias
attention/self/value/kernel             H H  attention.self.value.weight
attention/self/value/bias               H    attention.self.value.bias
attention/output/dense/kernel           H H  attention.output.dense.weight
attention/output/dense/bias             H    attention.output.dense.bias
attention/output/LayerNorm/gamma        H    attention.output.LayerNorm.weight
attention/output/LayerNorm/beta         H    attention.output.LayerNorm.bias
intermediate/dense/kernel               H I  intermediate.dense.weight
intermediate/dense/bias                 I    intermediate.dense.bias
output/dense/kernel                     I H  output.dense.weight
output/dense/bias                       H    output.dense.bias
output/LayerNorm/gamma                  H    output.LayerNorm.weight
output/LayerNorm/beta                   H    output.LayerNorm.bias
"""
_POOLER = """
bert/pooler/dense/kernel                H H  bert.pooler.dense.weight
bert/pooler/dense/bias                  H    bert.pooler.dense.bias
"""
_MASKED_WORDS = """
cls/predictions/transform/dense/kernel     H H  cls.predictions.transform.dense.weight
cls/predictions/transform/dense/bias       H    cls.predictions.transform.dense.bias
cls/predictions/transform/LayerNorm/gamma  H    cls.predictions.transform.LayerNorm.weight
cls/predictions/transform/LayerNorm/beta   H    cls.predictions.transform.LayerNorm.bias
cls/predictions/output_bias                V    cls.predictions.bias
"""
_NEXT_SENTENCE = """
cls/seq_relationship/output_weights     2 H  cls.seq_relationship.weight
cls/seq_relationship/output_bias        2    cls.seq_relationship.bias
"""

ENCODER, POOLER = "encoder", "pooler"
MASKED_WORDS, NEXT_SENTENCE = "masked-word head", "next-sentence head"

# What training keeps beside the weights: optimization.py of google-research/bert names Adam's
# moments after their variable.
_OF_TRAINING = re.compile(r".*/adam_[mv]|global_step|AdamWeightDecayOptimizer.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One tensor of BERT under both of its names."""

    part: str
    tf1: str
    huggingface: str
    tf1_shape: Shape

    @property
    def transposed(self) -> bool:
        """Whether the two sides have rows and columns the other way round."""
        return self.tf1.endswith("/kernel")

    def name(self, side: Side) -> str:
        """What ``side`` calls it."""
        return self.tf1 if side == "tf1" else self.huggingface

    def shape(self, side: Side) -> Shape:
        """How ``side`` keeps it."""
        turned = self.transposed and side == "huggingface"
        return self.tf1_shape[::-1] if turned else self.tf1_shape


def encoder_variables(config: BertConfig) -> Iterator[Variable]:
    """What every BERT has, layer by layer."""
    yield from _rows(ENCODER, _EMBEDDINGS, config)
    for layer in range(config.num_hidden_layers):
        tf1, huggingface = (prefix.format(layer) for prefix in _LAYER_PREFIXES)
        yield from _rows(ENCODER, _LAYER, config, tf1, huggingface)


def head_variables(config: BertConfig) -> Iterator[Variable]:
    """What a BERT may lack, each part as a whole."""
    yield from _rows(POOLER, _POOLER, config)
    yield from _rows(MASKED_WORDS, _MASKED_WORDS, config)
    yield from _rows(NEXT_SENTENCE, _NEXT_SENTENCE, config)


def is_of_training(name: str) -> bool:
    """Whether a variable of TensorFlow is the optimiser's or the loop's, not the model's."""
    return _OF_TRAINING.fullmatch(name) is not None


def _rows(
    part: str, table: str, config: BertConfig, tf1_prefix: str = "", huggingface_prefix: str = ""
) -> Iterator[Variable]:
    lengths = {
        "V": config.vocab_size,
        "P": config.max_position_embeddings,
        "S": config.type_vocab_size,
        "H": config.hidden_size,
        "I": config.intermediate_size,
        "2": 2,
    }
    for line in table.split("\n")[1:-1]:
        tf1, *letters, huggingface = line.split()
        yield Variable(
            part=part,
            tf1=tf1_prefix + tf1,
            huggingface=huggingface_prefix + huggingface,
            tf1_shape=tuple(lengths[letter] for letter in letters),
        )
