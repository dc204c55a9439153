"""The pretraining loop."""

import hashlib
import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile, rmtree
from types import FrameType
from typing import IO

import torch
from tqdm import tqdm

from kobert_kernels import dispatch
from kobert_kit.batches.batch import Batch
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.counter_random import DROPOUT, below
from kobert_kit.batches.loader import load
from kobert_kit.corpus.shards import Corpus
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.checkpoint import (
    has_barely_begun,
    load_checkpoint,
    remove_unfinished,
    save_checkpoint,
)
from kobert_kit.pretraining.config import PretrainConfig, to_toml
from kobert_kit.pretraining.evaluation import Evaluation, evaluate, examples
from kobert_kit.pretraining.optimizers import make_optimizers
from kobert_kit.pretraining.report import write_report
from kobert_kit.pretraining.schedule import learning_rate
from kobert_kit.pretraining.step import BatchTensors, Losses, losses
from kobert_vocab.errors import InputError
from kobert_vocab.new_folder import new_folder, refuse_existing
from kobert_vocab.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "spm.model")
METRICS = "metrics.jsonl"


@dataclass
class _Run:
    """What the loop works on."""

    config: PretrainConfig
    device: torch.device
    vocabulary: Vocabulary
    batches: Batches
    model: PretrainingModel
    optimizers: list[torch.optim.Optimizer]
    identity: dict[str, object]
    """What must not change when a run goes on."""
    made_with: dict[str, object]
    """What must not change for it to go on bit for bit."""
    step: int = 0


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    sentences: Mapping[str, str] | None = None,
) -> Evaluation:
    """Train a BERT on a corpus and leave a run folder with a Hugging Face model in it.

    Ctrl-C or SIGTERM ends the run after the step at hand, with a checkpoint to resume from and the
    model so far.

    Args:
        config: all of the run.
        resume: go on from the newest checkpoint in ``config.out``, or from the beginning of a run
            that was killed before its first one.
        stop_after: so many steps, as if Ctrl-C had been pressed then.
        sentences: texts by language code, which the report shows as pieces.

    Returns:
        The last evaluation.

    Raises:
        InputError: a folder cannot be used, or the checkpoint is of another run.
    """
    if not resume:
        refuse_existing(config.out)
    run = _prepare(config)
    remove_unfinished(config.out)
    if resume and not has_barely_begun(config.out):
        run.step = load_checkpoint(
            *(config.out, run.model, run.optimizers), run.identity, run.made_with
        )
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "config.toml").write_text(to_toml(config), encoding="utf-8")
    _drop_metrics_after(config.out / METRICS, run.step)
    with (config.out / METRICS).open("a", encoding="utf-8") as metrics, _stop_signal() as stop:
        evaluation = _loop(run, metrics, stop, stop_after)
    _write_model(run)
    filled = examples(run.model, run.batches, run.device)
    write_report(config.out, run.vocabulary, evaluation, filled, sentences or {})
    return evaluation


def _prepare(config: PretrainConfig) -> _Run:
    vocabulary = Vocabulary.load(config.vocab)
    corpus = Corpus.load(config.corpus)
    data = config.data
    batches = Batches(
        corpus,
        vocabulary,
        seed=config.seed,
        windows=data.windows,
        length=data.length,
        pairing=data.pairing,
        masking=data.masking,
        phases=[data.languages],
        any_vocabulary=data.any_vocabulary,
    )
    device = _device(config)
    shape = EncoderConfig(vocab_size=len(vocabulary), pad_id=vocabulary.pad, **asdict(config.model))
    model = PretrainingModel(shape)
    model.initialise(torch.Generator().manual_seed(config.seed))
    model.to(device)
    identity: dict[str, object] = {
        "corpus": corpus.manifest.fingerprint,
        "vocabulary": vocabulary.fingerprint,
        "seed": config.seed,
        "steps": config.steps,
        "precision": config.precision,
        "model": asdict(config.model),
        "data": json.loads(json.dumps(asdict(config.data))),  # as it will be read back
        "batches": batches.fingerprint,
        "accumulate": config.accumulate,
        "optimizer": asdict(config.optimizer),
    }
    optimizers = make_optimizers(model, config.optimizer)
    made_with = _made_with(device)
    return _Run(config, device, vocabulary, batches, model, optimizers, identity, made_with)


def _made_with(device: torch.device) -> dict[str, object]:
    versions: dict[str, object] = {name: version(name) for name in ("kobert-kit", "torch")}
    # Which kernels run is settled by a table and by what the environment overrides.
    table = hashlib.sha256(dispatch.TABLE.read_bytes()).hexdigest()
    return versions | {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "kernel table": table,
        dispatch.VARIABLE: os.environ.get(dispatch.VARIABLE, ""),
    }


def _device(config: PretrainConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch finds no CUDA device; use --device cpu")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _loop(run: _Run, metrics: IO[str], stop: "_Stop", stop_after: int | None) -> Evaluation:
    config, first = run.config, run.step
    evaluation: Evaluation | None = None
    steps = range(first, config.steps)
    loaded = load(run.batches, steps, parts=config.accumulate, workers=config.loaders)
    with tqdm(total=config.steps, initial=first, unit="step", desc="pretrain", disable=None) as bar:
        while run.step < config.steps and not stop.asked and run.step != stop_after:
            row = _train_step(run, loaded)
            run.step += 1
            evaluation = None  # of the model before this step
            _write_row(metrics, row)
            bar.set_postfix(
                loss=f"{row['masked_loss']:.2f}",
                accuracy=f"{row['masked_accuracy']:.1%}",
                tokens_s=f"{row['tokens_per_second']:,.0f}",
                refresh=False,
            )
            bar.update()
            if run.step % config.evaluate_every == 0:
                evaluation = _save_and_evaluate(run, metrics)
        if evaluation is None and run.step > first:
            evaluation = _save_and_evaluate(run, metrics)
    return evaluation or _evaluate(run)


def _save_and_evaluate(run: _Run, metrics: IO[str]) -> Evaluation:
    # In this order, since whoever sends SIGTERM may not wait for an evaluation.
    save_checkpoint(
        *(run.config.out, run.step, run.model, run.optimizers), run.identity, run.made_with
    )
    evaluation = _evaluate(run)
    _write_row(metrics, {"step": run.step, "evaluation": asdict(evaluation)})
    following = evaluation.next_accuracy
    tqdm.write(
        f"step {run.step:,}: held-out loss {evaluation.loss:.3f}, masked accuracy "
        f"{evaluation.accuracy:.1%}"
        + (f", next sentence {following:.1%}" if following is not None else "")
    )
    return evaluation


def _train_step(run: _Run, loaded: Iterator[Batch]) -> dict[str, object]:
    config, started = run.config, time.perf_counter()
    batches = [next(loaded) for _ in range(config.accumulate)]
    waited = time.perf_counter() - started
    parts = [BatchTensors.on(run.device, batch) for batch in batches]
    rate = learning_rate(run.step, config.steps, config.optimizer)
    found = _backward(run, parts)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.optimizer.clip)
    good = bool(torch.isfinite(norm) and torch.isfinite(found.total))
    if not good and config.bad_step == "stop":
        raise InputError(
            f"step {run.step}: the loss or its gradient is not a number. kobert corpus show "
            f"--config {config.out / 'config.toml'} --step {run.step} shows the batch; to leave "
            "such batches out: --resume --bad-step skip; or try a lower learning rate"
        )
    for optimizer in run.optimizers if good else ():
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    seconds, tokens = time.perf_counter() - started, sum(batch.text_tokens for batch in batches)
    row: dict[str, object] = {
        "step": run.step + 1,
        "masked_loss": found.masked.item(),
        "next_loss": found.next.item(),
        "masked_accuracy": found.correct.item() / max(1, sum(part.used for part in parts)),
        "learning_rate": rate,
        "gradient_norm": norm.item(),
        "tokens": tokens,
        "tokens_per_second": tokens / seconds,
        "loader_wait": waited / seconds,
    }
    return row if good else row | {"skipped": True}


def _backward(run: _Run, parts: Sequence[BatchTensors]) -> Losses:
    """Gradients of a batch, part after part, and its losses."""
    run.model.train()
    run.model.zero_grad(set_to_none=True)
    used, pairs = sum(part.used for part in parts), sum(part.pairs for part in parts)
    masked, correct, following = torch.zeros(3, device=run.device).unbind()
    for number, part in enumerate(parts):
        drawn = below(1 << 53, DROPOUT, run.config.seed, run.step, number)
        seed = torch.from_numpy(drawn).to(run.device)
        bf16 = run.config.precision == "bf16"
        with torch.autocast(run.device.type, torch.bfloat16, enabled=bf16):
            one = losses(run.model, part, seed, used=used, pairs=pairs)
        torch.autograd.backward(one.total)
        masked = masked + one.masked.detach()
        correct = correct + one.correct
        following = following + one.next.detach()
    return Losses(masked, correct, following)


def _evaluate(run: _Run) -> Evaluation:
    return evaluate(run.model, run.batches, run.config.evaluate_sequences, run.device)


def _write_row(metrics: IO[str], row: dict[str, object] | dict[str, float]) -> None:
    # JSON has no word for what is not a number.
    plain = {name: None if value != value else value for name, value in row.items()}
    metrics.write(json.dumps(plain) + "\n")
    metrics.flush()


def _drop_metrics_after(path: Path, step: int) -> None:
    """What a run logged after its last checkpoint will be done, and logged, again."""
    if path.exists():
        rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and json.loads(row)["step"] <= step]
        path.write_text("".join(kept), encoding="utf-8")


def _write_model(run: _Run) -> None:
    """``model/``: the weights with the tokenizer's files beside them."""
    out = run.config.out / "model"
    rmtree(out, ignore_errors=True)  # an older one, of a run that goes on
    with new_folder(out) as folder:
        run.model.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            copyfile(run.config.vocab / name, folder / name)


class _Stop:
    asked = False


@contextmanager
def _stop_signal() -> Iterator[_Stop]:
    """Ctrl-C and SIGTERM ask to stop; a second Ctrl-C stops at once."""
    stop = _Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        logger.warning("stopping after this step; the checkpoint is written first")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
