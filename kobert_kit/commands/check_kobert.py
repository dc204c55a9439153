"""``kobert check-kobert``."""

from typing import Annotated

from tyro.conf import Positional, arg


def check_kobert(
    folder: Annotated[Positional[str], arg(metavar="[FOLDER]")] = "skt/kobert-base-v1", /
) -> None:
    """Compare KoBERT's tokens, ids and numbers with those its makers published.

    Args:
        folder: KoBERT's folder: its SentencePiece model, config.json and weights; or its name on
            the Hugging Face hub.
    """
    from kobert_kit.kobert_check import PUBLISHED, check_kobert, find_kobert

    found = check_kobert(find_kobert(folder))
    print(f"{PUBLISHED.text}\n{' '.join(found.pieces)}\n{found.ids}")  # noqa: T201
    print(  # noqa: T201
        f"{folder}: as published; the numbers differ by {found.largest_difference:.0e} at most"
    )
