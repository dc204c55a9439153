"""How the learning rate goes: up over the warm-up, then down in one of several ways."""

import math

from kobert_kit.pretraining.config import OptimizerConfig


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """The rate of ``step``, from 0, of a run of ``steps``."""
    warmup = round(config.warmup * steps)
    if config.schedule == "bert":
        # The first step has rate 0, and the fall is counted from the first step, not from the
        # warm-up's end, so that the rate jumps down there (optimization.py of BERT's code).
        share = step / warmup if step < warmup else 1 - step / steps
    elif step < warmup:
        share = (step + 1) / warmup
    else:
        share = _share(
            config, steps - step, max(1, steps - warmup), max(1, round(config.decay * steps))
        )
    return config.learning_rate * share


def _share(config: OptimizerConfig, left: int, falling: int, decay: int) -> float:
    """Of the peak, with ``left`` steps to go of those after the warm-up."""
    if config.schedule == "linear":
        return left / falling
    if config.schedule == "cosine":
        return (1 - math.cos(math.pi * left / falling)) / 2
    if left >= decay:  # warm-up, stable, decay
        return 1.0
    # 1 - sqrt ends lower for longer, and lower in loss (Hägele et al. 2024, section 3).
    return left / decay if config.schedule == "wsd" else 1 - math.sqrt(1 - left / decay)
