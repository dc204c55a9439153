"""Our ModernBERT against that of `transformers`, on weights of their own making."""

import math
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForMaskedLM, ModernBertConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding

from kobert_kernels import dispatch
from kobert_kit.encoder import Encoder, EncoderConfig, PretrainingModel
from kobert_kit.encoder.huggingface.modernbert import MODERNBERT
from kobert_kit.encoder.rotary import RotaryTable
from kobert_vocab.errors import InputError

LENGTHS = [40, 1, 70, 5]  # two of them beyond the window
SHAPE = EncoderConfig(
    family="modern",
    vocab_size=101,
    hidden_size=64,
    layers=5,
    heads=4,
    intermediate_size=96,
    max_positions=80,
    window=16,
    global_rotary_base=160_000.0,
    init_std=0.1,
)
SHAPES = [
    SHAPE,
    replace(SHAPE, heads=2, global_every=2, window=32, local_rotary_base=500.0),
    replace(SHAPE, heads=1, global_every=1, activation="gelu_tanh"),
    replace(SHAPE, hidden_size=96, heads=1, global_every=4, window=6, layers=4),
]
ROUNDING = 1e-5  # of the largest value


def random_model(shape):
    """All weights at random, norms too; scores of deviation 1.6, so attention is far from even."""
    model = PretrainingModel(shape)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            spread = 0.16 if "qkv" in name else 0.1
            parameter.copy_(1 + 0.3 * drawn if "norm" in name else spread * drawn)
    return model.eval()


def packed(lengths=LENGTHS, seed=0):
    """Tokens, positions, segments, cu_seqlens, max_seqlen of random sequences."""
    tokens = torch.randint(
        1, SHAPE.vocab_size, (sum(lengths),), generator=torch.Generator().manual_seed(seed)
    )
    positions = torch.cat([torch.arange(n) for n in lengths])
    bounds = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32)
    return tokens, positions, torch.zeros_like(tokens), bounds, max(lengths)


def padded(values, fill, lengths=LENGTHS):
    """[T] as `transformers` wants it, [S, L]."""
    return torch.nn.utils.rnn.pad_sequence(
        list(values.split(lengths)), batch_first=True, padding_value=fill
    )


def theirs_of(model, folder):
    model.save_pretrained(folder)
    theirs, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return theirs.eval()


def run_theirs(theirs, tokens, **labels):
    return theirs(
        input_ids=padded(tokens, 0),
        attention_mask=padded(torch.ones_like(tokens), 0),
        **{name: padded(values, -100) for name, values in labels.items()},
    )


def real(values):
    """The rows of [S, L, n] that are not padding."""
    return torch.cat([row[:n] for row, n in zip(values, LENGTHS, strict=True)])


def assert_near(ours, theirs, name=""):
    difference = (ours - theirs).abs().max()
    assert difference <= ROUNDING * theirs.abs().max(), (name, difference, theirs.abs().max())


@pytest.mark.parametrize("shape", SHAPES)
def test_vectors_and_logits_equal_those_of_transformers(shape, tmp_path):
    model = random_model(shape)
    theirs = theirs_of(model, tmp_path)
    tokens, *rest = packed()
    with torch.no_grad():
        x = model.encoder(tokens, *rest)
        logits = model.masked_logits(x, torch.arange(len(tokens)))
        vectors = run_theirs(theirs.model, tokens).last_hidden_state
        expected = run_theirs(theirs, tokens).logits
    assert_near(x, real(vectors))
    assert_near(logits, real(expected))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_and_all_gradients_equal_those_of_transformers(shape, tmp_path):
    model = random_model(shape)
    theirs = theirs_of(model, tmp_path)
    tokens, *rest = packed()
    masked = torch.tensor([3, 11, 39, 40, 41, 77, 109, 113])
    labels = torch.full_like(tokens, -100)
    labels[masked] = torch.tensor([5, 6, 7, 8, 9, 0, 5, 100])
    loss, _ = model.masked_loss(model.encoder(tokens, *rest), masked, labels[masked])
    loss.backward()
    expected = run_theirs(theirs, tokens, labels=labels).loss
    expected.backward()
    assert_near(loss, expected)
    ours = MODERNBERT.renamed({name: p.grad for name, p in model.named_parameters()})
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert_near(ours[name], gradient, name)


def test_the_fused_kernels_give_what_pytorch_gives():
    model = random_model(replace(SHAPE, layers=2, hidden_size=32, heads=2, window=4)).train()
    tokens, *rest = packed([9, 1, 20])
    masked, labels, found = torch.tensor([2, 9, 25]), torch.tensor([5, 6, 7]), {}
    for implementation in ("torch", "triton"):
        ops = ("attention", "embedding", "layer_norm", "geglu", "bias_gelu")
        with dispatch.use(**dict.fromkeys(ops, implementation)):
            x = model.encoder(tokens, *rest, torch.tensor([3]))
            model.masked_loss(x, masked, labels)[0].backward()
        found[implementation] = {"x": x.detach()} | {n: p.grad for n, p in model.named_parameters()}
        model.zero_grad(set_to_none=True)
    for name, expected in found["torch"].items():
        assert_near(found["triton"][name], expected, name)


@pytest.mark.parametrize("training", [False, True])
def test_no_sequence_sees_another(training):
    model = random_model(replace(SHAPE, mlp_dropout=0.1)).train(training)
    tokens, *rest = packed()
    other = tokens.clone()
    other[40:111] = (other[40:111] + 7) % SHAPE.vocab_size  # the second and third sequences
    with torch.no_grad():
        a = model.encoder(tokens, *rest, torch.tensor([3]))
        b = model.encoder(other, *rest, torch.tensor([3]))
    assert torch.equal(a[:40], b[:40])
    assert torch.equal(a[111:], b[111:])
    assert not torch.equal(a[40], b[40])
    assert not torch.equal(a[41:111], b[41:111])


def test_a_layer_with_a_window_sees_half_of_it_on_each_side():
    shape = replace(SHAPE, layers=2)
    layer = random_model(shape).encoder.layers[1]
    x = torch.randn(40, shape.hidden_size, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[20] = -changed[20]
    table = RotaryTable(40, shape.head_size, 10_000.0)()
    bounds, seeds = torch.tensor([0, 40], dtype=torch.int32), torch.zeros(3, dtype=torch.int64)
    with torch.no_grad():
        a, b = (layer(y, torch.zeros_like(x), bounds, 40, table, seeds)[0] for y in (x, changed))
    moved = (a != b).any(1).nonzero().flatten().tolist()
    assert moved == list(range(20 - 8, 20 + 8 + 1))


@pytest.mark.parametrize(("base", "head_size"), [(160_000.0, 64), (10_000.0, 96)])
def test_the_angles_are_those_of_transformers_bit_for_bit(base, head_size):
    kind = {"rope_type": "default", "rope_theta": base}
    config = ModernBertConfig(
        hidden_size=head_size,
        num_attention_heads=1,
        num_hidden_layers=2,
        rope_parameters={"full_attention": kind, "sliding_attention": kind},
    )
    places = torch.arange(config.max_position_embeddings)[None]
    theirs = ModernBertRotaryEmbedding(config)(torch.zeros(1), places, "full_attention")
    ours = RotaryTable(config.max_position_embeddings, head_size, base)()
    for table, expected in zip(ours, theirs, strict=True):
        assert torch.equal(table, expected[0, :, : head_size // 2])


def test_the_angles_stay_in_fp32_and_out_of_the_weights():
    encoder = Encoder(SHAPE)
    before = encoder.global_rotary()
    encoder.bfloat16()
    assert encoder.layers[0].qkv.weight.dtype == torch.bfloat16
    for table, expected in zip(encoder.global_rotary(), before, strict=True):
        assert torch.equal(table, expected)
    assert not [name for name in encoder.state_dict() if "rotary" in name]
    assert encoder.to("meta").local_rotary()[0].is_meta


def test_it_starts_as_that_of_transformers_does():
    shape = EncoderConfig(
        family="modern",
        vocab_size=3000,
        hidden_size=192,
        heads=3,
        layers=4,
        intermediate_size=256,
    )
    model = PretrainingModel(shape)
    model.initialise(torch.Generator().manual_seed(0))
    cut = 0.8796  # deviation of a normal cut at two deviations
    for name, parameter in model.named_parameters():
        narrow = name.endswith(("_out.weight", "dense.weight"))
        std = 0.02 / math.sqrt(2 * shape.layers) if narrow else 0.02
        if "norm" in name or name.endswith("bias"):
            assert (parameter == ("norm" in name)).all(), name
        else:
            assert parameter.abs().max() <= 2 * std, name
            assert parameter.std().item() == pytest.approx(cut * std, rel=0.02), name


@pytest.mark.parametrize("name", ["attention_dropout", "hidden_dropout", "mlp_dropout"])
def test_each_dropout_drops_by_the_seed_in_training_alone(name):
    rates = dict.fromkeys(("attention_dropout", "hidden_dropout", "mlp_dropout"), 0.0)
    model = random_model(replace(SHAPE, **rates | {name: 0.3}))
    tokens, *rest = packed()

    def run(seed):
        with torch.no_grad():
            return model.encoder(tokens, *rest, torch.tensor([seed]))

    assert torch.equal(run(1), run(2))
    model.train()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_the_feed_forward_layer_drops_a_share_and_keeps_the_mean():
    layer = random_model(replace(SHAPE, mlp_dropout=0.25)).train().encoder.layers[1]
    dropped = layer._dropped(torch.ones(4000, 96), torch.tensor([1]))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert dropped.max().item() == pytest.approx(1 / 0.75)


def test_there_is_no_next_sentence():
    model = random_model(SHAPE)
    tokens, *rest = packed()
    x = model.encoder(tokens, *rest)
    assert model.next_sentence_logits(x, rest[2]) is None
    with pytest.raises(ValueError, match="no pooler"):
        model.encoder.pooled(x, rest[2])
    assert not [name for name in model.state_dict() if "pooler" in name or "next" in name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "bert", "model_type": ""}, "window is 16; family bert has no such thing"),
        ({"segments": 3}, "segments is 3; family modern"),
        ({"family": "old"}, "family is 'old'; it must be one of bert, modern"),
        ({"window": 1}, "window is 1; it must be at least 2"),
        ({"global_every": 0}, "global_every is 0"),
        ({"local_rotary_base": 1.0}, "must be above 1"),
        ({"mlp_dropout": 1.0}, "mlp_dropout is 1.0"),
    ],
)
def test_shapes_that_cannot_be(changes, message):
    given = {**vars(SHAPE), "global_rotary_base": 10_000.0} | changes
    with pytest.raises(InputError, match=message):
        EncoderConfig(**given)


def test_each_family_has_its_own_eps():
    assert EncoderConfig(vocab_size=9).norm_eps == 1e-12
    assert EncoderConfig(vocab_size=9, family="modern").norm_eps == 1e-5
