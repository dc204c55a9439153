"""Write the checkpoints in this folder, with TensorFlow itself: python write_checkpoints.py.

They were written with TensorFlow 2.21. Names and shapes are stated here once more, after Google's
code and not after ours, and every value is a function of its name and place, without rounding.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

BERT = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 40,
}
SMALL = BERT | {
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 8,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
}
STEPS = 1_234
_PIECES = (
    "[PAD] [unused1] [UNK] [CLS] [SEP] [MASK] . , ! a b c A B E e s ##s ##a ##b ##c é ##é 나 ##는 "
    "학 ##교 ##에 간 ##다 ᄂ ##ᅡ ᄒ ##ᅡᆨ ##ᄀ 學 校 ##1 2 ##2"
)
PIECES = _PIECES.split()


def encoder(config):
    hidden, inside = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "bert/embeddings/word_embeddings": (config["vocab_size"], hidden),
        "bert/embeddings/position_embeddings": (config["max_position_embeddings"], hidden),
        "bert/embeddings/token_type_embeddings": (config["type_vocab_size"], hidden),
    } | norm("bert/embeddings", hidden)
    for number in range(config["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            shapes |= dense(f"{layer}/attention/self/{part}", hidden, hidden)
        shapes |= dense(f"{layer}/attention/output/dense", hidden, hidden)
        shapes |= norm(f"{layer}/attention/output", hidden)
        shapes |= dense(f"{layer}/intermediate/dense", hidden, inside)
        shapes |= dense(f"{layer}/output/dense", inside, hidden)
        shapes |= norm(f"{layer}/output", hidden)
    return shapes


def heads(config):
    hidden = config["hidden_size"]
    return (
        dense("bert/pooler/dense", hidden, hidden)
        | dense("cls/predictions/transform/dense", hidden, hidden)
        | norm("cls/predictions/transform", hidden)
        | {"cls/predictions/output_bias": (config["vocab_size"],)}
        | {"cls/seq_relationship/output_weights": (2, hidden)}
        | {"cls/seq_relationship/output_bias": (2,)}
    )


def dense(name, inputs, outputs):
    return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}


def norm(name, hidden):
    return {f"{name}/LayerNorm/gamma": (hidden,), f"{name}/LayerNorm/beta": (hidden,)}


def value(name, shape):
    """Numbers from -1/4 to 1/4; about 1 for what a norm multiplies with."""
    places = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
    mixed = places * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (mixed >> np.uint64(48)).astype(np.float32) / np.float32(2**17) - np.float32(0.25)
    return values.reshape(shape) + np.float32(name.endswith("gamma"))


def bert():
    """What the folder ``bert`` holds: a model as training leaves it, with Adam's moments."""
    shapes = encoder(BERT) | heads(BERT)
    values = {name: value(name, shape) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        values |= {
            f"{name}/{slot}": value(f"{name}/{slot}", shape) for slot in ("adam_m", "adam_v")
        }
    return values | {"global_step": np.int64(STEPS)}


def small():
    """What the folder ``shards`` holds: an encoder without heads, in two data files."""
    return {name: value(name, shape) for name, shape in encoder(SMALL).items()}


def main():
    import tensorflow.compat.v1 as tf

    def save(folder, sharded=False):
        (HERE / folder).mkdir(exist_ok=True)
        session = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(sharded=sharded)
        prefix = str(HERE / folder / "bert_model.ckpt")
        saver.save(session, prefix, write_meta_graph=False, write_state=False)

    with tf.Graph().as_default():
        for name, array in bert().items():
            tf.get_variable(name, initializer=array, use_resource=False)
        save("bert")
    with tf.Graph().as_default():
        for number, (name, array) in enumerate(small().items()):
            with tf.device(f"/cpu:{number % 2}"):
                tf.get_variable(name, initializer=array, use_resource=False)
        save("shards", sharded=True)
    with tf.Graph().as_default():
        partitioner = tf.fixed_size_partitioner(2)
        tf.get_variable("bert/embeddings/word_embeddings", (40, 16), partitioner=partitioner)
        save("partitioned")
    for folder, config in (("bert", BERT), ("shards", SMALL), ("partitioned", SMALL)):
        (HERE / folder / "bert_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (HERE / "bert" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))


if __name__ == "__main__":
    main()
