"""Write ``bert/logits.npz``, what Google's own code computes: python write_logits.py FOLDER.

FOLDER is a checkout of google-research/bert; it was commit eedf571, the last, on TensorFlow 2.21.
That code is for TensorFlow 1: what TensorFlow no longer has, dense layers and the norm of contrib,
is given back to it here. The norm's 1e-12 is that of contrib.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import tensorflow.compat.v1 as tf

BERT = Path(__file__).parent / "bert"
LENGTHS = (22, 9)


def dense(inputs, units, activation=None, name=None, kernel_initializer=None):
    with tf.variable_scope(name, default_name="dense"):
        kernel = tf.get_variable("kernel", (inputs.shape[-1], units))
        out = tf.matmul(inputs, kernel) + tf.get_variable("bias", (units,))
        return out if activation is None else activation(out)


def layer_norm(inputs, begin_norm_axis, begin_params_axis, scope):
    assert (begin_norm_axis, begin_params_axis) == (-1, -1)
    with tf.variable_scope(scope, default_name="LayerNorm"):
        beta = tf.get_variable("beta", (inputs.shape[-1],))
        gamma = tf.get_variable("gamma", (inputs.shape[-1],))
        mean, variance = tf.nn.moments(inputs, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


class TensorFlow1(ModuleType):
    layers = SimpleNamespace(dense=dense)
    contrib = SimpleNamespace(layers=SimpleNamespace(layer_norm=layer_norm))

    def __getattr__(self, name):
        return getattr(tf, name)


def inputs():
    """Ids, segments and mask of two sequences, [2, 22]."""
    places = np.arange(max(LENGTHS))
    mask = np.stack([places < length for length in LENGTHS]).astype(np.int32)
    tokens = np.stack([(3 + places) % 40, (7 * places + 1) % 40]).astype(np.int32)
    segments = np.stack([places > 9, places > 4]).astype(np.int32)
    return {"tokens": tokens * mask, "segments": segments * mask, "mask": mask}


def main(google):
    sys.modules["tensorflow"] = TensorFlow1("tensorflow")
    sys.path.insert(0, google)
    import modeling
    import run_pretraining

    config = modeling.BertConfig.from_json_file(str(BERT / "bert_config.json"))
    batch = inputs()
    places = np.tile(np.arange(max(LENGTHS)), (len(LENGTHS), 1))
    with tf.Graph().as_default(), tf.Session() as session:
        model = modeling.BertModel(
            config=config,
            is_training=False,
            input_ids=tf.constant(batch["tokens"]),
            input_mask=tf.constant(batch["mask"]),
            token_type_ids=tf.constant(batch["segments"]),
        )
        *_, words = run_pretraining.get_masked_lm_output(
            config,
            model.get_sequence_output(),
            model.get_embedding_table(),
            tf.constant(places, tf.int32),
            tf.zeros(places.shape, tf.int32),
            tf.zeros(places.size),
        )
        *_, following = run_pretraining.get_next_sentence_output(
            config, model.get_pooled_output(), tf.zeros((len(LENGTHS), 1), tf.int32)
        )
        tf.train.Saver().restore(session, str(BERT / "bert_model.ckpt"))
        words, following = session.run((words, following))
    kept = words.reshape(*places.shape, -1)[batch["mask"] > 0]
    np.savez(BERT / "logits.npz", **batch, words=kept, following=following)


if __name__ == "__main__":
    main(sys.argv[1])
