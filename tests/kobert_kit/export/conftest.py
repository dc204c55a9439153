"""Small models of every family with a tokenizer, as `transformers` leaves them in folders."""

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast as Fast

LETTERS = "가나다라마바사아자차카타파하"
# Padding is neither the first nor the last piece.
NAMES = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *LETTERS]
PAD = 3
SHAPE = {
    # More words than pieces, as where the number was made round; and a table beyond the size up to
    # which PyTorch's exporter computes with constants.
    "vocab_size": 601,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 36,
    "max_position_embeddings": 48,
    "pad_token_id": PAD,
    "bos_token_id": None,
    "eos_token_id": None,
    "initializer_range": 0.3,  # large, so that attention is far from even
}
OFFSET = {"max_position_embeddings": 48 + PAD + 1, "type_vocab_size": 1}
MODERN = {"local_attention": 6, "cls_token_id": 1, "sep_token_id": 2}
FAMILIES = {
    "BERT": ("Bert", "ForPreTraining", {}),
    "BERT, bare": ("Bert", "Model", {}),
    "RoBERTa": ("Roberta", "ForMaskedLM", OFFSET),
    "RoBERTa, two segments": ("Roberta", "ForMaskedLM", OFFSET | {"type_vocab_size": 2}),
    "XLM-R, bare": ("XLMRoberta", "Model", OFFSET),
    "ELECTRA": ("Electra", "ForPreTraining", {"embedding_size": 16}),
    "ELECTRA's generator": ("Electra", "ForMaskedLM", {"embedding_size": 16}),
    "ModernBERT": ("ModernBert", "ForMaskedLM", MODERN),
    "ModernBERT, bare": ("ModernBert", "Model", MODERN),
}


def write_tokenizer(folder):
    tokenizer = Tokenizer(models.WordLevel({n: i for i, n in enumerate(NAMES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.add_special_tokens(NAMES[:5])
    Fast(
        tokenizer_object=tokenizer,
        **{f"{kind}_token": f"[{kind.upper()}]" for kind in ("unk", "cls", "sep", "pad", "mask")},
    ).save_pretrained(folder)


def write_model(folder, family):
    """Of no weight at its trivial start."""
    classes, kind, settings = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{classes}Config")(**(SHAPE | settings))
    model = getattr(transformers, f"{classes}{kind}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def models_of(tmp_path_factory):
    """The folder of a family's model; made once, not to be changed."""
    made = {}

    def get(family):
        if family not in made:
            made[family] = write_model(tmp_path_factory.mktemp("model"), family)
        return made[family]

    return get


@pytest.fixture
def new_model(tmp_path):
    """A family's model in a folder that may be changed."""

    def make(family="BERT"):
        folder = tmp_path / "model"
        folder.mkdir()
        return write_model(folder, family)

    return make


CARD = """\
---
license: apache-2.0
language:
- ko
pipeline_tag: fill-mask
tags:
- bert
mask_token: '[MASK]'
widget:
- text: 오늘은 학교에서 [MASK] 먹었다.
---
# 작은 모델
"""


@pytest.fixture
def card():
    """A model card that may be published."""
    return CARD
