"""What cannot be computed exactly is refused in one line, never computed otherwise."""

import pytest
import torch
from transformers import AutoConfig, AutoModel, DynamicCache

from kobert_kit.drop_in import use_kobert_kernels
from kobert_kit.drop_in.attention import NAME, kobert_attention
from kobert_kit.drop_in.layout import layout_of
from kobert_vocab.errors import InputError

IDS = torch.arange(12).view(2, 6) + 3
MASK = torch.ones_like(IDS)
BOUNDS = torch.tensor([0, 2, 6])
RESTARTS = torch.tensor([[0, 1, 0, 1, 2, 3]])


@pytest.fixture(scope="module")
def models(model_of):
    made = {family: model_of(family) for family in ("bert", "modernbert")}
    for model in made.values():
        use_kobert_kernels(model)
    return made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"output_attentions": True}, "output_attentions: attention weights are never written"),
        ({"head_mask": torch.ones(4, 5)}, "head_mask: no head can be left out"),
        ({"encoder_hidden_states": torch.ones(2, 3, 60)}, "no cross-attention"),
        ({"encoder_attention_mask": torch.ones(2, 3)}, "no cross-attention"),
        ({"past_key_values": DynamicCache()}, "no cache"),
        ({"is_causal": True}, "a token sees those after it"),
        ({"attention_mask": torch.ones(2, 1, 6, 6)}, "a mask of pairs of tokens has no place"),
        ({"attention_mask": torch.ones(2, 7)}, r"attention_mask is \[2, 7\], must be \[2, 6\]"),
        ({"attention_mask": {"full_attention": MASK}}, "attention_mask is a dict"),
        ({"position_ids": torch.tensor([[0, 1, 2, 4, 5, 6]])}, "position_ids go from 2 to 4"),
        ({"cu_seq_lens_q": BOUNDS, "attention_mask": MASK}, "give one of them"),
        ({"cu_seq_lens_q": BOUNDS, "cu_seq_lens_k": BOUNDS + 1}, "differ: a document sees itself"),
        ({"cu_seq_lens_k": BOUNDS}, "differ: a document sees itself"),
        ({"cu_seq_lens_q": BOUNDS, "position_ids": RESTARTS}, "for one row of documents, not"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_call_is_refused(family, arguments, words, models):
    with pytest.raises(InputError, match=words) as refused:
        models[family](input_ids=IDS, **arguments)
    assert "\n" not in str(refused.value)


def test_attention_weights_asked_for_by_the_configuration_are_refused(model_of):
    model = model_of("bert", output_attentions=True)
    use_kobert_kernels(model)
    with pytest.raises(InputError, match="output_attentions"):
        model(input_ids=IDS)


def test_a_hole_in_a_document_is_refused_by_local_windows(models):
    mask = MASK.clone()
    mask[1, 3] = 0
    with pytest.raises(InputError, match="a 0 between tokens of one document"):
        models["modernbert"](input_ids=IDS, attention_mask=mask)
    models["bert"](input_ids=IDS, attention_mask=mask)


def test_the_model_says_itself_that_it_got_no_tokens(models):
    with pytest.raises(ValueError, match="exactly one of input_ids or inputs_embeds"):
        models["bert"].bert(attention_mask=MASK)


def test_a_family_that_was_not_tested_is_refused_and_left_alone():
    config = AutoConfig.for_model("distilbert", dim=12, n_heads=2, n_layers=1, hidden_dim=8)
    model = AutoModel.from_config(config, attn_implementation="sdpa")
    with pytest.raises(InputError, match="is a 'distilbert': our attention is tested in bert,"):
        use_kobert_kernels(model)
    assert model.config._attn_implementation == "sdpa"


def test_a_decoder_is_refused_and_all_else_in_the_module_left_alone(model_of):
    both = torch.nn.ModuleList([model_of("bert", "sdpa"), model_of("bert", is_decoder=True)])
    with pytest.raises(InputError, match="is a decoder"):
        use_kobert_kernels(both)
    assert both[0].config._attn_implementation == "sdpa"


def test_a_model_made_a_decoder_later_is_refused_when_called(model_of):
    model = model_of("bert")
    use_kobert_kernels(model)
    model.config.is_decoder = True
    with pytest.raises(InputError, match="is a decoder"):
        model(input_ids=IDS)


def test_a_module_without_a_model_is_refused():
    with pytest.raises(InputError, match="Linear holds no model of transformers"):
        use_kobert_kernels(torch.nn.Linear(2, 2))


def test_a_part_of_a_model_called_alone_is_refused(models):
    with pytest.raises(InputError, match="does not know where documents lie"):
        models["bert"].bert.encoder(torch.ones(1, 3, 60))


def test_the_name_alone_does_not_switch_it_on(model_of, models):
    model = model_of("modernbert", NAME)
    with pytest.raises(InputError, match="does not know where documents lie"):
        model(input_ids=IDS)


@pytest.mark.parametrize("wrong", ["mask", "keys", "causal"])
def test_a_layer_that_wants_another_attention_is_refused(wrong):
    module, x = torch.nn.Module(), torch.ones(1, 2, 6, 4)
    module.is_causal = wrong == "causal"
    key = x[:, :, :3] if wrong == "keys" else x
    mask = torch.ones(1, 1, 6, 6) if wrong == "mask" else None
    layout = layout_of(1, 6, torch.device("cpu"))
    with pytest.raises(InputError, match="self-attention in both directions"):
        kobert_attention(module, x, key, key, mask, kobert_layout=layout)
