"""Folders of `ModernBertForMaskedLM`, ours and those of `transformers`."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel

from kobert_kit.encoder import Encoder, EncoderConfig, PretrainingModel
from kobert_vocab.errors import InputError

SHAPE = EncoderConfig(
    family="modern",
    vocab_size=50,
    hidden_size=32,
    layers=5,
    heads=2,
    intermediate_size=40,
    max_positions=30,
    activation="gelu_tanh",
    hidden_dropout=0.1,
    attention_dropout=0.0,
    mlp_dropout=0.2,
    global_every=2,
    window=10,
    global_rotary_base=160_000.0,
    local_rotary_base=12_345.0,
    norm_eps=1e-6,
    init_std=0.05,
    pad_id=7,
)
NEW_KEYS = ("layer_types", "rope_parameters")
OLD_KEYS = ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")


@pytest.fixture
def model():
    model = PretrainingModel(SHAPE)
    generator = torch.Generator().manual_seed(0)
    model.initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path)
    return tmp_path


def assert_same(model, again):
    assert again.config == model.config
    given, found = model.state_dict(), again.state_dict()
    assert given.keys() == found.keys()
    for name, tensor in given.items():
        assert torch.equal(tensor, found[name]), name


def change(folder, new, without=()):
    path = folder / "config.json"
    raw = {k: v for k, v in json.loads(path.read_text()).items() if k not in without}
    path.write_text(json.dumps(raw | new))


def test_it_reads_back_what_it_wrote(model, folder):
    assert_same(model, PretrainingModel.from_pretrained(folder))


def test_transformers_means_the_same_by_each_setting(folder):
    config = ModernBertForMaskedLM.from_pretrained(folder).config
    assert config.layer_types == [
        f"{kind}_attention" for kind in ("full", "sliding", "full", "sliding", "full")
    ]
    assert config.rope_parameters["full_attention"]["rope_theta"] == 160_000
    assert config.rope_parameters["sliding_attention"]["rope_theta"] == 12_345
    assert config.sliding_window == 5
    assert config.hidden_activation == config.classifier_activation == "gelu_new"
    assert (config.norm_eps, config.pad_token_id, config.cls_token_id) == (1e-6, 7, None)
    assert (config.attention_dropout, config.mlp_dropout) == (0.0, 0.2)
    assert (config.intermediate_size, config.max_position_embeddings) == (40, 30)


def test_it_comes_back_through_transformers_bit_for_bit(model, folder, tmp_path):
    (tmp_path / "again").mkdir()
    ModernBertForMaskedLM.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert_same(model, PretrainingModel.from_pretrained(tmp_path / "again"))


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=40,
        max_position_embeddings=30,
        local_attention=6,
        pad_token_id=0,
        attention_dropout=0.2,
    )
    theirs = ModernBertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return theirs


def test_a_folder_of_transformers_goes_through_us_bit_for_bit(theirs, tmp_path):
    ours, again = tmp_path / "ours", tmp_path / "again"
    theirs.save_pretrained(tmp_path / "theirs")
    model = PretrainingModel.from_pretrained(tmp_path / "theirs")
    assert model.config.hidden_dropout == model.config.attention_dropout == 0.2
    assert (model.config.global_every, model.config.global_rotary_base) == (3, 160_000)
    ours.mkdir()
    model.save_pretrained(ours)
    ModernBertForMaskedLM.from_pretrained(ours).save_pretrained(again)
    given, found = (load_file(f / "model.safetensors") for f in (tmp_path / "theirs", again))
    assert given.keys() == found.keys()
    for name, tensor in given.items():
        assert torch.equal(tensor, found[name]), name


def test_a_bare_encoder_can_be_read(theirs, tmp_path):
    theirs.model.save_pretrained(tmp_path)
    tokens = torch.arange(1, 30)
    with torch.no_grad():
        x = Encoder.from_pretrained(tmp_path)(
            *(tokens, tokens - 1, tokens * 0, torch.tensor([0, 29], dtype=torch.int32), 29)
        )
        expected = ModernBertModel.from_pretrained(tmp_path).eval()(tokens[None])
    torch.testing.assert_close(x, expected.last_hidden_state[0], atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match=r"the weights lack decoder\.bias"):
        PretrainingModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("missing", [NEW_KEYS, OLD_KEYS])
def test_the_keys_of_old_and_new_versions_say_the_same(model, folder, missing):
    change(folder, {}, without=missing)
    assert_same(model, PretrainingModel.from_pretrained(folder))


def test_the_new_keys_hold_where_the_old_ones_differ(model, folder):
    change(folder, dict.fromkeys(OLD_KEYS, 3))
    assert_same(model, PretrainingModel.from_pretrained(folder))


def test_without_either_key_the_released_settings_hold(folder):
    change(folder, {}, without=NEW_KEYS + OLD_KEYS)
    config = PretrainingModel.from_pretrained(folder).config
    expected = ModernBertForMaskedLM.from_pretrained(folder).config.rope_parameters
    assert config.global_every == 3
    assert config.global_rotary_base == expected["full_attention"]["rope_theta"]
    assert config.local_rotary_base == expected["sliding_attention"]["rope_theta"]


def test_the_matrix_of_a_decoder_that_is_tied_is_not_needed(model, folder):
    weights = load_file(folder / "model.safetensors")
    tied = weights["model.embeddings.tok_embeddings.weight"].clone()
    save_file(weights | {"decoder.weight": tied}, folder / "model.safetensors")
    assert_same(model, PretrainingModel.from_pretrained(folder))


FULL, SLIDING = "full_attention", "sliding_attention"
SCALED = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10_000.0}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"hidden_activation": "silu"}, "hidden_activation is 'silu'; known are gelu"),
        ({"classifier_activation": "gelu"}, "another than hidden_activation"),
        ({"attention_bias": True}, "attention_bias is True; only False"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"norm_bias": True}, "norm_bias is True"),
        ({"classifier_bias": True}, "classifier_bias is True"),
        ({"decoder_bias": False}, "decoder_bias is False; only True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"embedding_dropout": 0.1}, "embedding_dropout is 0.1"),
        ({"rope_scaling": {"factor": 2}}, "rope_scaling is"),
        ({"rope_parameters": {FULL: SCALED}}, "rope_parameters of full_attention has .*yarn"),
        ({"layer_types": [SLIDING, FULL, FULL, FULL, FULL]}, "layer_types is"),
        ({"layer_types": [FULL] * 4}, "only 5 layers can be loaded"),
        ({"layer_types": None, "global_attn_every_n_layers": 0}, "global_every is 0"),
        ({"local_attention": "10"}, "window is '10'; it must be a whole number"),
        ({"rope_parameters": None, "local_rope_theta": None}, "wrong type"),
        ({"num_attention_heads": 5}, "5 heads cannot share"),
        ({"intermediate_size": 41}, r"mlp.Wi.weight is \(80, 32\), .*\(82, 32\)"),
        ({"vocab_size": 51}, "tok_embeddings.weight is"),
        ({"num_hidden_layers": 6, "layer_types": None}, "the weights lack model.layers.5"),
        ({"num_attention_heads": 32}, "a head size of 1; .* must be even"),
        ({"local_attention": 1 << 70}, "window is 1180591620717411303424; it must be"),
        ({"layer_types": None, "global_attn_every_n_layers": 1e999}, "global_every is inf"),
        ({"norm_eps": "1e-6"}, "wrong type"),
        (
            {"hidden_size": 1 << 16, "max_position_embeddings": 1 << 20},
            "max_positions is 1048576, with a head size of 32768; their product must be at most",
        ),
    ],
)
def test_a_folder_that_is_not_ours_to_load(folder, new, message):
    change(folder, new)
    with pytest.raises(InputError, match=message) as caught:
        PretrainingModel.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_missing_is_named(folder):
    change(folder, {}, without=("local_attention",))
    with pytest.raises(InputError, match=r"config.json: no key 'local_attention'"):
        PretrainingModel.from_pretrained(folder)
