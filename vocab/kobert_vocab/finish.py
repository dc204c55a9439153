"""A trained SentencePiece model made ready to publish."""

from collections.abc import Iterator, Sequence

from kobert_vocab.model_file import (
    ADD_DUMMY_PREFIX,
    INPUT,
    MODEL_PREFIX,
    NORMAL,
    NORMALIZER_SPEC,
    PIECES,
    REMOVE_EXTRA_WHITESPACES,
    RULES_FILE,
    SEED_FILE,
    TRAINER_SPEC,
    Field,
    Piece,
    message_field,
    piece_field,
    read_fields,
    read_piece,
    write_fields,
)
from kobert_vocab.user_words import SCORE, user_pieces

# SentencePiece adds scores up in 32 bits over a line, tokenizers in 64 over a word. Multiples of
# 1/64 add up exactly in both up to 262,144, so that ties fall alike; 1/1024 was not enough.
SCORE_STEPS = 64

# They hold paths of the machine that trained.
_PATHS = {TRAINER_SPEC: {INPUT, MODEL_PREFIX, SEED_FILE}, NORMALIZER_SPEC: {RULES_FILE}}
# Off in training, where words bring their own space; on (which is the default) in use.
_SPACE_SWITCHES = {ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES}


def finish(model: bytes, user_words: Sequence[str] = ()) -> bytes:
    """``model`` with rounded scores, spaces handled as for running text, and no paths in it.

    The pieces of ``user_words`` are added at the end; the model has none of them yet.
    """
    return write_fields(_finished(model, user_words))


def _finished(model: bytes, user_words: Sequence[str]) -> Iterator[Field]:
    fields = list(read_fields(model))
    last = max(i for i, field in enumerate(fields) if field.number == PIECES)
    added = [piece_field(Piece(text, SCORE, NORMAL)) for text in user_pieces(user_words)]
    for field in [*fields[: last + 1], *added, *fields[last + 1 :]]:
        if not isinstance(field.value, bytes):
            yield field
        elif field.number == PIECES:
            yield piece_field(_rounded(read_piece(field.value)))
        elif field.number in _PATHS:
            dropped = _PATHS[field.number]
            if field.number == NORMALIZER_SPEC:
                dropped = dropped | _SPACE_SWITCHES
            kept = (inner for inner in read_fields(field.value) if inner.number not in dropped)
            yield message_field(field.number, kept)
        else:
            yield field


def _rounded(piece: Piece) -> Piece:
    if piece.type != NORMAL:
        return piece
    return Piece(piece.text, round(piece.score * SCORE_STEPS) / SCORE_STEPS, piece.type)
