"""A moving average of the weights, which often scores better than the weights themselves.

(Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; in its
exponential form Izmailov et al. 2018 and others.)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Of the parameters of ``model``, from the values they have now.

    Args:
        model: its parameters must stay the same tensors.
        memory: share of the average that a step keeps, such as 0.999.
    """

    def __init__(self, model: nn.Module, memory: float) -> None:
        self._parameters = dict(model.named_parameters())
        self._memory = memory
        self.values: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def reset(self) -> None:
        """Begin anew with the weights as they are."""
        for name, parameter in self._parameters.items():
            self.values[name].copy_(parameter)

    @torch.no_grad()
    def update(self) -> None:
        """Take a step's weights in."""
        parameters: list[Tensor] = list(self._parameters.values())
        torch._foreach_lerp_(list(self.values.values()), parameters, 1 - self._memory)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average as its weights here."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            own = parameter.detach().clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(own)
