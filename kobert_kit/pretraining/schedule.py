"""How the learning rate goes: up over the warm-up, then down in one of several ways."""

import math

from kobert_kit.pretraining.config import OptimizerConfig


def share_of_peak(done: float, pace: float, config: OptimizerConfig) -> float:
    """The learning rate of a step, as a share of its peak.

    Args:
        done: share of the run that is done before this step, [0, 1].
        pace: share of the run that the step is.
        config: the schedule.
    """
    if config.schedule == "bert":
        # The first step has rate 0, and the fall is counted from the first step, not from the
        # warm-up's end, so that the rate jumps down there (optimization.py of BERT's code).
        return done / config.warmup if done < config.warmup else 1 - done
    if done < config.warmup:
        return min(1.0, (done + pace) / config.warmup)
    left = 1 - done
    if config.schedule == "linear":
        return left / (1 - config.warmup)
    if config.schedule == "cosine":
        return (1 - math.cos(math.pi * left / (1 - config.warmup))) / 2
    if left >= config.decay:  # warm-up, stable, decay
        return 1.0
    # 1 - sqrt ends lower for longer, and lower in loss (Hägele et al. 2024, section 3).
    falling = left / config.decay
    return falling if config.schedule == "wsd" else 1 - math.sqrt(1 - falling)
