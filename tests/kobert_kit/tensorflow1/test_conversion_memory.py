import json
import tracemalloc

import numpy as np
import pytest

from kobert_kit.tensorflow1 import TensorBundle, to_huggingface, to_tf1, write_bundle

WIDE = {"hidden_size": 256, "intermediate_size": 1_024, "num_hidden_layers": 8}
MEGABYTE = 10**6


def peak_of(function, *arguments):
    """Bytes, at most, that were allocated beside those there before."""
    tracemalloc.start()
    function(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.fixture
def wide(tmp_path, written):
    config = written.BERT | WIDE
    folder = tmp_path / "wide"
    folder.mkdir()
    (folder / "bert_config.json").write_text(json.dumps(config))
    shapes = sorted((written.encoder(config) | written.heads(config)).items())
    values = ((name, np.ones(shape, np.float32)) for name, shape in shapes)
    write_bundle(folder / "bert_model.ckpt", values)
    return folder


def test_no_checkpoint_is_in_memory_twice(tmp_path, wide):
    size = (wide / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    assert size > 25 * MEGABYTE
    peak = peak_of(to_huggingface, wide, tmp_path / "m")
    assert size < peak < size + 4 * MEGABYTE  # the largest tensor has 1, before it is turned
    assert peak_of(to_tf1, tmp_path / "m", tmp_path / "back") < 6 * MEGABYTE


def test_reading_an_index_reads_no_tensor(wide):
    assert peak_of(TensorBundle.open, wide / "bert_model.ckpt") < MEGABYTE
