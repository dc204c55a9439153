"""Packed batches: each document as if it were alone."""

import pytest
import torch
from transformers import CamembertConfig

from kobert_kit.drop_in import FAMILIES, leak, packed, use_kobert_kernels
from kobert_vocab.errors import InputError

LENGTHS = [37, 5, 64, 1, 20]
ROUNDING = dict.fromkeys(FAMILIES, 1e-10) | {"modernbert": 1e-5}


@pytest.fixture(scope="module")
def documents():
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(3, 97, (length,), generator=draw).tolist() for length in LENGTHS]


@pytest.fixture(scope="module")
def alone(model_of, documents):
    """A function: logits and gradients of a stock model that is given one document at a time."""

    def run(family):
        model = model_of(family, "eager", torch.float64)
        logits = torch.cat([model(torch.tensor([d])).logits[0] for d in documents])
        weights = torch.randn(1, *logits.shape, generator=torch.Generator().manual_seed(1))
        (logits * weights[0].to(logits)).sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        return {"logits": logits.detach()} | {
            name: grad for name, grad in gradients.items() if not name.endswith("key.bias")
        }

    return run


BOUNDS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")


@pytest.mark.parametrize("by_bounds", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_document_in_a_row_is_as_if_alone(
    family, by_bounds, model_of, documents, alone, gradients, assert_alike
):
    model = model_of(family, "sdpa", torch.float64)
    use_kobert_kernels(model)
    batch = packed(documents, model.config)
    if not by_bounds:
        batch = {name: value for name, value in batch.items() if name not in BOUNDS}
    assert_alike(gradients(model, batch), alone(family), ROUNDING[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_batch_takes_labels(family, model_of, documents):
    model = model_of(family)
    use_kobert_kernels(model)
    batch = packed(documents, model.config)
    labels = batch["input_ids"].roll(1)
    found = model(**batch, labels=labels)
    expected = torch.nn.functional.cross_entropy(found.logits[0], labels[0])
    torch.testing.assert_close(found.loss, expected)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_several_packed_rows_with_padding(
    family, left, model_of, documents, alone, gradients, assert_alike
):
    """Documents 0 to 2 in one row, the last two in another."""
    model = model_of(family, "sdpa", torch.float64)
    use_kobert_kernels(model)
    rows = [packed(part, model.config) for part in (documents[:3], documents[3:])]
    room = rows[0]["input_ids"].shape[1] - rows[1]["input_ids"].shape[1]
    around = (room, 0) if left else (0, room)
    batch = {
        name: torch.cat((rows[0][name], torch.nn.functional.pad(rows[1][name], around)))
        for name in ("input_ids", "position_ids")
    }
    mask = torch.nn.functional.pad(torch.ones_like(rows[1]["input_ids"]), around)
    batch["attention_mask"] = torch.cat((torch.ones_like(rows[0]["input_ids"]), mask))
    logits = model(**batch).logits[batch["attention_mask"].bool()]
    assert_alike({"logits": logits.detach()}, {"logits": alone(family)["logits"]}, ROUNDING[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_no_document_moves_another(family, model_of):
    model = model_of(family)
    use_kobert_kernels(model)
    assert leak(model) == 0.0
    assert leak(model, lengths=[1, 2, 80, 33, 33]) == 0.0


@pytest.mark.parametrize("stock", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_stock_attention_lets_documents_move_each_other(family, stock, model_of):
    assert leak(model_of(family, stock)) > 0.01


def test_the_leak_test_sees_one_document_that_leaks_into_its_neighbour(model_of, monkeypatch):
    import kobert_kit.drop_in.model as module

    def mistaken(*args, bounds, **options):
        """Documents 1 and 2 taken for one."""
        kept = torch.cat((bounds[:2], bounds[3:]))
        return honest(*args, bounds=kept, **options)

    honest = module.layout_by_bounds
    monkeypatch.setattr(module, "layout_by_bounds", mistaken)
    model = model_of("bert")
    use_kobert_kernels(model)
    assert leak(model) > 0.01


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_no_gradient_flows_from_one_document_to_another(family, model_of, documents):
    model = model_of(family)
    use_kobert_kernels(model)
    batch = packed(documents, model.config)
    vectors = model.get_input_embeddings()(batch.pop("input_ids")).detach().requires_grad_()
    hidden = model.base_model(inputs_embeds=vectors, **batch).last_hidden_state
    begin, end = LENGTHS[0] + LENGTHS[1], sum(LENGTHS[:3])
    hidden[0, begin:end, 0].sum().backward()
    own = torch.zeros(sum(LENGTHS), dtype=torch.bool)
    own[begin:end] = True
    assert vectors.grad[0, own].abs().sum(1).min() > 0
    assert vectors.grad[0, ~own].abs().max() == 0


def test_the_leak_test_leaves_each_module_in_its_mode(model_of):
    model = model_of("bert", "sdpa", hidden_dropout_prob=0.5).train()
    model.bert.embeddings.eval()
    before = [module.training for module in model.modules()]
    assert leak(model) == leak(model)  # no dropout
    assert [module.training for module in model.modules()] == before


def test_a_leak_takes_two_documents(model_of):
    with pytest.raises(InputError, match="got 1, give two"):
        leak(model_of("bert"), lengths=[5])


@pytest.mark.parametrize(("family", "first"), [("bert", 0), ("roberta", 2)])
def test_packed_positions_begin_where_the_model_does(family, first, model_of):
    batch = packed([[7, 8, 9], [5]], model_of(family).config)
    assert batch["input_ids"].tolist() == [[7, 8, 9, 5]]
    assert batch["position_ids"].tolist() == [[first, first + 1, first + 2, first]]
    assert batch["cu_seq_lens_q"].tolist() == batch["cu_seq_lens_k"].tolist() == [0, 3, 4]
    assert batch["cu_seq_lens_q"].dtype == torch.int32
    assert batch["max_length_q"] == batch["max_length_k"] == 3


def test_packed_positions_of_camembert_come_after_padding():
    batch = packed([[7, 8], [5]], CamembertConfig(pad_token_id=1))
    assert batch["position_ids"].tolist() == [[2, 3, 2]]


@pytest.mark.parametrize(("family", "room"), [("bert", 90), ("xlm-roberta", 88)])
def test_a_document_longer_than_the_positions_is_refused(family, room, model_of):
    config = model_of(family).config
    packed([[5] * room], config)
    with pytest.raises(InputError, match=f"document 1 has {room + 1} tokens, .* for {room};"):
        packed([[5], [5] * (room + 1)], config)


@pytest.mark.parametrize("nothing", [[], [[5], []]])
def test_empty_documents_are_refused(nothing, model_of):
    with pytest.raises(InputError, match="nothing to pack"):
        packed(nothing, model_of("bert").config)
