"""Our encoder against `transformers`, on weights of their own making."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    BertForPreTraining,
)

from kobert_kit.encoder import EncoderConfig, PretrainingModel

LENGTHS = [17, 1, 32, 5]
SHAPE = EncoderConfig(
    vocab_size=101,
    hidden_size=64,
    layers=3,
    heads=4,
    intermediate_size=96,
    max_positions=40,
    norm_eps=1e-12,
    init_std=0.2,  # large, so that attention is far from uniform
)


def packed(lengths=LENGTHS, seed=0):
    """Tokens, positions, segments, cu_seqlens, max_seqlen of random sequences."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    positions = torch.cat([torch.arange(n) for n in lengths])
    cu_seqlens = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32)
    return (
        torch.randint(0, SHAPE.vocab_size, (total,), generator=generator),
        positions,
        (positions > 3).long(),
        cu_seqlens,
        max(lengths),
    )


def padded(lengths, tokens, segments):
    """The same as `transformers` wants it: [S, L] with a mask."""
    shape = (len(lengths), max(lengths))
    ids, types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, (t, s) in enumerate(zip(tokens.split(lengths), segments.split(lengths), strict=True)):
        ids[row, : len(t)], types[row, : len(t)], mask[row, : len(t)] = t, s, 1
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}


@pytest.fixture
def model():
    model = PretrainingModel(SHAPE)
    generator = torch.Generator().manual_seed(0)
    model.initialise(generator)
    with torch.no_grad():  # biases and norms too must not be at their trivial start
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path)
    return tmp_path


def test_transformers_loads_every_weight(folder):
    theirs, info = BertForPreTraining.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert theirs.config.num_hidden_layers == SHAPE.layers


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_logits_equal_those_of_transformers(tmp_path, model, activation):
    model = copy.deepcopy(model)
    shape = EncoderConfig(**{**vars(SHAPE), "activation": activation})
    ours = PretrainingModel(shape)
    ours.load_state_dict(model.state_dict())
    ours.eval().save_pretrained(tmp_path)
    theirs = AutoModelForPreTraining.from_pretrained(tmp_path).eval()
    tokens, positions, segments, cu_seqlens, longest = packed()
    with torch.no_grad():
        x = ours.encoder(tokens, positions, segments, cu_seqlens, longest)
        masked = ours.masked_logits(x, torch.arange(len(tokens)))
        following = ours.next_sentence_logits(x, cu_seqlens)
        expected = theirs(**padded(LENGTHS, tokens, segments))
    rows = [expected.prediction_logits[i, :n] for i, n in enumerate(LENGTHS)]
    torch.testing.assert_close(masked, torch.cat(rows), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(following, expected.seq_relationship_logits, atol=2e-5, rtol=2e-5)


def test_masked_lm_class_loads_too(folder, model):
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokens, positions, segments, cu_seqlens, longest = packed([9])
    with torch.no_grad():
        x = model.encoder(tokens, positions, segments, cu_seqlens, longest)
        logits = theirs(tokens[None], token_type_ids=segments[None]).logits[0]
        torch.testing.assert_close(
            model.masked_logits(x, torch.tensor([4])), logits[4:5], atol=2e-5, rtol=2e-5
        )


def test_from_pretrained_reads_back_the_same_bits(folder, model):
    again = PretrainingModel.from_pretrained(folder)
    assert again.config == SHAPE
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize("training", [False, True])
def test_no_sequence_sees_another(model, training):
    tokens, positions, segments, cu_seqlens, longest = packed()
    model.train(training)
    other = tokens.clone()
    other[17:50] = (other[17:50] + 7) % SHAPE.vocab_size  # the second and third sequences
    seed = torch.tensor([3])
    with torch.no_grad():
        a = model.encoder(tokens, positions, segments, cu_seqlens, longest, seed)
        b = model.encoder(other, positions, segments, cu_seqlens, longest, seed)
    assert torch.equal(a[:17], b[:17])
    assert torch.equal(a[50:], b[50:])
    assert not torch.equal(a[17:50], b[17:50])


def test_packing_changes_nothing_but_rounding(model):
    tokens, positions, segments, cu_seqlens, longest = packed()
    with torch.no_grad():
        together = model.encoder(tokens, positions, segments, cu_seqlens, longest)
        for row, length in enumerate(LENGTHS):
            begin = int(cu_seqlens[row])
            part = slice(begin, begin + length)
            alone = model.encoder(
                tokens[part],
                positions[part],
                segments[part],
                torch.tensor([0, length], dtype=torch.int32),
                length,
            )
            torch.testing.assert_close(together[part], alone, atol=1e-5, rtol=1e-5)


def test_the_same_seed_drops_the_same(model):
    tokens, positions, segments, cu_seqlens, longest = packed()
    model.train()

    def run(seed):
        with torch.no_grad():
            return model.encoder(
                tokens, positions, segments, cu_seqlens, longest, torch.tensor([seed])
            )

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_training_needs_a_seed(model):
    with pytest.raises(ValueError, match="seed"):
        model.train().encoder(*packed())


def test_the_start_is_a_cut_normal():
    model = PretrainingModel(EncoderConfig(vocab_size=500, hidden_size=128, layers=2, heads=2))
    model.initialise(torch.Generator().manual_seed(0))
    weight = model.encoder.layers[0].feed_forward_in.weight
    assert weight.abs().max() <= 0.04
    # The deviation of a normal cut at two deviations is 0.8796 of it.
    assert weight.std().item() == pytest.approx(0.02 * 0.8796, rel=0.01)
    assert model.encoder.layers[1].qkv.bias.abs().max() == 0
