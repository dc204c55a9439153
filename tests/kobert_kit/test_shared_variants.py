"""Each way to share a run, with each thing that changes what is shared, against one process."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from kobert_kit.batches.options import DataConfig
from kobert_kit.pretraining.config import ModelConfig, PretrainConfig
from kobert_kit.pretraining.run import pretrain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SIZES = {"hidden_size": 32, "layers": 2, "heads": 2, "intermediate_size": 64, "max_positions": 48}
ALONE = {"pairing": "none", "length": 32, "windows": 8}
VARIANTS = {
    "bert": {"optimizer": {"kind": "bert", "average": 0.8}, "recompute": True},
    "muon": {"optimizer": {"kind": "muon"}},
    "modern": {
        "model": ModelConfig(family="modern", window=8, mlp_dropout=0.1, **SIZES),
        "data": DataConfig(**ALONE),
        "recompute": True,
    },
    "bf16": {"precision": "bf16"},
}
WAYS = ("ddp", "fsdp")
# Rounding of another order of additions; Muon's bf16 products carry it into the weights. Under FSDP
# a bf16 run also rounds what autocast would leave in fp32: norms, biases, the sums of embeddings.
LOSS = {("bf16", "fsdp"): 1e-4}
NORM = {("bf16", "fsdp"): 3e-3}
WEIGHTS = {"muon": 1e-3}


@pytest.fixture(scope="module")
def variants(vocab_folder, corpus_folder, tmp_path_factory, launch):
    """Runs by name and way, evaluated while they go on; and the folder of all."""
    folder = tmp_path_factory.mktemp("variants")
    base = PretrainConfig(
        vocab=vocab_folder,
        corpus=corpus_folder,
        out=folder,
        steps=4,
        micro_batches=4,
        loaders=0,
        evaluate_every=2,
        evaluate_sequences=2,
        model=ModelConfig(**SIZES),
        data=DataConfig(length=32, windows=8),
    )
    shared = []
    for name, changes in VARIANTS.items():
        # Larger than any gradient that is noise: Adam makes steps of one size out of all of them.
        rest = {"learning_rate": 3e-3, "warmup": 0.2, "eps": 1e-3}
        optimizer = dataclasses.replace(base.optimizer, **{**rest, **changes.get("optimizer", {})})
        run = dataclasses.replace(base, **{**changes, "optimizer": optimizer})
        pretrain(dataclasses.replace(run, out=folder / f"{name} alone"))
        shared += [
            dataclasses.replace(run, parallel=way, out=folder / f"{name} {way}") for way in WAYS
        ]
    launch(2, [(run, {}) for run in shared], folder)
    return folder


def rows_of(run, key):
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if key in row]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_learn_what_one_does(variants, name, way):
    ours, theirs = variants / f"{name} alone", variants / f"{name} {way}"
    pairs = list(zip(rows_of(ours, "masked_loss"), rows_of(theirs, "masked_loss"), strict=True))
    assert len(pairs) == 4
    for a, b in pairs:
        for key in ("masked_loss", "next_loss"):
            assert b[key] == pytest.approx(a[key], rel=LOSS.get((name, way), 1e-6))
        assert b["gradient_norm"] == pytest.approx(
            a["gradient_norm"], rel=NORM.get((name, way), 5e-5)
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", VARIANTS)
def test_and_see_the_same_when_they_look(variants, name, way):
    ours, theirs = variants / f"{name} alone", variants / f"{name} {way}"
    seen = [rows_of(run, "evaluation") for run in (ours, theirs)]
    assert [row["step"] for row in seen[0]] == [row["step"] for row in seen[1]] == [2, 4]
    for a, b in zip(*seen, strict=True):
        assert b["evaluation"]["loss"] == pytest.approx(
            a["evaluation"]["loss"], rel=LOSS.get((name, way), 1e-6)
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "bf16"])
def test_and_have_the_same_weights_and_states(variants, name, way):
    ours, theirs = (variants / f"{name} {of}/checkpoints/step-00000004" for of in ("alone", way))
    files = {path.name for path in ours.glob("*.safetensors")}
    assert files == {path.name for path in theirs.glob("*.safetensors")}
    for file in files:
        a, b = load_file(ours / file), load_file(theirs / file)
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=WEIGHTS.get(name, 5e-6))
