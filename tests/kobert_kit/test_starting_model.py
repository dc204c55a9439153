"""Runs that go on from another model: its weights, its vocabulary, or one that extends it."""

import dataclasses
import json
import logging
import shutil
import tomllib

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from kobert_kit.batches.options import DataConfig
from kobert_kit.corpus.build import build_corpus
from kobert_kit.demo import SAMPLE
from kobert_kit.encoder import PretrainingModel
from kobert_kit.pretraining.config import ModelConfig
from kobert_kit.pretraining.run import pretrain
from kobert_kit.pretraining.starting_model import starting_model
from kobert_vocab.errors import InputError
from kobert_vocab.extension.extend import extend
from kobert_vocab.extension.new_embeddings import new_embeddings
from kobert_vocab.tokenizer_vocabulary import open_vocabulary

NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TEXTS = [SAMPLE / "ko" / "reviews.txt", SAMPLE / "languages" / "en.txt"]


def write_tokenizer(folder):
    """A WordPiece tokenizer as that of KLUE-BERT."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=2_000, special_tokens=NAMES, show_progress=False)
    tokenizer.train(list(map(str, TEXTS)), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings | dict(zip(roles, NAMES, strict=True)))
    )
    return tokenizer.get_vocab_size()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a BERT with both heads."""
    folder = tmp_path_factory.mktemp("base") / "klue-like"
    folder.mkdir()
    size = write_tokenizer(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=size, **SHAPE)
    transformers.BertForPreTraining(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base_corpus(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus") / "c"
    build_corpus([f"ko={TEXTS[0]}", f"en={TEXTS[1]}"], vocab=base, out=out, held_out=0.1)
    return out


def test_a_plan_is_of_the_model_that_a_run_goes_on_from(kobert, base, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(f"from = {json.dumps(str(base))}\nsteps = 9\n[data]\nlength = 40\n")
    theirs = json.loads((base / "config.json").read_text())
    sizes = {"hidden-size": 32, "layers": 2, "heads": 2, "intermediate-size": 64}
    flags = [part for name, size in sizes.items() for part in (f"--model.{name}", size)]
    same = ["--model.max-positions", 48, "--vocab-size", theirs["vocab_size"], *flags]
    dropout = ["--model.hidden-dropout", 0, "--model.attention-dropout", 0]
    code, planned, err = kobert("plan", "--config", path)
    assert code == 0, err
    _, expected, _ = kobert("plan", "--steps", 9, "--data.length", 40, *same, *dropout)
    assert planned == expected
    assert "leave them out" in kobert("plan", "--config", path, "--model.layers", 3)[2]


@pytest.fixture
def config(run_settings, base, base_corpus, tmp_path):
    return dataclasses.replace(
        run_settings,
        vocab=base,
        corpus=base_corpus,
        from_=str(base),
        model=ModelConfig(),
        data=DataConfig(length=40, windows=4, pairing="none"),
        out=tmp_path / "run",
        steps=6,
    )


def start(config):
    return starting_model(config, open_vocabulary(config.vocab))


def test_a_run_begins_with_the_weights_of_the_other_model(config, base):
    given = PretrainingModel.from_pretrained(base).state_dict()
    own = start(config).state_dict()
    assert own.keys() == given.keys() - {n for n in given if "next_sentence" in n or "pooler" in n}
    for name, tensor in own.items():
        assert torch.equal(tensor, given[name]), name


def test_the_whole_way_from_a_wordpiece_model_and_back_to_transformers(config, base):
    pretrain(config)
    folder = config.out / "model"
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    assert type(model).__name__ == "BertForMaskedLM"
    text = "영화가 정말 재미있다."
    ids = transformers.AutoTokenizer.from_pretrained(folder)(text).input_ids
    assert ids == transformers.AutoTokenizer.from_pretrained(base)(text).input_ids
    before = load_file(base / "model.safetensors")
    after = load_file(folder / "model.safetensors")
    moved = (before[k] - after[k] for k in after)
    assert 0 < max(float(change.abs().max()) for change in moved) < 0.1
    card = (folder / "README.md").read_text()
    assert "trained further from another model" in card
    assert "`BertForMaskedLM`" in card
    assert str(base) not in card


def test_it_goes_on_bit_for_bit_by_the_file_it_leaves(config, tmp_path, kobert):
    whole = dataclasses.replace(config, out=tmp_path / "whole")
    pretrain(whole)
    pretrain(config, stop_after=3)
    left = config.out / "config.toml"
    table = tomllib.loads(left.read_text())
    assert table["from"] == config.from_
    assert "model" not in table
    code, _, error = kobert("pretrain", "--config", left, "--resume")
    assert code == 0, error
    weights = [load_file(run / "model" / "model.safetensors") for run in (whole.out, config.out)]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_a_run_that_goes_back_to_its_beginning_has_the_other_models_weights(
    config, base, monkeypatch
):
    from kobert_kit.pretraining import run as module

    train, steps = module.train_step, []

    def once_bad(run, ahead, *, stop):
        steps.append(run.progress.step)
        if steps == [0, 1]:
            return train(run, ahead, stop=stop) | {"bad": "by the test"}
        if steps == [0, 1, 0]:
            own, given = run.trained.model.state_dict(), start(config).state_dict()
            assert all(torch.equal(tensor, own[name]) for name, tensor in given.items())
        return train(run, ahead, stop=stop)

    monkeypatch.setattr(module, "train_step", once_bad)
    pretrain(dataclasses.replace(config, bad_step="roll_back", steps=3))
    assert steps == [0, 1, 0, 1, 2]


def test_heads_that_are_not_there_begin_anew(config, base, tmp_path, caplog):
    bare = tmp_path / "bare"
    transformers.BertModel.from_pretrained(base).save_pretrained(bare)
    paired = DataConfig(length=40, windows=4)
    with caplog.at_level(logging.WARNING):
        model = start(dataclasses.replace(config, from_=str(bare), data=paired))
    assert "has no masked_language, masked_language.dense" in caplog.text
    assert model.masked_language.bias.abs().max() == 0
    assert 0 < model.masked_language.dense.weight.abs().max() <= 0.04
    given = PretrainingModel.from_pretrained(base).state_dict()
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, given[f"encoder.{name}"]), name
    assert torch.equal(
        start(dataclasses.replace(config, from_=str(bare))).masked_language.dense.weight,
        start(dataclasses.replace(config, from_=str(bare))).masked_language.dense.weight,
    )


def of(kind, size, folder, **settings):
    config = getattr(transformers, f"{kind}Config")(
        **SHAPE | {"vocab_size": size, "pad_token_id": 0} | settings
    )
    torch.manual_seed(0)
    getattr(transformers, f"{kind}ForMaskedLM")(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["Roberta", "Electra", "ModernBert"])
def test_other_architectures_train_on_and_stay_what_they_are(config, base, tmp_path, kind):
    size = PretrainingModel.from_pretrained(base).config.vocab_size
    more = {
        "Roberta": {"max_position_embeddings": 49, "type_vocab_size": 1},
        "Electra": {"embedding_size": 16},
        "ModernBert": {"local_attention": 8},
    }
    other = of(kind, size, tmp_path / "other", **more[kind])
    evaluation = pretrain(dataclasses.replace(config, from_=str(other), steps=3))
    assert 0 < evaluation.loss < 20
    model = transformers.AutoModelForMaskedLM.from_pretrained(config.out / "model")
    assert type(model).__name__ == f"{kind}ForMaskedLM"
    paired = DataConfig(length=40, windows=4)
    with pytest.raises(InputError, match=r"has no next-sentence head; set data\.pairing to 'none'"):
        start(dataclasses.replace(config, from_=str(other), data=paired))


@pytest.fixture(scope="module")
def extended(base, vocab_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("extended") / "v"
    extend(base, [vocab_folder], out, add=400)
    return out


def test_new_pieces_begin_at_the_mean_of_the_old_ones(config, base, extended):
    model = start(dataclasses.replace(config, vocab=extended))
    old = PretrainingModel.from_pretrained(base)
    size = old.config.vocab_size
    assert model.config.vocab_size == size + 400
    given = old.encoder.embeddings.words.weight
    words = model.encoder.embeddings.words.weight
    assert torch.equal(words[:size], given)
    assert torch.equal(model.masked_language.bias[:size], old.masked_language.bias)
    with torch.no_grad():
        np.testing.assert_array_equal(words, new_embeddings(extended, given.numpy()))
        bias = new_embeddings(extended, old.masked_language.bias.numpy())
        np.testing.assert_array_equal(model.masked_language.bias, bias)
    assert len({*map(tuple, words[size:].tolist())}) > 5  # not all at one mean


def test_a_run_with_an_extended_vocabulary(config, extended, tmp_path):
    corpus = tmp_path / "c"
    build_corpus([f"ko={TEXTS[0]}"], vocab=extended, out=corpus, held_out=0.1)
    pretrain(dataclasses.replace(config, vocab=extended, corpus=corpus, steps=2))
    folder = config.out / "model"
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    assert model.config.vocab_size == len(transformers.AutoTokenizer.from_pretrained(folder))
    assert model.config.vocab_size == len(open_vocabulary(extended))


def test_a_vocabulary_that_is_not_the_models_own(config, base, vocab_folder, tmp_path):
    with pytest.raises(InputError, match="4000 pieces, the model of --from has"):
        start(dataclasses.replace(config, vocab=vocab_folder))
    other = tmp_path / "other"
    other.mkdir()
    raw = json.loads((base / "tokenizer.json").read_text())
    vocab = raw["model"]["vocab"]
    first, second = [piece for piece, i in vocab.items() if i in (700, 701)]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    (other / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(
        InputError, match=r"piece 700 is .*, in the model of --from .*; take its own"
    ):
        start(dataclasses.replace(config, vocab=other))


def test_a_tokenizer_with_a_gap_among_its_ids_is_the_models_own(config, base, tmp_path):
    gapped = tmp_path / "gapped"
    shutil.copytree(base, gapped)
    raw = json.loads((base / "tokenizer.json").read_text())
    vocab = raw["model"]["vocab"]
    del vocab[next(piece for piece, i in vocab.items() if i == 700)]
    (gapped / "tokenizer.json").write_text(json.dumps(raw))
    start(dataclasses.replace(config, from_=str(gapped), vocab=gapped))


def test_padding_must_be_the_same_piece(config, base, tmp_path):
    size = PretrainingModel.from_pretrained(base).config.vocab_size
    other = of("Bert", size, tmp_path / "other", pad_token_id=1)
    with pytest.raises(InputError, match="padding is piece 0, in the model of --from 1"):
        start(dataclasses.replace(config, from_=str(other)))


def test_a_sequence_longer_than_the_model_takes(config):
    longer = dataclasses.replace(config, data=DataConfig(length=80, windows=4, pairing="none"))
    with pytest.raises(InputError, match=r"data\.length is 80; the model has only"):
        start(longer)


def test_the_shape_is_not_given_twice(config):
    with pytest.raises(
        InputError, match=r"the settings of \[model\] come from the model of --from"
    ):
        dataclasses.replace(config, model=ModelConfig(layers=3))


def test_from_is_a_flag_and_a_key(config, kobert, tmp_path):
    (tmp_path / "run.toml").write_text(f'from = "{tmp_path / "nothing"}"\n')
    said = [
        kobert("pretrain", *given, "--vocab", config.vocab, "--corpus", config.corpus)
        for given in (
            ("--from", tmp_path / "nothing", "--out", tmp_path / "a", "--steps", 1),
            ("--config", tmp_path / "run.toml", "--out", tmp_path / "a", "--steps", 1),
        )
    ]
    for code, _, error in said:
        assert code == 2
        assert "nothing: no such folder" in error
