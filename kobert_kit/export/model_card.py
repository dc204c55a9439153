"""The model card beside a model, read from ``README.md`` and carried into another form."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCard
from yaml import YAMLError

from kobert_kit.pretraining.model_card import MODEL_CARD
from kobert_vocab.errors import InputError


def read_card(folder: Path) -> ModelCard | None:
    """The model card in a folder, if there is one.

    Raises:
        InputError: its head is not YAML as the hub reads it.
    """
    path = folder / MODEL_CARD
    if not path.exists():
        return None
    try:
        card: ModelCard = ModelCard.load(path)
    except (YAMLError, ValueError, TypeError) as error:  # ValueError: not UTF-8, or no table
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: its head cannot be read ({reason}); mend it") from error
    return card


def carry_card(
    model: Path, out: Path, *, section: str, tags: Sequence[str], **head: str | None
) -> None:
    """Write the card of a model, if it has one, for the form that it now has.

    Args:
        model: folder of the model.
        out: folder of its new form.
        section: Markdown that is put at the end.
        tags: are added to those there are.
        head: what the head says from now on; None is no longer said.

    Raises:
        InputError: the card cannot be read.
    """
    card = read_card(model)
    if card is None:
        return
    all_tags = list(dict.fromkeys([*(card.data.get("tags") or []), *tags]))
    for name, value in {**head, "tags": all_tags}.items():
        setattr(card.data, name, value)
    card.text = f"{card.text.rstrip()}\n\n{section.strip()}\n"
    card.save(out / MODEL_CARD)
