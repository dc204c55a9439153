"""Which batch of which phase a step of a run trains on."""

from collections.abc import Sequence
from pathlib import Path

from kobert_kit.batches.counter_random import phase_seed
from kobert_kit.batches.options import DataConfig
from kobert_kit.pretraining.config import TrainingPhase
from kobert_kit.pretraining.config_file import read_phases
from kobert_kit.pretraining.progress import beginnings
from kobert_kit.settings_file import read_toml
from kobert_vocab.errors import InputError


def batch_of_run(
    config: Path,
    phase: int | None,
    step: int,
    *,
    seed: int,
    data: DataConfig,
    given: Sequence[str],
) -> tuple[int, int, DataConfig]:
    """Seed, step and data settings of a batch.

    Args:
        config: the file of the run.
        phase: from 1; then ``step`` is counted from its beginning.
        step: of the run, or of the phase.
        seed: of the run.
        data: where the phase does not say otherwise.
        given: the user's own flags, which win over the phases.

    Raises:
        InputError: there is no such phase, or it cannot be known when it began.
    """
    phases = read_phases(config, TrainingPhase(share=1.0, data=data), given)
    if not phases and phase is None:
        return seed, step, data
    if phase is None:
        steps = read_toml(config).get("steps")
        if not isinstance(steps, int):
            raise InputError(
                f"{config}: when a phase begins depends on the time; give --phase, and the --step "
                "of that phase"
            )
        first = beginnings([one.share for one in phases], steps)
        phase = sum(begin <= max(0, step) for begin in first)
        step -= first[phase - 1]
    if not 1 <= phase <= len(phases):
        there = f"phases 1 to {len(phases)}" if phases else "no [[phase]]"
        raise InputError(f"phase is {phase}; {config} has {there}")
    return phase_seed(seed, phase - 1), step, phases[phase - 1].data
