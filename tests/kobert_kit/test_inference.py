"""Vectors and scores of texts, beside those of `transformers`."""

import json
import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
)
from transformers import PreTrainedTokenizerFast as Fast

from kobert_kit.inference import MaskedScorer, TextEncoder, masked_scores
from kobert_kit.inference.masked_scores import pseudo_perplexity
from kobert_kit.inference.packs import Pack, Tokens, by_length
from kobert_vocab.errors import InputError

LETTERS = "가나다라마바사아자차카타파하"
SHAPE = {
    "vocab_size": 5 + len(LETTERS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 24,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
TEXTS = ["가", "나 다 라", "", "마바사 아 자차카타 파하", "가 나", "하 하 하 하 하 하 하 하"]


def write_tokenizer(folder):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    tokenizer = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(names[:5])
    Fast(tokenizer_object=tokenizer, pad_token="[PAD]", mask_token="[MASK]").save_pretrained(folder)


@pytest.fixture(params=["bert", "modern"])
def folder(request, tmp_path):
    torch.manual_seed(0)
    if request.param == "bert":
        BertModel(BertConfig(**SHAPE)).save_pretrained(tmp_path)
    else:
        ModernBertModel(ModernBertConfig(**SHAPE, local_attention=6)).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    return tmp_path


@torch.no_grad()
def theirs(folder, text, pooling):
    tokenizer = Fast.from_pretrained(folder)
    ids = tokenizer(text, truncation=True, max_length=24, return_tensors="pt").input_ids
    x = AutoModel.from_pretrained(folder).eval()(ids).last_hidden_state[0]
    return (x.mean(0) if pooling == "mean" else x[0]).numpy()


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_vectors_are_those_of_transformers_in_the_order_of_the_texts(folder, pooling):
    found = TextEncoder(folder, device="cpu").encode(TEXTS, pooling=pooling)
    assert found.shape == (len(TEXTS), 32)
    for text, vector in zip(TEXTS, found, strict=True):
        expected = theirs(folder, text, pooling)
        assert np.abs(vector - expected).max() / np.abs(expected).max() < 1e-5


def test_normalised_vectors_have_length_1(folder):
    encoder = TextEncoder(folder, device="cpu")
    plain, unit = encoder.encode(TEXTS), encoder.encode(TEXTS, normalise=True)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, plain / lengths, atol=1e-6)


def test_bf16_is_near(folder):
    plain = TextEncoder(folder, device="cpu").encode(TEXTS)
    half = TextEncoder(folder, device="cpu", bf16=True).encode(TEXTS)
    assert 0 < np.abs(half - plain).max() / np.abs(plain).max() < 0.05


def test_what_is_too_long_is_cut_off_and_said(folder, caplog):
    encoder = TextEncoder(folder, device="cpu")
    with caplog.at_level(logging.WARNING):
        [whole, cut] = encoder.encode([LETTERS, LETTERS * 3])
    assert caplog.messages == ["1 of 2 texts were cut off at 24 tokens"]
    expected = theirs(folder, LETTERS * 3, "mean")
    assert np.abs(cut - expected).max() / np.abs(expected).max() < 1e-5
    assert not np.allclose(whole, cut)


def test_no_text_gives_no_vector(folder):
    assert TextEncoder(folder, device="cpu").encode([]).shape == (0, 32)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_a_text_without_any_token_has_no_vector(folder, pooling):
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"post_processor": None}))
    with pytest.raises(InputError, match="the text '' has no token; leave it out"):
        TextEncoder(folder, device="cpu").encode(["가", ""], pooling=pooling)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"version": "1.0"}'])
def test_a_tokenizer_that_is_none(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"tokenizer\.json: not (JSON|a tokenizer)"):
        TextEncoder(folder)


def test_a_folder_without_a_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        TextEncoder(folder)


def test_a_tokenizer_that_does_not_fit_the_model(folder):
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["model"]["vocab"]["하"] = 5 + len(LETTERS)
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match="the tokenizer has the id 19, the model 19 words"):
        TextEncoder(folder)


@given(st.lists(st.integers(1, 40), max_size=50), st.integers(1, 60))
def test_groups_hold_every_sequence_once_and_no_more_than_fits(lengths, most):
    groups = list(by_length(lengths, most))
    assert sorted(n for group in groups for n in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[n] for n in group) <= most
    in_order = [lengths[n] for group in groups for n in group]
    assert in_order == sorted(lengths, reverse=True)


def test_a_pack_lays_sequences_end_to_end():
    pack = Pack.of([Tokens([7, 8, 9], [0, 0, 1]), Tokens([5], [0])], torch.device("cpu"))
    assert pack.tokens.tolist() == [7, 8, 9, 5]
    assert pack.positions.tolist() == [0, 1, 2, 0]
    assert pack.segments.tolist() == [0, 0, 1, 0]
    assert pack.cu_seqlens.tolist() == [0, 3, 4]
    assert pack.cu_seqlens.dtype == torch.int32
    assert pack.max_seqlen == 3


SCORED = ["가 나", "다", "라마바사 아자차카"]


@pytest.fixture
def masked(tmp_path):
    """`BertForMaskedLM` and the folder in which it is."""
    torch.manual_seed(0)
    theirs = BertForMaskedLM(BertConfig(**SHAPE)).eval()
    theirs.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    return theirs, tmp_path


@torch.no_grad()
def expected(theirs, letters):
    ids = torch.tensor([2, *(5 + LETTERS.index(letter) for letter in letters), 3])
    scores = []
    for place in range(1, len(ids) - 1):
        masked = ids.clone()
        masked[place] = 4
        logits = theirs(masked[None]).logits[0, place]
        scores.append(logits.log_softmax(0)[ids[place]].item())
    return scores


def test_each_token_is_scored_with_only_itself_masked(masked):
    theirs, folder = masked
    found = MaskedScorer(folder, device="cpu").score(SCORED)
    for text, scores in zip(SCORED, found, strict=True):
        letters = text.replace(" ", "")
        assert scores.pieces == list(letters)
        np.testing.assert_allclose(
            scores.log_probabilities, expected(theirs, letters), rtol=1e-4, atol=1e-5
        )


def test_logits_are_made_of_a_few_places_at_a_time(masked, monkeypatch):
    scorer = MaskedScorer(masked[1], device="cpu")
    whole = scorer.score(SCORED)
    monkeypatch.setattr(masked_scores, "LOGITS", 2 * SHAPE["vocab_size"])
    rows = []
    head = scorer._model.masked_language
    head.register_forward_hook(lambda module, given, logits: rows.append(len(logits)))
    for one, other in zip(scorer.score(SCORED), whole, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)
    assert max(rows) == 2


def test_no_text_gives_no_scores(masked):
    assert MaskedScorer(masked[1], device="cpu").score([]) == []


def test_perplexity_and_bits_are_means_of_the_same_scores(masked):
    theirs, folder = masked
    found = MaskedScorer(folder, device="cpu").score(SCORED)
    sums = [sum(expected(theirs, text.replace(" ", ""))) for text in SCORED]
    assert found[0].pseudo_perplexity == pytest.approx(math.exp(-sums[0] / 2), rel=1e-4)
    assert found[0].bits_per_character == pytest.approx(-sums[0] / math.log(2) / 3, rel=1e-4)
    assert pseudo_perplexity(found) == pytest.approx(math.exp(-sum(sums) / 11), rel=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "the text '' has no token"), (LETTERS * 2, "has 30 tokens; this model takes 24")],
)
def test_a_text_that_cannot_be_scored(masked, text, message):
    _, folder = masked
    with pytest.raises(InputError, match=message):
        MaskedScorer(folder, device="cpu").score(["가", text])
