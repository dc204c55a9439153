"""`ElectraForPreTraining` (the discriminator), `ElectraForMaskedLM`, `ElectraModel`: tensor names.

The encoder is classic BERT without a pooler; its embeddings may be narrower than its layers.
"""

from kobert_kit.encoder.huggingface.bert import ENCODER, NOT_OURS
from kobert_kit.encoder.huggingface.tensor_names import TensorNames

ELECTRA = TensorNames(
    prefix="electra.",
    encoder=ENCODER | {"encoder.embeddings.widen": "embeddings_project"},
    heads={
        "masked_language.dense": "generator_predictions.dense",
        "masked_language.norm": "generator_predictions.LayerNorm",
        "masked_language": "generator_lm_head",
        "discriminator.dense": "discriminator_predictions.dense",
        "discriminator.replaced": "discriminator_predictions.dense_prediction",
    },
    copies={"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"},
    not_ours=(*NOT_OURS, "sequence_summary."),
)
