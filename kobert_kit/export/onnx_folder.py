"""A model as an ONNX graph in the folder that transformers.js, `optimum` and others look into.

What is traced is `transformers`' own class. The folder appears only if ONNX Runtime gives by the
graph what our encoder gives without padding.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir
import torch
import transformers
from torch import Tensor, nn
from torch.export import Dim
from tqdm import tqdm
from transformers.utils import logging as their_logging

from kobert_kit.encoder import ElectraDiscriminator, Encoder, EncoderConfig, PretrainingModel
from kobert_kit.encoder.huggingface.folder import CONFIG, OpenFolder, open_folder
from kobert_kit.encoder.huggingface.hub import local_folder
from kobert_kit.export.model_card import carry_card
from kobert_kit.export.onnx_check import TOLERANCE, Agreement, Ours, compare
from kobert_kit.export.onnx_files import GRAPH, WEIGHTS
from kobert_kit.export.tokenizer_files import copy_tokenizer
from kobert_kit.inference.packs import Pack
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder, refuse_existing

# A protobuf message ends at 2 GiB, and the graph itself takes a few MB.
LARGEST_WHOLE = 2_000_000_000  # bytes of weights
# What PyTorch's exporter writes without converting; ONNX Runtime reads it since 1.14 (2023).
OPSET = 18
_CLASSES = ("ForPreTraining", "ForMaskedLM", "Model")
_SECTION = """
## With ONNX Runtime

`onnx/model.onnx` takes {inputs}, of any number of texts padded on the right, and gives `{output}`. It is in fp32.
"""  # noqa: E501  # a paragraph of Markdown


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What the weights of a folder are for."""

    theirs: str
    """The class of `transformers` that loads them."""
    output: str
    """What its graph gives."""
    ours: Callable[[Path], Ours]


def _vectors(folder: Path) -> Ours:
    encoder = Encoder.from_pretrained(folder)
    return lambda pack: encoder(**vars(pack))


def _masked_logits(folder: Path) -> Ours:
    model = PretrainingModel.from_pretrained(folder)

    def run(pack: Pack) -> Tensor:
        x = model.encoder(**vars(pack))
        return model.masked_logits(x, torch.arange(len(x)))

    return run


def _replaced_logits(folder: Path) -> Ours:
    model = ElectraDiscriminator.from_pretrained(folder)
    return lambda pack: model(**vars(pack))


_KINDS = {
    # By a tensor that only it has; the first one that a folder has.
    "discriminator.replaced.weight": _Kind(
        theirs="AutoModelForPreTraining", output="logits", ours=_replaced_logits
    ),
    "masked_language.dense.weight": _Kind(
        theirs="AutoModelForMaskedLM", output="logits", ours=_masked_logits
    ),
    "encoder.embeddings.words.weight": _Kind(
        theirs="AutoModel", output="last_hidden_state", ours=_vectors
    ),
}


def export_onnx(model: str | Path, out: Path) -> Agreement:
    """Write ``config.json``, the tokenizer and ``onnx/model.onnx``, in fp32, into a new folder.

    The graph gives the logits of the masked-language head, or of ELECTRA's discriminator, if there
    is one, else the vectors of the tokens. Number and length of the texts are free.

    Args:
        model: a model folder, or a name on the hub.
        out: folder to make.

    Returns:
        How far the graph is from our encoder.

    Raises:
        InputError: no model of ours, no tokenizer, a head of another task, ``out`` exists, or the
            graph gives something else than our encoder; nothing is written then.
    """
    refuse_existing(out)
    folder = local_folder(model)
    with (
        new_folder(out) as partial,
        tqdm(total=3, unit="step", desc="export to onnx", disable=None) as steps,
    ):
        with open_folder(folder) as given:
            config, kind = given.config, _kind_of(given)
        copy_tokenizer(folder, config.vocab_size, partial)
        inputs = input_names(config)
        (partial / GRAPH).parent.mkdir()
        with _quiet():
            theirs = _load(folder, kind)
            steps.update()
            _write_graph(_traced(theirs, inputs, kind.output, config), partial / GRAPH)
        _write_config(theirs, partial)
        steps.update()
        agreement = compare(partial / GRAPH, config, kind.ours(folder))
        _check(agreement, folder)
        said = ", ".join(f"`{name}`" for name in inputs)
        section = _SECTION.format(inputs=said, output=kind.output)
        carry_card(folder, partial, section=section, tags=("onnx",))
        steps.update()
    return agreement


def input_names(config: EncoderConfig) -> list[str]:
    """The inputs of a graph: segments only where a model has two."""
    two = config.family == "bert" and config.segments > 1
    return ["input_ids", "attention_mask", *(["token_type_ids"] if two else [])]


def _kind_of(given: OpenFolder) -> _Kind:
    path = given.path / CONFIG
    classes = json.loads(path.read_text(encoding="utf-8")).get("architectures") or []
    for name in map(str, classes):
        if not name.endswith(_CLASSES):  # nothing would be left of what it is for
            raise InputError(
                f"{path}: a {name}; what can be exported to onnx is the encoder with or without "
                "its masked-language head, and ELECTRA's discriminator"
            )
    for tensor, kind in _KINDS.items():
        if given.has(tensor):
            return kind
    raise InputError(f"{given.path}: the weights lack the encoder's word embedding")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without their bar, their table of tensors that a class leaves, and operators not installed.

    Our own loading has checked the tensors.
    """
    exporter = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = their_logging.get_verbosity(), exporter.level, their_logging.is_progress_bar_enabled()
    their_logging.set_verbosity(logging.ERROR)
    exporter.setLevel(logging.ERROR)
    their_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        their_logging.set_verbosity(before[0])
        exporter.setLevel(before[1])
        if before[2]:
            their_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _load(folder: Path, kind: _Kind) -> nn.Module:
    # Plain attention: SDPA becomes the same products with 11 nodes more in each layer, which put
    # right what minus infinity does to a padded position that sees nothing in its window.
    model: nn.Module = getattr(transformers, kind.theirs).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, trust_remote_code=False
    )
    return model


class _Graph(nn.Module):
    """What is traced: the inputs by name, the first output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        first: Tensor = self.model(**inputs)[0]
        return first


def _traced(
    model: nn.Module, inputs: list[str], output: str, config: EncoderConfig
) -> onnx_ir.Model:
    longest = config.max_positions
    if longest < 4:  # tracing takes a length of one for a constant
        raise InputError(f"the model takes {longest} tokens; a graph needs one of at least 4")
    axes = {0: Dim("batch_size"), 1: Dim("sequence_length", max=longest)}
    shape = (2, min(longest, 7))  # no size stands for another
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch 2.13's exporter calls what PyTorch 2.13 calls deprecated.
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        # It warns that an axis of one input is that of another: so they are meant.
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)
        program = torch.onnx.export(
            _Graph(model).eval(),
            # Of each input its own: of one tensor the graph would have one input.
            kwargs={name: torch.ones(shape, dtype=torch.int64) for name in inputs},
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=dict.fromkeys(inputs, axes),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # it is only without dynamo
    return program.model


def _write_graph(graph: onnx_ir.Model, path: Path) -> None:
    """Write it without the exporter's notes: they hold paths of this machine's source files."""
    for node in graph.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    graph.metadata_props.clear()
    graph.graph.metadata_props.clear()
    weights: list[Any] = [one.const_value for one in graph.graph.initializers.values()]
    large = sum(tensor.nbytes for tensor in weights) > LARGEST_WHOLE
    onnx_ir.save(graph, path, external_data=WEIGHTS if large else None)


def _write_config(model: Any, folder: Path) -> None:  # noqa: ANN401  # a class of theirs
    """``config.json`` for the class that was traced, which decides what tools make of a graph."""
    model.config.architectures = [type(model).__name__]
    if (folder / GRAPH).with_name(WEIGHTS).exists():  # transformers.js has to be told
        setattr(
            model.config,
            "transformers.js_config",
            {"use_external_data_format": {Path(GRAPH).name: True}},
        )
    model.config.save_pretrained(folder)


def _check(agreement: Agreement, folder: Path) -> None:
    if not agreement.holds:
        raise InputError(
            f"{folder}: by ONNX Runtime {agreement.difference:.1e} of the largest value away from "
            f"the encoder, {TOLERANCE:.0e} would be rounding; the graph was thrown away. Try the "
            "versions of constraints.txt, and report it"
        )
