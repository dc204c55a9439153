"""``kobert push``."""

from typing import Annotated

from tyro.conf import Positional, arg

from kobert_kit.commands.arguments import Folder


def push(
    folder: Folder,
    name: Annotated[Positional[str], arg(metavar="NAME")],
    /,
    *,
    public: bool = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, where only you see it.

    What goes up: weights, configuration, tokenizer and model card, or what export has written.

    Args:
        folder: Model folder, of a run or of export; its model card must have a licence.
        name: OWNER/NAME on the hub, or NAME for your own.
        public: Let everyone see it.
    """
    from kobert_kit.export.hub_upload import push

    address = push(folder, name, public=public)
    print(f"{'public' if public else 'private'}: {address}")  # noqa: T201
