import math
from pathlib import Path

import pytest

from kobert_vocab.finish import SCORE_STEPS, finish
from kobert_vocab.model_file import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    Piece,
    piece_field,
    read_fields,
    read_piece,
    read_pieces,
    write_fields,
)


@pytest.fixture(scope="module")
def model(trained: Path) -> bytes:
    return (trained / "spm.model").read_bytes()


def test_reading_and_writing_gives_the_same_bytes(model: bytes) -> None:
    assert write_fields(read_fields(model)) == model


@pytest.mark.parametrize("piece", [Piece("▁가", -3.5, NORMAL), Piece("[PAD]", 0.0, CONTROL)])
def test_piece_survives(piece: Piece) -> None:
    field = piece_field(piece)
    assert isinstance(field.value, bytes)
    assert read_piece(field.value) == piece


def test_ids_are_laid_out_as_promised(model: bytes) -> None:
    pieces = read_pieces(model)
    assert [p.text for p in pieces[:5]] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert [p.type for p in pieces[:5]] == [CONTROL, UNKNOWN, CONTROL, CONTROL, CONTROL]
    assert [p.text for p in pieces[5:105]] == [f"[unused{i}]" for i in range(100)]
    assert [p.text for p in pieces[105:361]] == [f"<0x{i:02X}>" for i in range(256)]
    assert {p.type for p in pieces[105:361]} == {BYTE}
    assert {p.type for p in pieces[361:]} == {NORMAL}


def test_scores_are_multiples_of_a_64th(model: bytes) -> None:
    scores = [p.score * SCORE_STEPS for p in read_pieces(model) if p.type == NORMAL]
    assert all(math.isfinite(score) and score == int(score) for score in scores)


def test_nothing_is_left_of_the_training_machine(model: bytes, trained: Path, corpus: Path) -> None:
    for file in trained.iterdir():
        content = file.read_bytes()
        assert b".tsv" not in content
        assert str(corpus).encode() not in content
        assert str(trained.parent).encode() not in content


def test_finishing_twice_changes_nothing(model: bytes) -> None:
    assert finish(model) == model
