"""ModernBERT through the whole of pretraining."""

import dataclasses
import json
from shutil import copyfile

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from kobert_kit.batches.options import DataConfig
from kobert_kit.fill_mask import MaskFiller
from kobert_kit.pretraining.config import ModelConfig, OptimizerConfig, PretrainConfig
from kobert_kit.pretraining.run import pretrain
from kobert_kit.pretraining.verify_resume import verify_resume
from kobert_vocab.errors import InputError


@pytest.fixture
def modern(vocab_folder, corpus_folder, tmp_path):
    return PretrainConfig(
        vocab=vocab_folder,
        corpus=corpus_folder,
        out=tmp_path / "run",
        steps=12,
        evaluate_every=6,
        evaluate_sequences=3,
        model=ModelConfig(
            family="modern",
            hidden_size=32,
            layers=2,
            heads=2,
            intermediate_size=64,
            max_positions=48,
            mlp_dropout=0.1,
            window=8,
        ),
        data=DataConfig(length=40, windows=4, pairing="none"),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=0.2),
    )


def test_a_tokenizer_without_settings_is_vocabulary_enough(modern, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    copyfile(modern.vocab / "tokenizer.json", alone / "tokenizer.json")
    data = dataclasses.replace(modern.data, any_vocabulary=True)
    pretrain(dataclasses.replace(modern, vocab=alone, data=data))
    inputs = AutoTokenizer.from_pretrained(modern.out / "model")("오늘", return_tensors="pt")
    assert inputs.keys() == {"input_ids", "attention_mask"}


def test_modernbert_is_trained_by_the_same_loop(modern):
    evaluation = pretrain(modern)
    assert evaluation.next_accuracy is None
    lines = (modern.out / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "masked_loss" in row]
    assert {row["next_loss"] for row in rows} == {0}
    assert rows[-1]["masked_loss"] < rows[0]["masked_loss"]
    filler = MaskFiller(modern.out / "model")
    [fills] = filler.fill("오늘은 [MASK] 만났다.", top=3)
    theirs = AutoModelForMaskedLM.from_pretrained(modern.out / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(modern.out / "model")
    inputs = tokenizer("오늘은 [MASK] 만났다.", return_tensors="pt")
    assert inputs.keys() == {"input_ids", "attention_mask"}
    place = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
    with torch.no_grad():
        best = theirs(**inputs).logits[0, place].softmax(0).topk(3)
    assert [fill.piece for fill in fills] == tokenizer.convert_ids_to_tokens(best.indices)
    assert [fill.probability for fill in fills] == pytest.approx(best.values.tolist(), rel=1e-4)


def test_modernbert_goes_on_bit_for_bit(modern):
    assert verify_resume(modern).endswith("weights equal, bit for bit")


@pytest.mark.parametrize("pairing", ["next", "order"])
def test_modernbert_is_not_given_pairs(modern, pairing):
    data = dataclasses.replace(modern.data, pairing=pairing)
    with pytest.raises(InputError, match=f"pairing is '{pairing}'; model.family modern has no"):
        dataclasses.replace(modern, data=data)
