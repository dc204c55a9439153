"""A plan as text."""

from kobert_kit.pretraining.gpus import FILLED
from kobert_kit.pretraining.plan import Plan
from kobert_vocab.errors import InputError


def render(plan: Plan, *, dollars: float | None = None, won: float = 1_400.0) -> str:
    """The plan as text.

    Args:
        plan: what `make_plan` has counted.
        dollars: price of one GPU for an hour, for the cost.
        won: price of a dollar.

    Raises:
        InputError: a price is below 0.
    """
    if (dollars or 0) < 0:
        raise InputError(f"--dollars is {dollars}; it must not be below 0")
    gpus, seconds = plan.gpus, plan.seconds
    kind, count = gpus.kind, sum(plan.parameters.values())
    parts = ", ".join(f"{name} {n / 1e6:.1f} M" for name, n in plan.parameters.items())
    bytes_ = sum(plan.memory.values())
    of_memory = ", ".join(f"{name} {n / 2**30:.1f}" for name, n in plan.memory.items())
    basis = "as measured" if gpus.tokens_per_second else f"if it reaches {gpus.mfu:.0%} of its peak"
    lines = [
        f"parameters   {count / 1e6:,.2f} M ({parts})",
        f"steps        {plan.steps:,}",
        f"tokens       {plan.tokens:,}",
        *(
            f"phase {number}      {phase.steps:,} steps of length {phase.length}: "
            f"{phase.tokens:,} tokens, {plan.seconds_of(phase) / seconds:.0%} of the time"
            for number, phase in enumerate(plan.phases, 1)
            if len(plan.phases) > 1
        ),
        f"operations   {plan.operations / plan.tokens / 1e6:,.0f} M a token, "
        f"{plan.operations:.2e} in all",
        f"memory       {bytes_ / 2**30:,.1f} GiB of {gpus.memory} on a GPU ({of_memory})",
        f"speed        {plan.tokens / seconds / gpus.count:,.0f} tokens/s on one {kind}, {basis}",
        f"time         {_time(seconds)} on {gpus.count} x {kind}",
    ]
    if dollars is not None:
        cost = dollars * gpus.count * seconds / 3600
        lines.append(f"cost         ${cost:,.0f}, {cost * won:,.0f} won")
    if bytes_ > FILLED * gpus.memory * 2**30:
        lines.append(
            f"too large: it fits with --micro-batches {plan.fitting}, or try --recompute"
            if plan.fitting
            else "too large in any micro-batches: try --recompute, or several GPUs and --parallel "
            "fsdp"
        )
    return "\n".join(lines) + "\n"


def _time(seconds: float) -> str:
    hours = seconds / 3600
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
