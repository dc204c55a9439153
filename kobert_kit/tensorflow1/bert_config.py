"""A BERT's settings: Google's ``bert_config.json`` and the ``config.json`` of `transformers`.

Both give the sizes and dropout rates under the same names. They differ in GELU. ``gelu`` is the erf
form to `transformers`. To Google's code it was that from the release on 31 October 2018 to 7
February 2019; since then it is the tanh form (google-research/bert, commit bee6030, in
modeling.py), which `transformers` calls ``gelu_new``. One activation moves by 0.0005 at most
between the two. A checkpoint does not record which form it was trained with.

So what ``gelu`` means in the TensorFlow code is an argument, and ``tanh`` unless said otherwise:
that is what Google's code computes from such a checkpoint today. ``erf`` is right for code from
before, hence for the models of 2018 (BERT-Base, BERT-Large, multilingual BERT), and for logits
equal to those of their copies on the Hugging Face hub, which all say ``gelu``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kobert_kit.tensorflow1.json_file import read_json
from kobert_vocab.errors import InputError

Gelu = Literal["tanh", "erf"]

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
NORM_EPS = 1e-12  # of tf.contrib.layers.layer_norm, which Google's code does not let one set
_HUGGINGFACE_GELU: dict[Gelu, str] = {"tanh": "gelu_new", "erf": "gelu"}
_FORMS: dict[str, Gelu] = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
# What Google's code has only one of; older configurations do not say it.
_ONLY = {"position_embedding_type": "absolute", "is_decoder": False, "tie_word_embeddings": True}


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The settings that both sides have, under the names that both give them."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    initializer_range: float
    gelu: Gelu
    """The form that is computed."""

    def to_google(self) -> dict[str, object]:
        """``bert_config.json``, in which ``gelu`` stands for either form."""
        return {"hidden_act": "gelu"} | self._shared()

    def to_huggingface(self, architecture: str, pad_id: int) -> dict[str, object]:
        """``config.json`` of a class of `transformers`.

        Args:
            architecture: name of the class.
            pad_id: id of ``[PAD]``.
        """
        head = {"architectures": [architecture], "model_type": "bert"}
        rest = {
            "hidden_act": _HUGGINGFACE_GELU[self.gelu],
            "layer_norm_eps": NORM_EPS,
            "pad_token_id": pad_id,
            "tie_word_embeddings": True,
            "dtype": "float32",
        }
        return head | self._shared() | rest

    def _shared(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in SIZES + RATES}


def read_google(path: Path, gelu: Gelu) -> BertConfig:
    """The settings in a ``bert_config.json``; keys that Google's code does not read are left out.

    Args:
        path: the file.
        gelu: what ``gelu`` means in it.

    Raises:
        InputError: a key is missing, or has a value that cannot be.
    """
    raw = read_json(path)
    if raw.get("hidden_act") != "gelu":
        raise InputError(
            f"{path}: hidden_act is {raw.get('hidden_act')!r}; only 'gelu' can be converted"
        )
    return _config(raw, path, gelu)


def read_huggingface(path: Path, gelu: Gelu) -> BertConfig:
    """The settings in a ``config.json``, which must be such as Google's code can be given.

    Args:
        path: the file.
        gelu: the form that Google's code will compute.

    Raises:
        InputError: another kind of model, a key is missing or has a value that cannot be, or GELU
            is of the other form.
    """
    raw = read_json(path)
    if raw.get("model_type") != "bert":
        raise InputError(
            f"{path}: model_type is {raw.get('model_type')!r}; only 'bert' can be converted"
        )
    for name, value in (_ONLY | {"layer_norm_eps": NORM_EPS}).items():
        if raw.get(name, value) != value:
            raise InputError(f"{path}: {name} is {raw[name]!r}; Google's code has only {value!r}")
    form = _FORMS.get(str(raw.get("hidden_act")))
    if form is None:
        raise InputError(
            f"{path}: hidden_act is {raw.get('hidden_act')!r}; known are {', '.join(_FORMS)}"
        )
    if form != gelu:
        raise InputError(
            f"{path}: hidden_act is {raw['hidden_act']!r}, the {form} form of GELU, and TensorFlow "
            f"would compute the {gelu} form (activations move by up to 0.0005); say --gelu {form} "
            "if that is what your TensorFlow code computes, or if you accept the difference"
        )
    return _config(raw, path, gelu)


def _config(raw: dict[str, Any], path: Path, gelu: Gelu) -> BertConfig:
    for name in SIZES + RATES:
        if name not in raw:
            raise InputError(f"{path}: no {name}; take the file that came with the model")
    for name in SIZES:
        if type(raw[name]) is not int or raw[name] < 1:
            raise InputError(f"{path}: {name} is {raw[name]!r}; it must be a number from 1")
    for name in RATES:
        if type(raw[name]) not in (int, float) or not 0 <= raw[name] < 1:
            raise InputError(f"{path}: {name} is {raw[name]!r}; it must lie in [0, 1)")
    if raw["hidden_size"] % raw["num_attention_heads"]:
        raise InputError(
            f"{path}: hidden_size {raw['hidden_size']} cannot be shared among "
            f"{raw['num_attention_heads']} heads; take the file that came with the model"
        )
    return BertConfig(gelu=gelu, **{name: raw[name] for name in SIZES + RATES})
