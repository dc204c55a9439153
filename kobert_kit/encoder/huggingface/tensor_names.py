"""Names of tensors, ours and those of `transformers`, by a table of both."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Weights = dict[str, Tensor]
Theirs = str | tuple[str, ...]  # several where theirs lie one below another in ours


@dataclass(frozen=True, kw_only=True)
class TensorNames:
    """What a class of `transformers` calls our tensors.

    Names go without ``.weight`` and ``.bias``; ``{}`` is the number of a layer.
    """

    prefix: str
    """What the encoder's names begin with; files of a bare encoder leave it out."""
    encoder: Mapping[str, Theirs]
    """Our names of the encoder's tensors, their names without the prefix."""
    heads: Mapping[str, str]
    """Our names of the heads' tensors, their names."""
    copies: Mapping[str, str]
    """Tensors that some files hold a second time, and the names of the first: copy, original."""
    not_ours: tuple[str, ...]
    """How the names of tensors begin that no weight of ours is in: buffers, heads of other tasks.
    """

    def know(self, ours: str) -> bool:
        """Whether the class has a tensor for this one of ours."""
        stem, _, _ = _split(ours)
        return stem in self.heads or stem in self.encoder

    def may_leave(self, theirs: str) -> bool:
        """Whether a tensor of theirs is for another task than what is loaded."""
        stem = theirs.rpartition(".")[0].removeprefix(self.prefix)
        return stem in (
            *self.heads.values(),
            self.encoder.get("encoder.pooler"),
        ) or theirs.removeprefix(self.prefix).startswith(self.not_ours)

    def theirs(self, ours: str, *, bare: bool = False) -> tuple[str, ...]:
        """Their names of one tensor of ours; ``bare`` without the prefix."""
        stem, number, kind = _split(ours)
        if stem in self.heads:
            return (f"{self.heads[stem]}.{kind}",)
        found = self.encoder[stem]
        prefix = "" if bare else self.prefix
        parts = (found,) if isinstance(found, str) else found
        return tuple(f"{prefix}{part.format(number)}.{kind}" for part in parts)

    def renamed(self, weights: Mapping[str, Tensor], *, bare: bool = False) -> Weights:
        """Our ``weights`` by their names."""
        return {
            theirs: part
            for ours, tensor in weights.items()
            for theirs, part in _parts(tensor, self.theirs(ours, bare=bare))
        }


def _parts(tensor: Tensor, names: tuple[str, ...]) -> list[tuple[str, Tensor]]:
    return list(zip(names, tensor.chunk(len(names)), strict=True))


def _split(name: str) -> tuple[str, str, str]:
    """``a.3.b.weight`` as ``a.{}.b``, ``3``, ``weight``."""
    stem, _, kind = name.rpartition(".")
    number = re.search(r"\.(\d+)(?=\.)", stem)
    return re.sub(r"\.\d+(?=\.)", ".{}", stem, count=1), number[1] if number else "", kind
