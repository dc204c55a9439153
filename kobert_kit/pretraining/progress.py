"""Where a run stands: its step, the share that is done, its phase. Saved with each checkpoint.

A run of so many steps has done ``step / steps`` of itself. A run with a time budget measures how
long its steps take and sets its pace, the share that a step is, so that the end of the schedule and
the end of the time fall together. The pace is measured anew after steps 1, 2, 4, 8 and so on of
each phase, and towards the end each time half of what is left is done; in between it is one of the
numbers here, so that a run that stops goes on with the very learning rates it would have had.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Self

from kobert_kit.pretraining.config import PretrainConfig, seconds_of

RECENT = 100  # steps whose mean loss a leap is measured from
ENOUGH = 20  # of them, before there is a mean to trust


def is_due(share: float, done: float, pace: float) -> bool:
    """Whether, to the nearest step, ``share`` of a run is done."""
    return done >= share - pace / 2


def beginnings(shares: Sequence[float], steps: int) -> list[int]:
    """The first step of each phase of a run of ``steps``."""
    first = [0]
    for end in range(1, len(shares)):
        share = sum(shares[:end])
        near = int(share * steps)
        first.append(
            next(s for s in range(max(1, near), near + 2) if is_due(share, s / steps, 1 / steps))
        )
    return first


@dataclass
class Progress:
    """Of one run; all processes of it have the same."""

    step: int = 0
    """Batches done."""
    done: float = 0.0
    """Share of the run."""
    pace: float = 0.0
    """Share of the run that a step is."""
    phase: int = 0
    phase_began: int = 0
    """The phase's first step."""
    seconds: float = 0.0
    """Spent on training so far, where there is a budget."""
    measured: tuple[int, float] = (0, 0.0)
    """Step and seconds when the pace was last measured."""
    measure_at: int = 1
    """The step to measure it at again."""
    recent: list[float] = field(default_factory=list)
    """Losses of the last steps of this phase."""

    @classmethod
    def of(cls, config: PretrainConfig) -> Self:
        """At the beginning of a run."""
        return cls(pace=0.0 if config.steps is None else 1 / config.steps)

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """From a checkpoint."""
        return cls(**saved | {"measured": tuple(saved["measured"])})

    @property
    def finished(self) -> bool:
        """Whether all of the run is done, to the nearest step."""
        return is_due(1.0, self.done, self.pace)

    @property
    def steps_left(self) -> int:
        """As far as it can be known."""
        return round((1 - self.done) / self.pace) if self.pace else 1

    def advance(self, steps: int | None) -> None:
        """Count a step.

        Args:
            steps: of the whole run; None where a budget ends it.
        """
        self.step += 1
        self.done = self.done + self.pace if steps is None else self.step / steps

    def enter_phase(self, shares: Sequence[float]) -> bool:
        """Go to the phase that is due, by the shares of all; whether it is another one."""
        before = self.phase
        while self.phase + 1 < len(shares) and is_due(
            sum(shares[: self.phase + 1]), self.done, self.pace
        ):
            self.phase += 1
        if self.phase == before:
            return False
        self.phase_began, self.recent = self.step, []
        return True

    def measure(self, seconds: float, budget: str) -> None:
        """Set the pace by the time that the steps since the last measurement took."""
        step, before = self.measured
        left = seconds_of(budget) - seconds
        steps_left = max(1, round(left * (self.step - step) / max(1e-9, seconds - before)))
        self.pace = (1 - self.done) / steps_left
        self.seconds, self.measured = seconds, (self.step, seconds)
        of_phase = self.step - self.phase_began
        self.measure_at = self.step + max(1, min(of_phase, steps_left // 2))

    def has_leapt(self, loss: float, leap: float | None) -> bool:
        """Whether a loss is far above those of the last steps."""
        enough = leap is not None and len(self.recent) >= ENOUGH
        return enough and loss > fmean(self.recent) + (leap or 0.0)

    def remember(self, loss: float) -> None:
        """Keep the loss of a good step."""
        self.recent = [*self.recent[-RECENT + 1 :], loss]
