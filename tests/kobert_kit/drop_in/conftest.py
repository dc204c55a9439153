"""Small models of every family, made by `transformers` at random, and ragged batches for them."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

SIZES = {
    "vocab_size": 97,
    "hidden_size": 60,  # five heads of 12: no size of the kernels, and no power of two
    "num_attention_heads": 5,
    "intermediate_size": 84,
    "num_hidden_layers": 4,
    "max_position_embeddings": 90,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CLASSIC = SIZES | NO_DROPOUT | {"layer_norm_eps": 0.1}  # so large that another one would show
CONFIGS = {
    "bert": CLASSIC,
    "roberta": CLASSIC | {"pad_token_id": 1},
    "xlm-roberta": CLASSIC | {"pad_token_id": 1},
    "electra": CLASSIC | {"embedding_size": 24},
    # Layers 0 and 3 see everything, 1 and 2 eight tokens to either side; they turn differently.
    "modernbert": SIZES
    | {"local_attention": 16, "norm_eps": 0.1}
    | {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
}


@pytest.fixture(scope="session")
def model_of():
    """A function: a masked-language model of a family, with equal weights at each call."""

    def make(family, implementation="eager", dtype=torch.float32, **changes):
        config = AutoConfig.for_model(family, **(CONFIGS[family] | changes))
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(config, attn_implementation=implementation)
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms too
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model.to(dtype).eval()

    return make


@pytest.fixture(scope="session")
def ragged():
    """A function: random rows of these lengths, padded."""

    def make(lengths, *, left=False, seed=0):
        draw = torch.Generator().manual_seed(seed)
        longest = max(lengths)
        ids = torch.randint(3, 97, (len(lengths), longest), generator=draw)
        place = torch.arange(longest)
        size = torch.tensor(lengths)[:, None]
        real = place >= longest - size if left else place < size
        return {"input_ids": ids * real, "attention_mask": real.long()}

    return make


def gradients_of(model):
    """By name; but for the biases of keys, which softmax does not feel: theirs are rounding."""
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if not name.endswith("key.bias")
    }


@pytest.fixture(scope="session")
def gradients():
    """A function: logits of real tokens, and by name the gradient of a weighted sum of them."""

    def run(model, batch, call=None):
        model.zero_grad()
        logits = (model if call is None else call)(**batch).logits
        real = batch.get("attention_mask", torch.ones(logits.shape[:2])).bool()
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
        (logits * weights.to(logits))[real].sum().backward()
        return {"logits": logits[real].detach()} | gradients_of(model)

    return run


@pytest.fixture(scope="session")
def assert_alike():
    """A function: tensors by name are equal but for a share of the largest number of each."""

    def check(got, expected, rounding):
        assert got.keys() == expected.keys()
        for name, tensor in expected.items():
            largest = float(tensor.abs().max())
            assert largest > 0, name
            torch.testing.assert_close(
                got[name],
                tensor,
                rtol=0,
                atol=rounding * largest,
                msg=lambda m, n=name: f"{n}: {m}",
            )

    return check
