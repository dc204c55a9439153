"""Padded batches: what transformers computes at real tokens, and in all gradients."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM
from transformers.masking_utils import create_bidirectional_mask

import kobert_kernels
import kobert_kit.drop_in.model
from kobert_kit.drop_in import FAMILIES, use_kobert_kernels
from kobert_kit.drop_in.attention import kobert_attention
from kobert_kit.drop_in.layout import layout_of

LENGTHS = [37, 5, 64, 1, 20]
# Of the largest number, in fp64. ModernBERT turns queries and keys in fp32 all the same.
ROUNDING = dict.fromkeys(FAMILIES, 1e-10) | {"modernbert": 1e-5}
OF_TWO_KINDS = ("bert", "modernbert")
PROPERTY = settings(max_examples=30, deadline=None, derandomize=True)


STOCK = [(family, stock) for family in FAMILIES for stock in ("eager", "sdpa")]
# In fp64 it gives NaN where a window has padding alone: its mask is of fp64, its softmax of fp32.
STOCK.remove(("modernbert", "eager"))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("family", "stock"), STOCK)
def test_logits_and_gradients_are_those_of_transformers(
    family, stock, left, model_of, ragged, gradients, assert_alike
):
    batch = ragged(LENGTHS, left=left)
    expected = gradients(model_of(family, stock, torch.float64), batch)
    ours = model_of(family, stock, torch.float64)
    use_kobert_kernels(ours)
    assert_alike(gradients(ours, batch), expected, ROUNDING[family])


@pytest.mark.parametrize("stock", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_in_fp32_they_agree_to_rounding(family, stock, model_of, ragged, gradients, assert_alike):
    batch = ragged(LENGTHS)
    expected = gradients(model_of(family, stock), batch)
    ours = model_of(family, stock)
    use_kobert_kernels(ours)
    # Queries and keys have gradients that are small differences of large numbers; hence the 1e-3.
    assert_alike(gradients(ours, batch), expected, 1e-3)


@pytest.fixture(scope="module")
def pairs(model_of):
    """A stock model and ours, by family."""
    made = {}
    for family in OF_TWO_KINDS:
        made[family] = [model_of(family, "sdpa", torch.float64) for _ in range(2)]
        use_kobert_kernels(made[family][1])
    return made


@PROPERTY
@given(
    st.sampled_from(OF_TWO_KINDS),
    st.lists(st.integers(0, 70), min_size=1, max_size=6).filter(any),
    st.booleans(),
)
def test_for_any_lengths(pairs, ragged, assert_alike, family, lengths, left):
    batch = ragged(lengths, left=left)
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        theirs, ours = (model(**batch).logits for model in pairs[family])
    assert ours.isfinite().all()
    assert_alike({"logits": ours[real]}, {"logits": theirs[real]}, ROUNDING[family])


def test_an_empty_row_leaves_gradients_finite(pairs, ragged, gradients):
    batch = ragged([9, 0, 4])
    assert all(g.isfinite().all() for g in gradients(pairs["bert"][1], batch).values())


def test_a_batch_of_padding_alone_gives_numbers(pairs):
    ids = torch.ones(2, 3, dtype=torch.long)
    logits = pairs["bert"][1](input_ids=ids, attention_mask=torch.zeros_like(ids)).logits
    assert logits.isfinite().all()


@pytest.mark.parametrize("family", OF_TWO_KINDS)
def test_without_a_mask_all_tokens_are_read(family, pairs, ragged, assert_alike):
    ids = ragged([33, 33])["input_ids"]
    theirs, ours = (model(input_ids=ids).logits.detach() for model in pairs[family])
    assert_alike({"logits": ours}, {"logits": theirs}, ROUNDING[family])


def test_a_token_left_out_in_the_middle_is_seen_by_none(pairs, ragged, assert_alike):
    batch = ragged([30, 22])
    batch["attention_mask"][0, 7:9] = 0
    real = batch["attention_mask"].bool()
    theirs, ours = (model(**batch).logits[real].detach() for model in pairs["bert"])
    assert_alike({"logits": ours}, {"logits": theirs}, 1e-10)


def test_arguments_by_place_are_read_too(pairs, ragged):
    batch = ragged(LENGTHS)
    encoder = pairs["bert"][1].bert
    by_place = encoder(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    assert torch.equal(by_place, encoder(**batch).last_hidden_state)


def test_embeddings_given_in_place_of_ids(pairs, ragged):
    batch = ragged(LENGTHS)
    model = pairs["modernbert"][1]
    by_ids = model(**batch).logits
    vectors = model.get_input_embeddings()(batch.pop("input_ids"))
    assert torch.equal(model(inputs_embeds=vectors, **batch).logits, by_ids)


# What else a model is used for


def test_where_documents_lie_is_worked_out_once_for_all_layers(model_of, ragged, monkeypatch):
    calls = []

    def counted(*args, **options):
        calls.append(args)
        return layout_of(*args, **options)

    monkeypatch.setattr(kobert_kit.drop_in.model, "layout_of", counted)
    model = model_of("bert")
    use_kobert_kernels(model)
    use_kobert_kernels(model)  # again: no second hook
    model(**ragged(LENGTHS))
    assert len(calls) == 1


def test_no_mask_of_pairs_is_built(pairs, ragged):
    batch = ragged(LENGTHS)
    model = pairs["bert"][1]
    vectors = model.get_input_embeddings()(batch["input_ids"])
    mask = create_bidirectional_mask(model.config, vectors, batch["attention_mask"])
    assert mask is None


def test_it_can_be_put_back(model_of, ragged):
    model, batch = model_of("modernbert", "sdpa"), ragged(LENGTHS)
    before = model(**batch).logits
    use_kobert_kernels(model)
    assert not torch.equal(model(**batch).logits, before)
    model.set_attn_implementation("sdpa")
    assert torch.equal(model(**batch).logits, before)
    model.set_attn_implementation("eager")  # and refuses nothing any more
    assert len(model(**batch, output_attentions=True).attentions) == 4


def test_a_saved_folder_says_nothing_of_it(model_of, tmp_path):
    model = model_of("bert", "sdpa")
    use_kobert_kernels(model, norms=True)
    model.save_pretrained(tmp_path)
    assert "kobert" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    again, info = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert again.config._attn_implementation == "sdpa"


def test_a_copy_of_a_model_computes_the_same(pairs, ragged):
    model, batch = pairs["bert"][1], ragged(LENGTHS)
    assert torch.equal(copy.deepcopy(model)(**batch).logits, model(**batch).logits)


def test_models_inside_of_another_module_are_found(model_of, ragged, pairs):
    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = model_of("bert", dtype=torch.float64)

    model, batch = Classifier(), ragged(LENGTHS)
    use_kobert_kernels(model)
    assert torch.equal(model.body(**batch).logits, pairs["bert"][1](**batch).logits)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("family", OF_TWO_KINDS)
def test_checkpointing_gives_the_same_gradients_with_dropout(
    family, use_reentrant, model_of, ragged, gradients
):
    name = "attention_dropout" if family == "modernbert" else "attention_probs_dropout_prob"
    model = model_of(family, **{name: 0.2}).train()
    use_kobert_kernels(model)
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        torch.manual_seed(3)
        found.append(gradients(model, ragged(LENGTHS)))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.slow
# Dynamo looks at an attribute of tensors between its graphs, which PyTorch warns of.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("family", OF_TWO_KINDS)
def test_a_compiled_model_computes_the_same(family, model_of, ragged, gradients, assert_alike):
    model = model_of(family, dtype=torch.float64, num_hidden_layers=2)
    use_kobert_kernels(model, norms=True)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, backend="aot_eager")
    graphs = []
    for lengths in (LENGTHS, [11, 48], [30, 3, 70]):
        batch = ragged(lengths)
        expected = gradients(model, batch)
        assert_alike(gradients(model, batch, compiled), expected, ROUNDING[family])
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert 2 < graphs[1] == graphs[2]  # the third batch finds all it needs


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", OF_TWO_KINDS)
def test_half_precision_is_as_near_to_the_truth_as_in_transformers(
    family, dtype, model_of, ragged, pairs
):
    batch = ragged(LENGTHS)
    real = batch["attention_mask"].bool()
    truth = pairs[family][0](**batch).logits[real]
    theirs, ours = model_of(family, "sdpa", dtype), model_of(family, "sdpa", dtype)
    use_kobert_kernels(ours)
    errors = [(m(**batch).logits[real] - truth).abs().mean() for m in (theirs, ours)]
    assert 0 < errors[1] < 1.3 * errors[0]


@pytest.mark.parametrize("family", OF_TWO_KINDS)
def test_autocast_is_as_near_to_the_truth_as_in_transformers(family, model_of, ragged, pairs):
    batch = ragged(LENGTHS)
    real = batch["attention_mask"].bool()
    truth = pairs[family][0](**batch).logits[real]
    theirs, ours = model_of(family, "sdpa"), model_of(family, "sdpa")
    use_kobert_kernels(ours)
    with torch.autocast("cpu", torch.bfloat16):
        found = [m(**batch).logits for m in (theirs, ours)]
    assert found[0].dtype == found[1].dtype
    errors = [(logits[real] - truth).abs().mean() for logits in found]
    assert 0 < errors[1] < 1.3 * errors[0]


@pytest.mark.parametrize("family", OF_TWO_KINDS)
def test_the_kernels_run_where_the_dispatch_says_so(
    family, model_of, ragged, gradients, assert_alike
):
    """On a CPU in Triton's interpreter."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = {"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 2}  # heads of 16
    batch = {name: value.to(device) for name, value in ragged([21, 3, 40]).items()}
    expected = gradients(model_of(family, "eager", **sizes).to(device), batch)
    ours = model_of(family, "eager", **sizes).to(device)
    use_kobert_kernels(ours)
    with kobert_kernels.use(attention="triton"):
        assert_alike(gradients(ours, batch), expected, 1e-4)


# Dropout


def test_dropout_follows_the_seed_of_torch(model_of, ragged):
    model, batch = model_of("bert", attention_probs_dropout_prob=0.2), ragged(LENGTHS)
    use_kobert_kernels(model)
    certain = model(**batch).logits
    model.train()

    def run(seed):
        torch.manual_seed(seed)
        return model(**batch).logits

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert not torch.equal(run(1), certain)


def test_two_layers_drop_different_weights():
    outputs = [_of_ones(length=50, heads=2, dropout=0.3) for _ in range(2)]
    assert not torch.equal(*outputs)


def test_dropout_drops_the_share_it_says_and_keeps_the_mean():
    """Of equal weights 1/L and values of 1: a row's result is the share that was kept, scaled."""
    length, heads, rate = 200, 10, 0.3
    torch.manual_seed(0)
    kept = _of_ones(length=length, heads=heads, dropout=rate)
    variance = rate / (1 - rate) / length  # of a row
    rows = heads * length
    assert abs(float(kept.mean()) - 1) < 5 * (variance / rows) ** 0.5
    # The variance of n normal numbers is known to sqrt(2 / n) of itself.
    assert abs(float(kept.var()) / variance - 1) < 5 * (2 / rows) ** 0.5


def test_scores_are_scaled_as_the_layer_says():
    """By 0: all keys count alike."""
    draw = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 7, 4, generator=draw)
    layout = layout_of(1, 7, torch.device("cpu"))
    o, _ = kobert_attention(torch.nn.Module(), q, k, v, None, scaling=0.0, kobert_layout=layout)
    torch.testing.assert_close(o, v.mean(2, keepdim=True).expand_as(v).transpose(1, 2))


def _of_ones(*, length, heads, dropout):
    """[T, H]."""
    zeros, layout = torch.zeros(1, heads, length, 2), layout_of(1, length, torch.device("cpu"))
    o, _ = kobert_attention(
        torch.nn.Module(),
        *(zeros, zeros, torch.ones_like(zeros), None),
        dropout=dropout,
        kobert_layout=layout,
    )
    return o[0, :, :, 0]
