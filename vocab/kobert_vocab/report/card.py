"""``report.html`` of a vocabulary folder: what it was made of and what it does, from itself alone.

The same folder gives the same bytes, but for the seconds that ``vocabulary.json`` says.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kobert_vocab.errors import InputError
from kobert_vocab.report import plots
from kobert_vocab.report.examples import KOREAN_WRITTEN, written_examples
from kobert_vocab.report.hangul import hangul
from kobert_vocab.report.inventory import inventory, longest_pieces
from kobert_vocab.report.names import language_name
from kobert_vocab.report.peers import open_peer
from kobert_vocab.report.templates import environment
from kobert_vocab.vocabulary import CARD

PAGE = "report.html"


def write_card_page(folder: str | Path) -> None:
    """Write ``report.html`` into a folder that ``kobert vocab train`` made.

    Raises:
        InputError: the folder is not a vocabulary.
    """
    folder = Path(folder)
    card = _read_card(folder)
    peer = open_peer(folder)
    languages = _languages(card)
    pieces = inventory(peer)
    page = (
        environment()
        .get_template("card.html.jinja")
        .render(
            size=len(peer),
            languages=languages,
            shares=plots.dots(
                [f"{row['name']} ({row['code']})" for row in languages if "share" in row],
                [[(100 * row["share"], 0.0) for row in languages if "share" in row]],
                "% of the weight in training",
                [],
            ),
            facts=_facts(card),
            seconds=card.get("seconds", {}),
            hangul=hangul(peer, KOREAN_WRITTEN),
            pieces=pieces,
            scripts=plots.stacks([pieces.kinds]),
            lengths=plots.lengths([pieces.lengths]),
            longest=longest_pieces(peer),
            examples=written_examples([peer]),
        )
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder}: not a vocabulary of this kit (no {CARD} in it)") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON; train the vocabulary again") from error
    if not isinstance(card, dict):
        raise InputError(f"{path}: not the card of a vocabulary; train it again")
    return card


def _languages(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the card says of each language, the one with most weight first."""
    corpus = card.get("corpus", {})
    rows = [
        {"code": code, "name": language_name(code), **numbers}
        for code, numbers in corpus.get("languages", {}).items()
    ]
    return sorted(rows, key=lambda row: (-row.get("share", 0.0), row["code"]))


def _facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All that the card says but languages and seconds, as label and text.

    A key that is added to the card later shows up here by itself.
    """
    facts: list[tuple[str, str]] = []
    for key, value in card.items():
        if key == "seconds":
            continue
        if isinstance(value, dict):
            facts += [
                (f"{key}: {name}", _plain(inner))
                for name, inner in value.items()
                if not (key == "corpus" and name == "languages")
            ]
        else:
            facts.append((key, _plain(value)))
    return facts


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value, ensure_ascii=False)
