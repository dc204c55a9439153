"""`RobertaForMaskedLM`, `XLMRobertaForMaskedLM`, `CamembertForMaskedLM`: tensor names.

They are classic BERT but for positions, which count from ``pad_id + 1``, and the head's names.
"""

from kobert_kit.encoder.huggingface.bert import ENCODER, NOT_OURS
from kobert_kit.encoder.huggingface.tensor_names import TensorNames

ROBERTA = TensorNames(
    prefix="roberta.",
    encoder=ENCODER,
    heads={
        "masked_language.dense": "lm_head.dense",
        "masked_language.norm": "lm_head.layer_norm",
        "masked_language": "lm_head",
    },
    copies={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    not_ours=NOT_OURS,
)
