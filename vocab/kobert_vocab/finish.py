"""A trained SentencePiece model made ready to publish."""

from collections.abc import Iterator

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

# SentencePiece adds scores up in 32 bits over a line, tokenizers in 64 over a word. Multiples of
# 1/64 add up exactly in both up to 262,144, so that ties fall alike; 1/1024 was not enough.
SCORE_STEPS = 64

# They hold paths of the machine that trained.
_PATHS = {TRAINER_SPEC: {INPUT, MODEL_PREFIX, SEED_FILE}, NORMALIZER_SPEC: {RULES_FILE}}
# Off in training, where words bring their own space; on (which is the default) in use.
_SPACE_SWITCHES = {ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES}


def finish(model: bytes) -> bytes:
    """``model`` with rounded scores, spaces handled as for running text, and no paths in it."""
    return write_fields(_finished(model))


def _finished(model: bytes) -> Iterator[Field]:
    for field in read_fields(model):
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
