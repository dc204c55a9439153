"""ELECTRA's discriminator (Clark et al., "ELECTRA", 2020): which tokens were replaced?

Shapes: T tokens of all sequences, h hidden size.
"""

from pathlib import Path
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from kobert_kernels import bias_gelu
from kobert_kit.encoder.config import EncoderConfig
from kobert_kit.encoder.huggingface.folder import open_folder, write_folder
from kobert_kit.encoder.model import Encoder


class _Head(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gelu_form = config.gelu_form
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.replaced = nn.Linear(config.hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = bias_gelu(F.linear(x, self.dense.weight), self.dense.bias, approximate=self.gelu_form)
        logits: Tensor = self.replaced(x)
        return logits.squeeze(1)


class ElectraDiscriminator(nn.Module):
    """An encoder with a head that tells replaced tokens from the text's own.

    Args:
        config: of model type ``electra``.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.discriminator = _Head(config)

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """The model in a folder of `ElectraForPreTraining`, or of the hub, in evaluation mode.

        Raises:
            InputError: it is none that can be loaded, or has no such head.
        """
        with open_folder(model) as given:
            loaded = given.load(lambda: cls(given.config))
        return loaded.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into an existing folder."""
        write_folder(folder, self.config, self.state_dict())

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        segments: Tensor,
        cu_seqlens: Tensor,
        max_seqlen: int,
        seed: Tensor | None = None,
    ) -> Tensor:
        """A logit of each token, [T]: above 0 where it looks replaced. See `Encoder.forward`."""
        x = self.encoder(tokens, positions, segments, cu_seqlens, max_seqlen, seed)
        logits: Tensor = self.discriminator(x)
        return logits


def replaced_loss(logits: Tensor, replaced: Tensor) -> Tensor:
    """Mean over all tokens of what is lost by telling ``replaced`` [T] by ``logits`` [T]."""
    return F.binary_cross_entropy_with_logits(logits.float(), replaced.float())
