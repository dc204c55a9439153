"""SentencePiece's BPE as the list of merges that `tokenizers` wants.

SentencePiece keeps no list: it joins the two neighbours whose joined text is the piece with the
highest score, whichever two they are, and of equal ones those furthest left. So each way to cut
each piece in two is a merge here, in the order of the scores.
"""

from itertools import pairwise

from kobert_vocab.conversion.model import SentencePieceModel
from kobert_vocab.errors import InputError
from kobert_vocab.model_file import NORMAL, UNUSED, USER_DEFINED

Merges = list[tuple[str, str]]


def merges(model: SentencePieceModel) -> Merges:
    """All merges, the first to be made first.

    Raises:
        InputError: a model that no such list follows.
    """
    if model.texts(UNUSED):
        raise InputError(
            f"its piece {model.texts(UNUSED)[0]!r} is unused; tokenizers cannot take it apart again"
        )
    frozen = [text for text in model.texts(USER_DEFINED) if len(text) > 1]
    if frozen:
        raise InputError(
            f"its user-defined piece {frozen[0]!r} has several characters; the BPE of tokenizers "
            "has no such thing"
        )
    normal = sorted((p for p in model.pieces if p.type == NORMAL), key=lambda p: -p.score)
    pieces = {piece.text for piece in normal}
    longer = [piece for piece in normal if len(piece.text) > 1]
    for one, other in pairwise(longer):
        if one.score == other.score:
            raise InputError(
                f"its pieces {one.text!r} and {other.text!r} have the same score; which is first "
                "goes by their place in the text, which tokenizers cannot do"
            )
    found: Merges = []
    for piece in longer:
        missing = next((char for char in piece.text if char not in pieces), None)
        if missing is not None and missing not in model.known:
            raise InputError(
                f"its piece {piece.text!r} has {missing!r}, which is no piece; tokenizers cannot "
                "merge it"
            )
        found += [cut for cut in _cuts(piece.text) if pieces.issuperset(cut)]
    return found


def _cuts(text: str) -> list[tuple[str, str]]:
    """The ways to cut ``text`` in two, in the order in which neighbours are merged.

    It matters where two of them share their middle: of ``ab a ba`` the left two are merged first.
    A cut at i is to the left of one at n - i if the text's end from i on is also its beginning. In
    a run (``---``) that goes for both; there only the last neighbour is a shorter one.
    """
    order = list(range(len(text) - 1, 0, -1))
    for i in range(1, (len(text) + 1) // 2):
        n = len(text) - i
        if text.startswith(text[i:]) and not text.startswith(text[n:]):
            a, b = order.index(i), order.index(n)
            order[a], order[b] = order[b], order[a]
    return [(text[:i], text[i:]) for i in order]
