"""``kobert``: one command per stage. What a command needs is imported when it runs."""

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from kobert_kit.batches.options import DataConfig, Phase
from kobert_kit.launch import has_others, is_first, is_first_to_tell
from kobert_kit.pretraining.config import ModelConfig, PretrainConfig, TrainingPhase
from kobert_kit.pretraining.config_file import flags_from_toml, read_phases, with_phases
from kobert_vocab.child import ChildError
from kobert_vocab.errors import InputError

Inputs = Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
Texts = Annotated[tuple[str, ...], arg(metavar="TEXT...")]
Folder = Annotated[Positional[Path], arg(metavar="DIR")]

TRAINING_PACKAGES = ("torch",)
# Commands that take a run's TOML file, and what of it; None is all.
CONFIGURED = {
    "pretrain": None,
    "plan": (
        *("steps", "budget", "micro_batches", "parallel", "precision", "recompute"),
        *("model", "data"),
    ),
    "corpus show": ("vocab", "seed", "data"),
}

app = tyro.extras.SubcommandApp()
vocab_app = tyro.extras.SubcommandApp()
corpus_app = tyro.extras.SubcommandApp()
kernels_app = tyro.extras.SubcommandApp()


@app.command
def demo(*, out: Path = Path("demo")) -> None:
    """All stages on the bundled sample: a report, filled masks, a loadable model.

    Args:
        out: Folder to make.
    """
    from kobert_kit.demo import run_demo

    run_demo(out)


app.command(vocab_app, name="vocab", help="Vocabularies: train, verify, report, extend.")
app.command(corpus_app, name="corpus", help="Corpora: build, inspect, plan, show.")
app.command(kernels_app, name="kernels", help="Fused kernels: check, inspect, report, bench, tune.")


@vocab_app.command(name="train")
def vocab_train(
    inputs: Inputs,
    /,
    *,
    out: Path,
    size: int = 32_000,
    boundaries: Literal["all", "je", "none"] = "all",
    rate: float = 0.92,
    analyser: Annotated[Literal["kiwi", "rules"] | None, arg(metavar="{kiwi,rules}")] = None,
    alpha: float = 0.3,
    korean_floor: float = 0.15,
    korean_cap: float = 1.0,
    parallel: Path | None = None,
    words: Path | None = None,
    unused: int = 100,
    work: Path | None = None,
) -> None:
    """Build a Korean-aware SentencePiece vocabulary from text.

    Args:
        inputs: Files or folders of .txt, .jsonl, .csv, .tsv, .wet, Wikipedia .xml (also .gz, .bz2
            or .zst) and .parquet, or data sets of the Hugging Face hub (wikipedia:20231101.ko). A
            language tag may stand before one: ko=news.jsonl.gz. Without a tag the file's or
            folder's name tells.
        out: Folder to make; transformers' AutoTokenizer loads it.
        size: Pieces, special ones included.
        boundaries: What Korean pieces should not cross: all morphemes, only where particles,
            endings and suffixes begin (je), or none.
        rate: How much of a word's weight respects these boundaries: at 1 hardly a piece crosses
            one, lower rates let frequent words and endings stay whole.
        analyser: What finds the morphemes; kiwi where it is installed, else rules.
        alpha: Language shares are text sizes to this power: 1 as the text is, 0 all equal.
        korean_floor: Least share of Korean, if it is there.
        korean_cap: Largest share of Korean, if it is not alone.
        parallel: Folder of line-aligned LANGUAGE.txt files, en.txt among them: shares are moved
            until languages need about as many tokens to say the same.
        words: File of words that must be one piece each, one per line.
        unused: Ids kept free, [unused0] and so on.
        work: Folder for the steps, kept afterwards: a later run with other options is faster.
    """
    from kobert_vocab import train

    train(
        inputs,
        out,
        size=size,
        boundaries=boundaries,
        rate=rate,
        analyser=analyser,
        alpha=alpha,
        korean_floor=korean_floor,
        korean_cap=korean_cap,
        parallel=parallel,
        words=words,
        unused=unused,
        work=work,
    )
    print(f"vocabulary: {out}   report: {out / 'report.html'}")  # noqa: T201


@vocab_app.command(name="verify")
def vocab_verify(vocab: Folder, inputs: Inputs = (), /) -> None:
    """Prove that SentencePiece and the fast tokenizer give the same ids.

    Args:
        vocab: Vocabulary folder.
        inputs: Text to try as well; without it the folder's own hard cases alone.
    """
    from kobert_vocab import find_sources, read_all, verify

    sources = find_sources(inputs) if inputs else []
    texts = (line for doc in read_all(sources, "verify") for line in doc.text.splitlines())
    count = verify(vocab, texts)
    print(f"{vocab}: {count:,} texts, no difference")  # noqa: T201


@vocab_app.command(name="report")
def vocab_report(
    vocabularies: Annotated[Positional[tuple[str, ...]], arg(metavar="DIR...")],
    /,
    *,
    on: Texts,
    gold: tuple[Path, ...] = (),
    parallel: Path | None = None,
    out: Path | None = None,
    json: Path | None = None,
) -> None:
    """Compare vocabularies side by side: ours, any Hugging Face or SentencePiece one.

    Args:
        vocabularies: Vocabulary folders, tokenizer.json files, SentencePiece .model files.
        on: Text to measure on, as INPUT of vocab train; best such as none was learnt from.
        gold: Files of gold morphemes: Universal Dependencies .conllu, KLUE-DP .tsv; also packed.
        parallel: Folder of line-aligned LANGUAGE.txt files, en.txt among them, for parity.
        out: HTML page to write.
        json: JSON file to write.
    """
    from kobert_vocab.report import as_json, compare, render, write_page

    for path in filter(None, (out, json)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before long work
    comparison = compare(vocabularies, on, gold=gold, parallel=parallel)
    print(render(comparison), end="")  # noqa: T201
    if json:
        json.write_text(as_json(comparison), encoding="utf-8")
    if out:
        write_page(comparison, out)
        print(f"report: {out}")  # noqa: T201


@vocab_app.command(name="extend")
def vocab_extend(
    base: Annotated[Positional[str], arg(metavar="BASE")],
    /,
    *,
    texts: Annotated[tuple[str, ...], arg(name="with", metavar="INPUT...")],
    add: int,
    out: Path,
    size: int | None = None,
    on: tuple[str, ...] = (),
) -> None:
    """Add Korean or domain pieces to multilingual BERT's, XLM-R's or a like vocabulary.

    Args:
        base: Folder with tokenizer.json, or a model's name on the Hugging Face hub.
        texts: Text to learn pieces from, as INPUT of vocab train; or one vocabulary folder.
        add: Pieces to add.
        out: Folder to make; embeddings.safetensors in it says how new embeddings begin.
        size: Of the vocabulary that pieces are taken from; 32,000 if not given.
        on: Text to measure the gain on; the same text if not given.
    """
    from kobert_vocab.extension.extend import extend

    extended = extend(base, texts, out, add=add, size=size, on=on)
    print(f"vocabulary: {out}   new ids from {extended.base_size:,}")  # noqa: T201


@corpus_app.command(name="build")
def corpus_build(
    inputs: Inputs,
    /,
    *,
    vocab: Path,
    out: Path,
    held_out: float = 0.01,
    sentences: Literal["rules", "kiwi"] = "rules",
    workers: int = 1,
    strict: bool = False,
    work: Path | None = None,
    ray: bool = False,
) -> None:
    """Clean text, drop copies, mask personal data, and turn it into token shards.

    Args:
        inputs: As for ``vocab train``.
        vocab: Vocabulary folder.
        out: Folder to make.
        held_out: Share of each language's documents kept for evaluation.
        sentences: What splits Korean text. kiwi also finds the morphemes, for masks of whole
            morphemes, and takes a hundred times as long as rules.
        workers: Processes.
        strict: Stop at the first fault in an input; by default it is left out and counted.
        work: Folder for finished parts, kept afterwards; a later build takes from it what it can.
        ray: Make the parts on the Ray cluster that RAY_ADDRESS names, or else on --workers
            processes of a Ray started here. All machines must see the inputs, --out and --work.
    """
    from kobert_kit.corpus.build import build_corpus

    manifest = build_corpus(
        inputs,
        vocab=vocab,
        out=out,
        held_out=held_out,
        sentences=sentences,
        workers=workers,
        strict=strict,
        work=work,
        ray=ray,
    )
    counts = manifest.languages.values()
    print(  # noqa: T201
        f"corpus: {out}: {len(counts)} languages, {sum(c.documents for c in counts):,} documents, "
        f"{sum(c.tokens for c in counts):,} tokens"
    )


@corpus_app.command(name="inspect")
def corpus_inspect(
    corpus: Folder,
    /,
    *,
    vocab: Path | None = None,
    json: Path | None = None,
    out: Path | None = None,
) -> None:
    """Show what is in a corpus: languages, sources, what was dropped and what cleaning took.

    Args:
        corpus: Corpus folder.
        vocab: Folder of the vocabulary it was built with; shows some of its text on the page.
        json: JSON file to write, with everything.
        out: HTML page to write.
    """
    from kobert_kit.corpus.inspection import as_json, inspect_corpus
    from kobert_kit.corpus.inspection_page import write_page
    from kobert_kit.corpus.inspection_table import render

    inspection = inspect_corpus(corpus, vocab)
    print(render(inspection), end="")  # noqa: T201
    for path in filter(None, (json, out)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if json:
        json.write_text(as_json(inspection), encoding="utf-8")
    if out:
        write_page(inspection, out)
        print(f"report: {out}")  # noqa: T201


@corpus_app.command(name="plan")
def corpus_plan(
    corpus: Folder,
    /,
    *,
    phase: Annotated[Phase, arg(name="")],
    length: int = 512,
    phases: Path | None = None,
) -> None:
    """Show how much of each language a plan reads, and how often.

    Args:
        corpus: Corpus folder.
        phase: The plan, if it has one phase; without --windows one that reads as many tokens as
            there are.
        length: Tokens of a window.
        phases: TOML file of several phases, each a [[phase]] with these settings.
    """
    from kobert_kit.batches.plan_table import plan_table, read_phases
    from kobert_kit.corpus.shards import Corpus

    plan = [phase] if phases is None else read_phases(phases)
    print(plan_table(Corpus.load(corpus).manifest, plan, length), end="")  # noqa: T201


@corpus_app.command(name="show")
def corpus_show(
    corpus: Folder,
    /,
    *,
    step: int,
    vocab: Path,
    config: Path | None = None,
    phase: int | None = None,
    seed: int = 0,
    data: DataConfig,
) -> None:
    """Print the batch of any step: its texts with their masks, and where they come from.

    Args:
        corpus: Corpus folder.
        step: Which batch, from 0; of --phase, if that is given.
        vocab: Vocabulary folder.
        config: config.toml of a run, for its vocabulary, seed and data settings; flags win.
        phase: Of the run, from 1.
        seed: Of the run.
        data: How the corpus becomes batches.
    """
    from kobert_kit.batches.preview import print_batch
    from kobert_kit.pretraining.batch_of_run import batch_of_run

    if config is not None:
        seed, step, data = batch_of_run(config, phase, step, seed=seed, data=data, given=sys.argv)
    print_batch(corpus, vocab, seed=seed, step=step, data=data)


@app.command
def pretrain(
    *,
    settings: Annotated[PretrainConfig, arg(name="")],
    config: Path | None = None,
    resume: bool = False,
    resume_if_begun: bool = False,
    verify_resume: bool = False,
) -> None:
    """Pretrain a BERT on a corpus.

    Args:
        settings: The run.
        config: TOML file with these settings; flags given beside it win.
        resume: Go on from the newest checkpoint in --out.
        resume_if_begun: Go on if --out is a run already, and begin one if not: for a cluster, which
            repeats the command line of a job that it starts again.
        verify_resume: Only try whether this machine goes on bit for bit after a stop; leaves
            nothing behind.
    """
    from kobert_kit.pretraining.run import pretrain as run
    from kobert_kit.pretraining.verify_resume import verify_resume as verify

    settings = with_phases(settings, config, given=sys.argv)
    if verify_resume:
        if has_others():
            raise InputError("--verify-resume tries one process; start it without torchrun")
        print(verify(settings))  # noqa: T201
        return

    # Not any folder: a mistyped --out must not be written to. All processes look before one writes.
    begun = resume_if_begun and (settings.out / "config.toml").exists()
    run(settings, resume=resume or begun)
    if is_first():
        print(f"model: {settings.out / 'model'}   report: {settings.out / 'report.html'}")  # noqa: T201


@app.command
def plan(
    *,
    steps: int | None = None,
    budget: str | None = None,
    config: Path | None = None,
    vocab_size: int = 32_000,
    micro_batches: int | None = None,
    precision: Literal["fp32", "bf16"] = "bf16",
    recompute: bool = False,
    model: ModelConfig,
    data: DataConfig,
    gpu: str = "H100",
    gpus: int = 1,
    parallel: Literal["ddp", "fsdp"] = "ddp",
    mfu: float = 0.4,
    tokens_per_second: float | None = None,
    dollars: float | None = None,
    won: float = 1_400.0,
) -> None:
    """Count what a run would take: parameters, operations, memory, time and cost.

    Args:
        steps: Batches to train on; or give --budget.
        budget: Time to train for, as 24h: how far it gets in that.
        config: TOML file of a run; flags given beside it win.
        vocab_size: Pieces.
        micro_batches: Parts that each batch is worked on in; as many as GPUs if not given.
        precision: Of matrix products, and of what is kept for the backward pass.
        recompute: Compute each layer again in the backward pass.
        model: Shape of the encoder.
        data: How the corpus becomes batches.
        gpu: H200, H100, A100, L40S, RTX4090, L4 or RTX3090.
        gpus: How many.
        parallel: How several share the work: each has the whole model, or a part of it.
        mfu: Share of the GPU's peak that is reached.
        tokens_per_second: Of one GPU, if you have measured it; then --mfu is not used.
        dollars: Price of one GPU for an hour, for the cost.
        won: Price of a dollar.
    """
    from kobert_kit.pretraining.gpus import Gpus
    from kobert_kit.pretraining.plan import make_plan
    from kobert_kit.pretraining.plan_text import render

    whole = TrainingPhase(share=1.0, micro_batches=micro_batches, data=data)
    phases = (read_phases(config, whole, given=sys.argv) if config else ()) or (whole,)
    shown = make_plan(
        *(model, phases),
        vocabulary=vocab_size,
        steps=steps,
        budget=budget,
        gpus=Gpus(
            kind=gpu, count=gpus, mfu=mfu, tokens_per_second=tokens_per_second, parallel=parallel
        ),
        bf16=precision == "bf16",
        recompute=recompute,
    )
    text = render(shown, dollars=dollars, won=won)
    print(text, end="")  # noqa: T201


@app.command
def fill_mask(
    model: Folder,
    text: Annotated[Positional[str | None], arg(metavar="[TEXT]")] = None,
    /,
    *,
    top: int = 5,
) -> None:
    """Fill each [MASK] in a text, or in text after text.

    Args:
        model: Model folder: of a run, or any Hugging Face BERT or ModernBERT with tokenizer.json.
        text: With at least one [MASK]; without it texts are asked for, or read from a pipe, one in
            each line.
        top: Pieces to show for each mask.
    """
    from kobert_kit.fill_mask import MaskFiller
    from kobert_kit.mask_prompt import answer, ask

    filler = MaskFiller(model)
    if text is not None:
        print(answer(filler, text, top))  # noqa: T201
    elif not ask(filler, top):
        sys.exit(2)


@kernels_app.command(name="check")
def kernels_check(
    *,
    ops: tuple[str, ...] = (),
    dtypes: tuple[str, ...] = (),
    small: bool = False,
    out: Path | None = None,
) -> None:
    """Compare every kernel with PyTorch in fp64, on the GPU or without one in the interpreter.

    Args:
        ops: Ops to check; all if not given.
        dtypes: fp32, fp16, bf16; all that can be tested here if not given.
        small: On a GPU too only the cases that the interpreter takes.
        out: JSON file for every number.
    """
    from kobert_kit.kernel_commands import check

    if not check(ops, dtypes, small=small, out=out):
        sys.exit(1)


@kernels_app.command(name="inspect")
def kernels_inspect(
    *,
    ops: tuple[str, ...] = (),
    archs: tuple[str, ...] = (),
    fresh: bool = False,
    write: bool = False,
) -> None:
    """Compile every kernel for four GPUs that need not be here: registers, spills, bytes moved.

    Args:
        ops: Ops to audit; all if not given.
        archs: sm_80, sm_90, sm_100, gfx942; all if not given.
        fresh: Compile also what has not changed since the committed audit.
        write: Replace the committed audit.
    """
    from kobert_kit.kernel_commands import inspect

    if not inspect(ops, archs, fresh=fresh, write=write):
        sys.exit(1)


@kernels_app.command(name="bench")
def kernels_bench(
    *,
    ops: tuple[str, ...] = (),
    out: Path = Path("benchmarks/results"),
    dispatch: Annotated[bool, arg(name="update-dispatch")] = False,
) -> None:
    """Time every implementation of every op, and write the tables.

    Args:
        ops: Ops to time; all if not given.
        out: Folder for <device>.json and <device>.md.
        dispatch: Let these times decide what runs on this kind of device from now on.
    """
    from kobert_kit.kernel_commands import bench

    bench(ops, out, dispatch=dispatch)


@kernels_app.command(name="tune")
def kernels_tune(*, ops: tuple[str, ...] = ()) -> None:
    """Find the launch parameters that are fastest on this GPU, and put them in the table.

    Args:
        ops: Ops to tune; all if not given.
    """
    from kobert_kit.kernel_commands import tune

    tune(ops)


@kernels_app.command(name="report")
def kernels_report() -> None:
    """Say for each kind of call which implementation runs, why, and why not the others."""
    from kobert_kit.kernel_commands import report

    report()


def _of_the_system(error: OSError) -> str:
    what = str(error.strerror or error) + (f": {error.filename}" if error.filename else "")
    if error.errno != errno.ENOSPC:
        return what
    return f"{what}: free some and run the same command again; what is done is kept"


def main() -> None:
    """Run the command line; what a person can mend is one line and exit code 2."""
    # Of several processes one warns of what all see; errors are told by whoever has them first.
    level = logging.INFO if is_first() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
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
        if debug or error.name not in TRAINING_PACKAGES:
            raise
        sys.exit(_fail(f"this needs {error.name}: pip install 'kobert-kit[train]'"))
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
