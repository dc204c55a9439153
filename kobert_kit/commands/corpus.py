"""``kobert corpus``: build, inspect, plan, show."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg
from tyro.extras import SubcommandApp

from kobert_kit.batches.options import DataConfig, Phase
from kobert_kit.commands.arguments import Folder, Inputs
from kobert_vocab.errors import InputError

app = SubcommandApp()


@app.command(name="build")
def build(
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


@app.command(name="inspect")
def inspect(
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


@app.command(name="plan")
def plan(
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


@app.command(name="show")
def show(
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

    if config is None and phase is not None:
        raise InputError("--phase is one of a run: give its --config too")
    if config is not None:
        seed, step, data = batch_of_run(config, phase, step, seed=seed, data=data, given=sys.argv)
    print_batch(corpus, vocab, seed=seed, step=step, data=data)
