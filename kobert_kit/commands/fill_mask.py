"""``kobert fill-mask``."""

import sys
from typing import Annotated

from tyro.conf import Positional, arg

from kobert_kit.commands.arguments import Model


def fill_mask(
    model: Model,
    text: Annotated[Positional[str | None], arg(metavar="[TEXT]")] = None,
    /,
    *,
    top: int = 5,
) -> None:
    """Fill each [MASK] in a text, or in text after text.

    Args:
        model: Model folder, of a run or of Hugging Face with tokenizer.json, or a model of the hub:
            BERT, RoBERTa, XLM-R, CamemBERT, ELECTRA (its generator) or ModernBERT.
        text: With at least one [MASK]; without it texts are asked for, or read from a pipe, one in
            each line.
        top: Pieces to show for each mask.
    """
    from kobert_kit.fill_mask import MaskFiller
    from kobert_kit.mask_prompt import answer, ask

    filler = MaskFiller(model)
    if text is not None:
        print(answer(filler, text, top))  # noqa: T201
    elif not ask(filler, top):
        sys.exit(2)
