"""What turns gradients into other weights: AdamW, BERT's own Adam, or Muon for matrices."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from kobert_kit.encoder import PretrainingModel
from kobert_kit.pretraining.config import OptimizerConfig


def make_optimizers(model: PretrainingModel, config: OptimizerConfig) -> list[Optimizer]:
    """The optimisers of a run, which share out the parameters. Biases and norms do not decay."""
    if config.kind == "muon":
        # As its authors do: the matrices of the layers; embeddings, heads and vectors are AdamW's.
        matrices = [p for p in model.encoder.layers.parameters() if p.ndim == 2]
        of_muon = set(matrices)
        others = [p for p in model.parameters() if p not in of_muon]
        muon = Muon(
            matrices,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",  # so that the rates of both mean the same
        )
        return [muon, _adam(others, config)]
    return [_adam(model.parameters(), config)]


def _adam(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> Optimizer:
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    options: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.beta1, config.beta2),
        "eps": config.eps,
    }
    if config.kind == "bert":
        return BertAdam(groups, **options)
    return AdamW(groups, **options, fused=True)


class BertAdam(Optimizer):
    """The ``AdamWeightDecayOptimizer`` of BERT's code.

    Adam without the correction of its beginning, so that with the usual betas the first steps are
    up to three times as long; eps is added to the root; the decay is the learning rate times the
    weight, and not part of the gradient.

    Args:
        groups: parameters with their ``weight_decay``.
        lr: learning rate.
        betas: memory of the gradient's mean, and of its square.
        eps: added to the root.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters that have a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step(parameters, group)

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        means = [self._state(p, "mean") for p in parameters]
        squares = [self._state(p, "square") for p in parameters]
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        updates = torch._foreach_sqrt(squares)
        torch._foreach_add_(updates, group["eps"])
        updates = torch._foreach_div(means, updates)
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        state: dict[str, Tensor] = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state[name]
