"""Proof that a vocabulary's two forms, SentencePiece and tokenizer.json, agree id by id."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from kobert_vocab.errors import InputError
from kobert_vocab.rounding import Rounding
from kobert_vocab.selftest import read_selftest
from kobert_vocab.vocabulary import MODEL, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 1000  # texts encoded at a time
log = logging.getLogger(__name__)


def verify(folder: str | Path, texts: Iterable[str] = ()) -> int:
    """Check a vocabulary on its own ``selftest.jsonl`` and on ``texts``; count what was checked.

    For each text the ids of ``spm.model`` and ``tokenizer.json`` must be the same and read back as
    the normalised text; for the folder's own texts they must also be those written down when it
    was made. ``[MASK]`` and the like in a text are plain characters here, as they always are for
    SentencePiece; ``transformers`` reads them so with ``split_special_tokens=True``.

    Of a converted vocabulary the text that comes back is not looked at: it is SentencePiece's own
    matter. Where SentencePiece loses to ``tokenizer.json`` by the rounding of its own sums
    (`kobert_vocab.rounding`) that is no error; a line of the log counts such texts.

    Raises:
        InputError: something differs (the first difference is in the message), or the folder is
            not a vocabulary.
    """
    vocabulary, fast = Vocabulary.load(folder), load_fast(folder)
    fast.encode_special_tokens = True
    known = list(read_selftest(folder))
    for case in known:
        if vocabulary.encode(case.text) != case.ids:
            raise InputError(
                f"{folder}: the self-test {case.text!r} gives {vocabulary.encode(case.text)}, not "
                f"{case.ids} as when it was made; the folder or SentencePiece has changed"
            )
    model = (Path(folder) / MODEL).read_bytes()
    rounding = Rounding(model, vocabulary) if vocabulary.converted else None
    checked, rounded = 0, []
    for batch in _batches([*(case.text for case in known)], texts):
        rounded += _check(vocabulary, fast, batch, rounding)
        checked += len(batch)
    if rounded:
        log.info(
            "%d of %d texts differ where SentencePiece's 32-bit sums are rounded; the first: %s",
            *(len(rounded), checked, _shown(rounded[0])),
        )
    return checked


def load_fast(folder: str | Path) -> "Tokenizer":
    """The ``tokenizers.Tokenizer`` of a vocabulary folder.

    Raises:
        InputError: there is none in it.
    """
    from tokenizers import Tokenizer  # here: only those who verify or export need it

    path = Path(folder) / "tokenizer.json"
    try:
        return Tokenizer.from_buffer(path.read_bytes())  # `from_file` raises a bare Exception
    except FileNotFoundError as error:
        raise InputError(f"{folder}: not a whole vocabulary (no tokenizer.json in it)") from error
    except ValueError as error:
        raise InputError(f"{path}: not a tokenizer file; train the vocabulary again") from error


def _batches(own: Sequence[str], given: Iterable[str]) -> Iterator[list[str]]:
    for source in (iter(own), iter(given)):
        while batch := list(islice(source, BATCH)):
            yield batch


def _check(
    vocabulary: Vocabulary, fast: "Tokenizer", texts: list[str], rounding: Rounding | None
) -> list[str]:
    """Compare; the texts that differ by rounding alone."""
    rounded = []
    encoded = fast.encode_batch_fast(texts, add_special_tokens=False)
    for text, ids, other in zip(texts, vocabulary.encode_batch(texts), encoded, strict=True):
        if ids != other.ids:
            if rounding is None or not rounding.decides(text, ids, other.ids):
                raise InputError(_first_difference(vocabulary, text, ids, other.ids))
            rounded.append(text)
        if not vocabulary.converted and vocabulary.decode(ids) != vocabulary.normalize(text):
            raise InputError(
                f"text does not survive: {text!r} is read as {vocabulary.normalize(text)!r} but "
                f"comes back as {vocabulary.decode(ids)!r}"
            )
    return rounded


def _first_difference(vocabulary: Vocabulary, text: str, ids: list[int], others: list[int]) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b),
        min(len(ids), len(others)),
    )
    there, here = (
        [vocabulary.piece(i) for i in side[max(0, at - 1) : at + 3]] for side in (ids, others)
    )
    return (
        f"spm.model and tokenizer.json differ on {_shown(text)} from piece {at}: {there} against "
        f"{here}"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "…")
