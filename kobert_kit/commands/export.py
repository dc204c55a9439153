"""``kobert export``."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from kobert_vocab.errors import InputError

Form = Literal["onnx", "sentence-transformers", "kernels-hub"]


def export(
    model: Annotated[Positional[str | None], arg(metavar="[MODEL]")] = None,
    /,
    *,
    to: Form,
    out: Path,
    pooling: Annotated[Literal["mean", "first"] | None, arg(metavar="{mean,first}")] = None,
    normalise: bool = False,
    max_length: Annotated[int | None, arg(metavar="TOKENS")] = None,
    repository: Annotated[str | None, arg(metavar="OWNER/NAME")] = None,
) -> None:
    """Write a model, or the kernels, in a form that other programs take.

    Args:
        model: Model folder, or a model of the hub; not for kernels-hub.
        to: onnx: a graph that ONNX Runtime and transformers.js run, compared with our encoder
            before it is kept. sentence-transformers: a folder that gives vectors of texts.
            kernels-hub: no model but our kernels, as a project for Hugging Face's kernel-builder.
        out: Folder to make.
        pooling: sentence-transformers: a text's vector is the mean of those of its tokens, or that
            of the first one; the mean if not given.
        normalise: sentence-transformers: make each vector's length 1.
        max_length: sentence-transformers: tokens after which a text is cut off; what the model
            takes if not given.
        repository: kernels-hub: OWNER/NAME on the hub, where it will be published.
    """
    for form, flag, value in (
        ("sentence-transformers", "pooling", pooling),
        ("sentence-transformers", "normalise", normalise or None),
        ("sentence-transformers", "max-length", max_length),
        ("kernels-hub", "repository", repository),
    ):
        if value is not None and to != form:
            raise InputError(f"--{flag} is a setting of --to {form}; leave it out")
    if to == "kernels-hub":
        if model is not None:
            raise InputError(f"{model}: --to kernels-hub takes no model; leave it out")
        _kernels(out, repository)
    elif model is None:
        raise InputError(f"--to {to} needs a model: kobert export MODEL --to {to} --out {out}")
    elif to == "onnx":
        _onnx(model, out)
    else:
        from kobert_kit.export.sentence_transformers_folder import export_sentence_transformers

        export_sentence_transformers(
            model, out, pooling=pooling or "mean", normalise=normalise, longest=max_length
        )
        print(f"sentence-transformers: {out}")  # noqa: T201


def _onnx(model: str, out: Path) -> None:
    from kobert_kit.export.onnx_files import GRAPH
    from kobert_kit.export.onnx_folder import export_onnx

    found = export_onnx(model, out)
    print(  # noqa: T201
        f"onnx: {out / GRAPH}   {found.difference:.0e} of the largest value away from the encoder "
        f"without padding, on {found.texts} texts of 1 to {found.longest} tokens"
    )


def _kernels(out: Path, repository: str | None) -> None:
    from kobert_kit.export.kernels_repository import export_kernels

    export_kernels(out, repository=repository)
    then = "" if repository else ", once build.toml and its test say where"
    print(f"kernels: {out}   publish it with kernel-builder build-and-upload{then}")  # noqa: T201
