"""Every architecture that loads, beside the same of `transformers`, on weights of their making."""

import pytest
import torch
import transformers
from torch.nn.utils.rnn import pad_sequence

from kobert_kit.encoder import ElectraDiscriminator, Encoder, PretrainingModel
from kobert_kit.encoder.electra_discriminator import replaced_loss
from kobert_kit.encoder.huggingface.folder import ARCHITECTURES

ROUNDING = 1e-5  # of the largest value
LENGTHS = [17, 1, 40, 5]
MASKED = [2, 16, 17, 30, 57, 60]  # of all tokens, end to end
PAD = 3  # neither the first nor the last piece
# Head sizes of 12 and 20: nothing is a power of two.
SHAPE = {
    "vocab_size": 101,
    "hidden_size": 60,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "intermediate_size": 76,
    "pad_token_id": PAD,
    "initializer_range": 0.2,  # large, so that attention is far from even
}
CLASSIC = SHAPE | {"max_position_embeddings": 40}
# What has a place for each position begins after that of padding.
OFFSET = SHAPE | {"max_position_embeddings": 40 + PAD + 1, "type_vocab_size": 1}
MODERN = SHAPE | {
    "max_position_embeddings": 40,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "local_attention": 10,
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 160_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
    },
}
CASES = {
    "BERT": ("Bert", "ForPreTraining", CLASSIC),
    "BERT, tanh GELU": ("Bert", "ForPreTraining", CLASSIC | {"hidden_act": "gelu_new"}),
    "BERT, one head": ("Bert", "ForMaskedLM", CLASSIC),
    "RoBERTa": ("Roberta", "ForMaskedLM", OFFSET),
    "RoBERTa, two segments": ("Roberta", "ForMaskedLM", OFFSET | {"type_vocab_size": 2}),
    "XLM-R": ("XLMRoberta", "ForMaskedLM", OFFSET),
    "CamemBERT": ("Camembert", "ForMaskedLM", OFFSET),
    "ELECTRA's generator": ("Electra", "ForMaskedLM", CLASSIC | {"embedding_size": 60}),
    "ELECTRA's generator, narrow": ("Electra", "ForMaskedLM", CLASSIC | {"embedding_size": 28}),
    "ELECTRA, narrow": ("Electra", "ForPreTraining", CLASSIC | {"embedding_size": 28}),
    "ELECTRA": ("Electra", "ForPreTraining", CLASSIC | {"embedding_size": 60}),
    "ModernBERT": ("ModernBert", "ForMaskedLM", MODERN),
}


def theirs_of(classes, kind, settings):
    """Their model, with no weight at its trivial start."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{classes}Config")(**settings)
    model = getattr(transformers, f"{classes}{kind}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """Their model, ours, and the folder in which they left it."""
    classes, kind, settings = CASES[request.param]
    theirs = theirs_of(classes, kind, settings)
    theirs.save_pretrained(tmp_path)
    discriminates = (classes, kind) == ("Electra", "ForPreTraining")
    ours = ElectraDiscriminator if discriminates else PretrainingModel
    return theirs, ours.from_pretrained(tmp_path), tmp_path


def packed(two_segments):
    generator = torch.Generator().manual_seed(1)
    positions = torch.cat([torch.arange(n) for n in LENGTHS])
    return (
        torch.randint(PAD + 1, 101, (sum(LENGTHS),), generator=generator),
        positions,
        (positions > 3).long() * two_segments,
        torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)], dtype=torch.int32),
        max(LENGTHS),
    )


def padded(values, fill):
    return pad_sequence(list(values.split(LENGTHS)), batch_first=True, padding_value=fill)


def inputs_of(theirs, tokens, segments):
    inputs = {
        "input_ids": padded(tokens, PAD),
        "attention_mask": padded(torch.ones_like(tokens), 0),
        "output_hidden_states": True,
    }
    if theirs.config.model_type != "modernbert":
        inputs["token_type_ids"] = padded(segments, 0)
    return inputs


def unpadded(rows):
    return torch.cat([row[:n] for row, n in zip(rows, LENGTHS, strict=True)])


def assert_close(ours, theirs, what):
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error < ROUNDING, f"{what}: {error:.1e}"


def labels_of_masked():
    """Labels of the masked tokens, theirs as they take them."""
    labels = torch.full((sum(LENGTHS),), -100)
    labels[MASKED] = torch.arange(20, 20 + len(MASKED))
    return labels[MASKED], padded(labels, -100)


def both_losses(theirs, ours, batch):
    """Loss and hidden states of each."""
    tokens, _, segments, cu_seqlens, _ = batch
    inputs = inputs_of(theirs, tokens, segments)
    x = ours.encoder(*batch)
    if isinstance(ours, ElectraDiscriminator):
        replaced = (tokens % 3 == 0).long()
        found = theirs(**inputs, labels=padded(replaced, 0))
        assert_close(ours.discriminator(x), unpadded(found.logits), "logits")
        return replaced_loss(ours.discriminator(x), replaced), x, found
    own, given = labels_of_masked()
    masked = torch.tensor(MASKED)
    loss, _ = ours.masked_loss(x, masked, own)
    if ours.next_sentence is not None:
        follows = torch.tensor([0, 1, 1, 0])
        found = theirs(**inputs, labels=given, next_sentence_label=follows)
        logits = ours.next_sentence_logits(x, cu_seqlens)
        assert_close(logits, found.seq_relationship_logits, "next sentence")
        loss = loss + torch.nn.functional.cross_entropy(logits, follows)
        theirs_logits = found.prediction_logits
    else:
        found = theirs(**inputs, labels=given)
        theirs_logits = found.logits
    assert_close(ours.masked_logits(x, masked), unpadded(theirs_logits)[masked], "logits")
    return loss, x, found


def test_vectors_logits_loss_and_every_gradient_are_theirs(case):
    theirs, ours, _ = case
    batch = packed(theirs.config.to_dict().get("type_vocab_size", 1) > 1)
    loss, x, found = both_losses(theirs, ours, batch)
    assert_close(x, unpadded(found.hidden_states[-1]), "vectors")
    assert_close(loss, found.loss, "loss")
    loss.backward()
    found.loss.backward()
    names = ARCHITECTURES[ours.config.model_type].names
    gradients = {
        name: parameter.grad
        for name, parameter in theirs.named_parameters(remove_duplicate=False)
        if name not in names.copies
    }
    for name, parameter in ours.named_parameters():
        assert_close(
            parameter.grad, torch.cat([gradients.pop(one) for one in names.theirs(name)]), name
        )
    assert not [name for name, gradient in gradients.items() if gradient is not None]


def test_their_class_gets_back_every_bit(case, tmp_path):
    theirs, ours, folder = case
    again = tmp_path / "again"
    again.mkdir()
    ours.save_pretrained(again)
    loaded, info = type(theirs).from_pretrained(again, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    given, found = theirs.state_dict(), loaded.state_dict()
    assert given.keys() == found.keys()
    for name, tensor in given.items():
        assert torch.equal(tensor, found[name]), name
    before, after = (
        transformers.AutoConfig.from_pretrained(place).to_dict() for place in (folder, again)
    )
    assert after["architectures"] == [type(theirs).__name__]
    # Where it was read from, and two settings of ModernBERT that only older files and ours have.
    more = {"_name_or_path", "attention_output_dropout", "global_attn_every_n_layers"}
    assert {name: before[name] for name in before.keys() - more} == {
        name: after[name] for name in after.keys() - more
    }


BARE = {
    "BERT": ("Bert", CLASSIC),
    "RoBERTa": ("Roberta", OFFSET),
    "XLM-R": ("XLMRoberta", OFFSET),
    "ELECTRA": ("Electra", CLASSIC | {"embedding_size": 28}),
    "ModernBERT": ("ModernBert", MODERN),
}


@pytest.mark.parametrize("name", BARE)
def test_a_bare_encoder_goes_through_us_and_back(name, tmp_path):
    classes, settings = BARE[name]
    theirs = theirs_of(classes, "Model", settings)
    theirs.save_pretrained(tmp_path)
    ours = Encoder.from_pretrained(tmp_path)
    tokens, _, segments, cu_seqlens, _ = batch = packed(settings.get("type_vocab_size", 2) > 1)
    with torch.no_grad():
        x = ours(*batch)
        found = theirs(**inputs_of(theirs, tokens, segments))
        assert_close(x, unpadded(found.last_hidden_state), "vectors")
        if ours.pooler is not None:
            assert_close(ours.pooled(x, cu_seqlens), found.pooler_output, "pooled")
    assert (ours.pooler is None) == (name in ("ELECTRA", "ModernBERT"))
    again = tmp_path / "again"
    again.mkdir()
    ours.save_pretrained(again)
    loaded, info = type(theirs).from_pretrained(again, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key]), key


@pytest.mark.parametrize(
    ("kind", "task"), [("Bert", "SequenceClassification"), ("Electra", "MultipleChoice")]
)
def test_a_model_with_a_head_of_another_task_lends_its_encoder(tmp_path, kind, task):
    config = getattr(transformers, f"{kind}Config")(**CLASSIC, num_labels=4)
    theirs = getattr(transformers, f"{kind}For{task}")(config).eval()
    theirs.save_pretrained(tmp_path)
    batch = packed(two_segments=True)
    with torch.no_grad():
        found = theirs.base_model(**inputs_of(theirs, batch[0], batch[2])).last_hidden_state
        assert_close(Encoder.from_pretrained(tmp_path)(*batch), unpadded(found), "vectors")


def test_settings_that_change_nothing_here_are_given_back(tmp_path):
    theirs = theirs_of("Bert", "ForMaskedLM", CLASSIC | {"tokenizer_class": "BertTokenizer"})
    theirs.config.id2label = {0: "부정", 1: "긍정"}
    theirs.save_pretrained(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    PretrainingModel.from_pretrained(tmp_path).save_pretrained(again)
    config = transformers.AutoConfig.from_pretrained(again)
    assert config.id2label == {0: "부정", 1: "긍정"}
    assert config.tokenizer_class == "BertTokenizer"


def test_a_model_of_one_segment_takes_pairs_as_one(tmp_path):
    theirs_of("Roberta", "Model", OFFSET).save_pretrained(tmp_path)
    encoder = Encoder.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(encoder(*packed(two_segments=True)), encoder(*packed(False)))
