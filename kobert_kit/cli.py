"""``kobert``: one command per stage, run so that a person can read what goes wrong."""

import errno
import logging
import os
import sys
from pathlib import Path

import tyro

from kobert_kit.commands import corpus, kernels, vocab
from kobert_kit.commands.check_kobert import check_kobert
from kobert_kit.commands.convert import convert
from kobert_kit.commands.demo import demo
from kobert_kit.commands.export import export
from kobert_kit.commands.fill_mask import fill_mask
from kobert_kit.commands.pretraining import plan, pretrain
from kobert_kit.commands.push import push
from kobert_kit.launch import is_first, is_first_to_tell
from kobert_kit.pretraining.config_file import flags_from_toml
from kobert_vocab.child import ChildError
from kobert_vocab.errors import InputError

# Packages that a plain install lacks, and the extra that brings them.
EXTRAS = {"torch": "train", "huggingface_hub": "train"} | dict.fromkeys(
    ("onnx_ir", "onnxruntime", "onnxscript", "transformers"), "onnx"
)
# Commands that take a run's TOML file, and what of it; None is all.
CONFIGURED = {
    "pretrain": None,
    "plan": (
        *("steps", "budget", "from", "micro_batches", "parallel", "precision", "recompute"),
        *("model", "data"),
    ),
    "corpus show": ("vocab", "seed", "data"),
}


app = tyro.extras.SubcommandApp()
app.command(demo)
app.command(vocab.app, name="vocab", help="Vocabularies: train, verify, report, extend, convert.")
app.command(corpus.app, name="corpus", help="Corpora: build, inspect, plan, show.")
app.command(pretrain)
app.command(plan)
app.command(fill_mask)
app.command(convert)
app.command(check_kobert)
app.command(export)
app.command(push)
app.command(kernels.app, name="kernels", help="Fused kernels: check, inspect, report, bench, tune.")


def _of_the_system(error: OSError) -> str:
    what = str(error.strerror or error) + (f": {error.filename}" if error.filename else "")
    if error.errno != errno.ENOSPC:
        return what
    resume = " with --resume" if sys.argv[1:2] == ["pretrain"] else ""
    return f"{what}: free some and run the same command again{resume}; what is done is kept"


def main() -> None:
    """Run the command line; what a person can mend is one line and exit code 2."""
    # Of several processes one warns of what all see; errors are told by whoever has them first.
    level = logging.INFO if is_first() else logging.ERROR
    # What libraries note at that level, each request to the hub and each node of a graph, is not
    # for who runs a command.
    logging.basicConfig(level=max(level, logging.WARNING), format="%(message)s", stream=sys.stderr)
    for package in ("kobert_kit", "kobert_kernels", "kobert_vocab"):
        logging.getLogger(package).setLevel(level)
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app.cli(
            prog="kobert",
            description="From raw text to a Korean or multilingual BERT. --debug shows tracebacks.",
            args=_with_config(arguments),
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except InputError as error:
        if debug:
            raise
        sys.exit(_fail(str(error)))
    except BrokenPipeError:  # the reader has gone, as in `kobert --help | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a full disk, a folder that may not be written
        if debug:
            raise
        sys.exit(_fail(_of_the_system(error)))
    except ChildError as error:  # the end of SentencePiece's log
        if debug:
            raise
        sys.exit(_fail(f"{str(error).splitlines()[-1]} (--debug shows more)"))
    except ModuleNotFoundError as error:
        if debug or error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        sys.exit(_fail(f"this needs {error.name}: pip install 'kobert-kit[{extra}]'"))
    except ValueError as error:
        kernels = sys.modules.get("kobert_kernels.dispatch")  # imported late, with torch
        if debug or kernels is None or not isinstance(error, kernels.OverrideError):
            raise
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        if debug:
            raise
        sys.exit(_fail("stopped", code=130))  # what a shell expects after Ctrl-C


def _fail(message: str, code: int = 2) -> int:
    if is_first_to_tell():
        print(f"kobert: {message}", file=sys.stderr)  # noqa: T201
    return code


def _with_config(arguments: list[str]) -> list[str]:
    """Put the settings of ``--config FILE`` before the flags, which then win."""
    for command, only in CONFIGURED.items():
        words = command.split()
        if arguments[: len(words)] != words:
            continue
        for place, argument in enumerate(arguments):
            if argument.split("=")[0] == "--config":
                path = argument.partition("=")[2] or "".join(arguments[place + 1 : place + 2])
                if path:  # else tyro says that the value is missing
                    flags = flags_from_toml(Path(path), only)
                    return [*words, *flags, *arguments[len(words) :]]
    return arguments


if __name__ == "__main__":
    main()
