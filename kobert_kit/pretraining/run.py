"""The pretraining loop."""

import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from kobert_kit.batches.loader import load, loaders_watched
from kobert_kit.pretraining.ahead import Ahead
from kobert_kit.pretraining.checkpoint import (
    Saver,
    copied,
    has_barely_begun,
    put_damaged_aside,
    remove_unfinished,
)
from kobert_kit.pretraining.config import PretrainConfig
from kobert_kit.pretraining.config_file import to_toml
from kobert_kit.pretraining.evaluation import Evaluation, Example, evaluate, examples
from kobert_kit.pretraining.example_history import kept_guesses
from kobert_kit.pretraining.metrics import Metrics, open_metrics
from kobert_kit.pretraining.model_folder import write_model
from kobert_kit.pretraining.processes import Processes, processes_of, put_away
from kobert_kit.pretraining.report import write_report
from kobert_kit.pretraining.run_state import Run, prepare
from kobert_kit.pretraining.trackers import check_installed
from kobert_kit.pretraining.train_step import rehearse, train_step
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import refuse_existing

logger = logging.getLogger(__name__)

SETTINGS = "config.toml"
UNKNOWN = 1 << 60  # steps of a phase that ends when its time does
Judged = tuple[Evaluation, list[Example]]


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    sentences: Mapping[str, str] | None = None,
) -> Evaluation:
    """Train a BERT on a corpus and leave a run folder with a Hugging Face model in it.

    Ctrl-C or SIGTERM ends the run after the step at hand, with a checkpoint to resume from and the
    model so far. Started by torchrun, each process takes its share of every batch.

    Args:
        config: all of the run.
        resume: go on from the newest checkpoint in ``config.out``, or from the beginning of a run
            that was killed before its first one. The number of processes may be another.
        stop_after: so many steps, as if Ctrl-C had been pressed then.
        sentences: texts by language code, which the report shows as pieces.

    Returns:
        The last evaluation.

    Raises:
        InputError: a folder cannot be used, the checkpoint is of another run, a step is bad, or a
            loader or another process of the run has died.
        OSError: a checkpoint cannot be written; known a step after it, or at the end.
    """
    check_installed(config)
    with processes_of(config.device) as processes:
        if not resume:
            refuse_existing(config.out)
        # One looks for all: they may see a shared disk at different times.
        goes_on = processes.of_the_first(resume and not _begins_again(config.out))
        run = prepare(config, processes)
        _open_folder(config, processes, goes_on=bool(goes_on))
        if goes_on:
            run.resume()
        if processes.first:  # not before: those of another run stay as they are
            _write_settings(config)
        with (
            loaders_watched(),
            open_metrics(config, run.progress.step, writes=processes.first) as metrics,
            Saver(config.out, run.identity, run.made_with, writes=processes.first) as saver,
            _stop_signal() as stop,
        ):
            judged = _loop(run, metrics, saver, stop, stop_after)
            saver.finish()
        _finish(run, judged, sentences or {})
        processes.wait()  # so that it is all there when any of them goes on
    evaluation, _ = judged
    return evaluation


def _begins_again(out: Path) -> bool:
    """Whether a run to go on with was stopped before its first checkpoint.

    Raises:
        InputError: the folder is not of a run.
    """
    # A run that was killed as it wrote its settings has left them half written.
    held = {path.name for path in out.iterdir()} - {f".{SETTINGS}"} if out.is_dir() else set()
    if held and SETTINGS not in held:
        raise InputError(f"{out}: not a run's folder (no {SETTINGS} in it); choose another --out")
    return has_barely_begun(out)


def _write_settings(config: PretrainConfig) -> None:
    beside = config.out / f".{SETTINGS}"
    beside.write_text(to_toml(config), encoding="utf-8")
    beside.replace(config.out / SETTINGS)


def _open_folder(config: PretrainConfig, processes: Processes, *, goes_on: bool) -> None:
    processes.wait()  # all have looked at it
    if processes.first:
        if not goes_on:  # else a mistyped one would be there the next time
            config.out.mkdir(parents=True, exist_ok=True)
        remove_unfinished(config.out)
        put_damaged_aside(config.out)
    processes.wait()


def _loop(
    run: Run, metrics: Metrics, saver: Saver, stop: "_Stop", stop_after: int | None
) -> Judged:
    config, first = run.config, run.progress.step
    judged: Judged | None = None
    clock = _Clock(run.progress.seconds)
    bar = tqdm(
        total=config.steps,
        initial=first,
        unit="step",
        desc="pretrain",
        disable=None if run.processes.first else True,
    )
    leaving = first == stop_after
    with bar:
        rehearse(run, _ahead(run))
        ahead = _ahead(run)
        if first and _lacks_evaluation(run, metrics):
            judged = _evaluate_and_tell(run, metrics)
        while not run.progress.finished and not leaving:
            saver.check()
            row = train_step(run, ahead, stop=lambda: stop.asked)
            leaving = bool(row.pop("stop"))
            if "bad" in row and _rolled_back(run, row, metrics, saver):
                bar.n, ahead = run.progress.step, _ahead(run)
                continue
            metrics.write(row)
            judged = None  # of the model before this step
            if _advance(run, clock, bar):
                ahead = _ahead(run)
            _show(bar, row)
            leaving = leaving or run.progress.step == stop_after
            if run.progress.step % config.evaluate_every == 0:
                judged = _save_and_evaluate(run, metrics, saver, clock)
        if judged is None and run.progress.step > first:
            judged = _save_and_evaluate(run, metrics, saver, clock)
        elif judged is None and _lacks_evaluation(run, metrics):
            judged = _evaluate_and_tell(run, metrics)
    return judged or _evaluate(run)


class _Clock:
    """Seconds of training, those of a run before it was stopped included."""

    def __init__(self, before: float) -> None:
        self._began = time.perf_counter() - before

    def __call__(self) -> float:
        return time.perf_counter() - self._began


def _ahead(run: Run) -> Ahead:
    """This process's share of the batches, from the step at hand to the end of its phase."""
    loaded = load(
        run.batches,
        range(run.step_of_phase, UNKNOWN),
        rank=run.processes.rank,
        ranks=run.processes.count,
        micro_batches=run.micro_batches,
        workers=run.config.loaders,
    )
    return Ahead(loaded, run.processes.device)


def _advance(run: Run, clock: _Clock, bar: tqdm) -> bool:
    """Count a step; whether another phase has begun."""
    progress, budget = run.progress, run.config.budget
    progress.advance(run.config.steps)
    another = progress.enter_phase(run.shares)
    if budget is not None and (another or progress.step >= progress.measure_at):
        progress.measure(run.processes.of_the_first(clock()), budget)
        bar.total = progress.step + progress.steps_left
    bar.update()
    if another:
        run.enter_phase()
    return another


def _rolled_back(run: Run, row: dict[str, object], metrics: Metrics, saver: Saver) -> bool:
    """Do with a bad step what the settings say; whether the run has gone back.

    Raises:
        InputError: they say to stop.
    """
    config, step, why = run.config, run.progress.step, row.pop("bad")
    if config.bad_step == "stop":
        phase = f" --phase {run.progress.phase + 1}" if len(run.shares) > 1 else ""
        raise InputError(
            f"step {step}: {why}. kobert corpus show --config {config.out / SETTINGS}{phase} "
            f"--step {run.step_of_phase} shows the batch; to leave such batches out: --resume "
            "--bad-step skip (or roll_back); or try a lower learning rate"
        )
    if config.bad_step == "skip" or step in run.left_out:
        row["skipped"] = True
        return False
    run.left_out.add(step)
    saver.finish()
    run.processes.wait()
    if run.processes.of_the_first(has_barely_begun(config.out)):
        run.begin()
    else:
        run.resume()
    metrics.drop_after(run.progress.step)
    metrics.write({"step": run.progress.step, "rolled_back_from": step, "why": why})
    logger.warning("step %s: %s; back to step %s, without it", step, why, run.progress.step)
    return True


def _show(bar: tqdm, row: Mapping[str, object]) -> None:
    bar.set_postfix(
        loss=f"{row['masked_loss']:.2f}",
        accuracy=f"{row['masked_accuracy']:.1%}",
        tokens_s=f"{row['tokens_per_second']:,.0f}",
        **({"mfu": f"{row['mfu']:.1%}"} if "mfu" in row else {}),
        refresh=False,
    )


def _save_and_evaluate(run: Run, metrics: Metrics, saver: Saver, clock: "_Clock") -> Judged:
    run.progress.seconds = clock()
    # In this order, since whoever sends SIGTERM may not wait for an evaluation.
    saver.save(run.trained, run.progress.as_dict())
    return _evaluate_and_tell(run, metrics)


def _lacks_evaluation(run: Run, metrics: Metrics) -> bool:
    """Whether there is none of the step at hand: a run was killed right after its checkpoint."""
    return bool(run.processes.of_the_first(not metrics.has_evaluation(run.progress.step)))


def _evaluate_and_tell(run: Run, metrics: Metrics) -> Judged:
    judged = evaluation, filled = _evaluate(run)
    guesses = kept_guesses(filled, run.vocabulary)
    metrics.write(
        {"step": run.progress.step, "evaluation": asdict(evaluation), "examples": guesses}
    )
    following = evaluation.next_accuracy
    if run.processes.first:
        tqdm.write(
            f"step {run.progress.step:,}: held-out loss {evaluation.loss:.3f}, masked accuracy "
            f"{evaluation.accuracy:.1%}"
            + (f", next sentence {following:.1%}" if following is not None else "")
        )
    return judged


def _evaluate(run: Run) -> Judged:
    device, model, batches = run.processes.device, run.trained.model, run.batches
    windows = max(1, batches.windows // run.micro_batches)  # what training has memory for
    with _what_is_kept(run):
        evaluation = evaluate(
            *(model, batches, run.vocabulary, run.config.evaluate_sequences, device),
            windows=windows,
        )
        filled = examples(model, batches, device, windows=windows)
        put_away(model)
    return evaluation, filled


def _what_is_kept(run: Run) -> AbstractContextManager[None]:
    """The model with the weights that it will be saved with."""
    average = run.trained.average
    return average.in_place() if average else nullcontext()


def _finish(run: Run, judged: Judged, sentences: Mapping[str, str]) -> None:
    """``model/`` and ``report.html``."""
    evaluation, filled = judged
    with _what_is_kept(run):
        weights = copied(run.trained.model.state_dict(), keep=run.processes.first)
    if run.processes.first:
        write_model(run, weights, evaluation)
        write_report(run.config.out, run.vocabulary, evaluation, filled, sentences)


PASSED_ON = 1.0  # seconds in which a launcher passes on a Ctrl-C that its processes have had too


class _Stop:
    asked = False
    since = 0.0


@contextmanager
def _stop_signal() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM ask to stop; a second Ctrl-C, a while later, stops at once.

    Not a second SIGTERM: a cluster's scheduler and torchrun may each send one.
    """
    stop = _Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            if number == signal.SIGINT and time.monotonic() - stop.since > PASSED_ON:
                raise KeyboardInterrupt
            return
        stop.asked, stop.since = True, time.monotonic()
        logger.warning("stopping after this step; the checkpoint is written first")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
