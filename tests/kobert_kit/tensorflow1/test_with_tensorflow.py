"""TensorFlow reads what we write. Skipped without it: it is no dependency of ours."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from kobert_kit.tensorflow1 import to_huggingface, to_tf1, write_bundle

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs tensorflow")

# In a process of its own, since TensorFlow warns and its threads outlive the test.
READ = """
import json, sys
import tensorflow as tf
reader = tf.train.load_checkpoint(sys.argv[1])
listed = dict(tf.train.list_variables(sys.argv[1]))
values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
assert {name: list(value.shape) for name, value in values.items()} == listed
print(json.dumps({name: [str(v.dtype), v.tobytes().hex()] for name, v in values.items()}))
"""


def read_by_tensorflow(prefix):
    done = subprocess.run(
        [sys.executable, "-c", READ, str(prefix)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def plain(values):
    return {name: [str(v.dtype), v.tobytes().hex()] for name, v in values.items()}


def test_a_converted_checkpoint_has_the_same_values_in_tensorflow(tmp_path, bert, written):
    to_huggingface(bert, tmp_path / "m", case="cased")
    to_tf1(tmp_path / "m", tmp_path / "back")
    weights = {k: v for k, v in written.bert().items() if "adam" not in k and k != "global_step"}
    assert read_by_tensorflow(tmp_path / "back" / "bert_model.ckpt") == plain(weights)


def test_an_index_of_many_blocks_is_read_by_tensorflow(tmp_path):
    values = {
        f"a/variable/of/some/length/{n:05d}": np.full(3, n, np.float32) for n in range(20_000)
    }
    write_bundle(tmp_path / "x", values.items())
    assert (tmp_path / "x.index").stat().st_size > 262_144
    assert read_by_tensorflow(tmp_path / "x") == plain(values)
