"""All that a running pretraining works on, made from its settings."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version

import torch
from torch import nn

from kobert_kernels import dispatch
from kobert_kit.batches.batches import Batches
from kobert_kit.batches.counter_random import phase_seed
from kobert_kit.batches.loader import check_shares
from kobert_kit.corpus.shards import Corpus
from kobert_kit.pretraining.checkpoint import Trained, copy_into, load_checkpoint
from kobert_kit.pretraining.config import ModelConfig, PretrainConfig, TrainingPhase
from kobert_kit.pretraining.moving_average import MovingAverage
from kobert_kit.pretraining.optimizers import make_optimizers
from kobert_kit.pretraining.processes import Processes, shared
from kobert_kit.pretraining.progress import Progress
from kobert_kit.pretraining.starting_model import shape_of, starting_model
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary, open_vocabulary


@dataclass
class Run:
    """A run in one of its processes."""

    config: PretrainConfig
    shape: ModelConfig
    """Of the model, wherever it comes from."""
    processes: Processes
    vocabulary: AnyVocabulary
    corpus: Corpus
    trained: Trained
    model: nn.Module
    """The model as it is called in training."""
    progress: Progress
    left_out: set[int]
    """Steps not to train on, since they led nowhere before."""
    identity: dict[str, object]
    """What must not change when the run goes on."""
    made_with: dict[str, object]
    """What must not change for it to go on bit for bit."""
    batches: Batches
    """Of the phase at hand."""

    @property
    def phase(self) -> TrainingPhase:
        """The phase at hand."""
        return self.config.all_phases[self.progress.phase]

    @cached_property
    def shares(self) -> Sequence[float]:
        """Of all phases."""
        return [phase.share for phase in self.config.all_phases]

    @property
    def micro_batches(self) -> int:
        """Parts of a full batch, over all processes."""
        return self.phase.micro_batches or self.processes.count

    @property
    def step_of_phase(self) -> int:
        """Counted from the beginning of the phase; it names the batch."""
        return self.progress.step - self.progress.phase_began

    def resume(self) -> None:
        """Go on from the newest checkpoint.

        Raises:
            InputError: there is none, or it is of another run.
        """
        saved = load_checkpoint(self.config.out, self.trained, self.identity, self.made_with)
        self.progress = Progress.from_dict(saved)
        self.enter_phase()

    def begin(self) -> None:
        """Go to where the run began."""
        first = starting_model(self.config, self.vocabulary)
        copy_into(first.state_dict(), self.trained.model.state_dict())
        for optimizer in self.trained.optimizers:
            optimizer.state.clear()
        if self.trained.average:
            self.trained.average.reset()
        self.progress = Progress.of(self.config)
        self.enter_phase()

    def enter_phase(self) -> None:
        """Open the batches of the phase that the progress names."""
        self.batches = batches_of(
            self.config, self.progress.phase, corpus=self.corpus, vocabulary=self.vocabulary
        )


def prepare(config: PretrainConfig, processes: Processes) -> Run:
    """A run at its beginning.

    Raises:
        InputError: a folder cannot be used, or a phase asks for what the corpus has not.
    """
    vocabulary = open_vocabulary(config.vocab)
    corpus = Corpus.load(config.corpus)
    fingerprints = []
    # The first phase last: it is kept, and a fault in a later one is found before the first step.
    for number in reversed(range(len(config.all_phases))):
        batches = batches_of(config, number, corpus=corpus, vocabulary=vocabulary)
        own = config.all_phases[number].micro_batches
        check_shares(batches, ranks=processes.count, micro_batches=own)
        fingerprints.append(batches.fingerprint)
    model = starting_model(config, vocabulary).to(processes.device)
    model.encoder.recompute = config.recompute
    for layer in model.encoder.layers if config.compile else ():
        layer.compile()
    shape = shape_of(model.config)
    called = shared(model, processes, config.parallel, bf16=config.precision == "bf16")
    memory = config.optimizer.average
    trained = Trained(
        model,
        make_optimizers(model, config.optimizer),
        None if memory is None else MovingAverage(model, memory),
    )
    return Run(
        *(config, shape, processes, vocabulary, corpus, trained, called),
        progress=Progress.of(config),
        left_out=set(),
        identity=_identity(
            config, shape, vocabulary=vocabulary, corpus=corpus, batches=fingerprints
        ),
        made_with=_made_with(config, processes),
        batches=batches,
    )


def batches_of(
    config: PretrainConfig, phase: int, *, corpus: Corpus, vocabulary: AnyVocabulary
) -> Batches:
    """The batches of one phase of a run, from 0."""
    seed = phase_seed(config.seed, phase)
    return Batches.of(corpus, vocabulary, seed, config.all_phases[phase].data)


def _identity(
    config: PretrainConfig,
    shape: ModelConfig,
    *,
    vocabulary: AnyVocabulary,
    corpus: Corpus,
    batches: list[str],
) -> dict[str, object]:
    phases = [replace(phase, micro_batches=None) for phase in config.all_phases]
    found = {
        "corpus": corpus.manifest.fingerprint,
        "vocabulary": vocabulary.fingerprint,
        "seed": config.seed,
        "steps": config.steps,
        "budget": config.budget,
        "precision": config.precision,
        "model": asdict(shape),
        "phases": [asdict(phase) for phase in phases],
        "batches": batches,
        "optimizer": asdict(config.optimizer),
    }
    as_read_back: dict[str, object] = json.loads(json.dumps(found))
    return as_read_back


def _made_with(config: PretrainConfig, processes: Processes) -> dict[str, object]:
    versions: dict[str, object] = {name: version(name) for name in ("kobert-kit", "torch")}
    # Which kernels run is settled by a table and by what the environment overrides.
    table = hashlib.sha256(dispatch.TABLE.read_bytes()).hexdigest()
    cuda = processes.device.type == "cuda"
    return versions | {
        "device": torch.cuda.get_device_name() if cuda else processes.device.type,
        "kernel table": table,
        dispatch.VARIABLE: os.environ.get(dispatch.VARIABLE, ""),
        "processes": processes.count,
        "parallel": config.parallel if processes.count > 1 else "none",
        "micro-batches": [p.micro_batches or processes.count for p in config.all_phases],
        "compile": config.compile,
    }
