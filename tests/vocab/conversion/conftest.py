"""SentencePiece models of many kinds, trained for the tests on text made up here."""

import io
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer

from kobert_vocab.conversion.fast_tokenizer import fast_tokenizer
from kobert_vocab.conversion.model import SentencePieceModel, read_model
from kobert_vocab.id_layout import IdLayout, lay_out
from kobert_vocab.model_file import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Piece,
    piece_field,
    write_fields,
)
from kobert_vocab.rounding import Rounding
from kobert_vocab.vocabulary import Vocabulary

# The names and ids of KoBERT's special pieces.
KOBERT = {
    "unk_id": 0,
    "unk_piece": "[UNK]",
    "pad_id": 1,
    "pad_piece": "[PAD]",
    "bos_id": 2,
    "bos_piece": "[CLS]",
    "eos_id": 3,
    "eos_piece": "[SEP]",
    "control_symbols": ("[MASK]",),
}
WORDS = """
학교 서울 사람 도시 바다 친구 음식 영화 시간 마음 나라 회사 선생님 컴퓨터 도서관
에서 에게 까지 부터 처럼 먹고 읽고 찾습니다 받았습니다 웃는데 걷어요 잡았다
the quick brown fox jumps over lazy dogs naïve café señor Ångström
2024년 12,500원 3kg OECD는 넵!!! ㅋㅋㅋㅋ ㅠㅠ (대박) 👍 --- ... 日本語 東京 ภาษาไทย
"""


@cache
def trained(**options: object) -> bytes:
    """A model of 700 pieces; the same options train it once."""
    draw = random.Random(1)
    lines = [" ".join(draw.choices(WORDS.split(), k=8)) for _ in range(600)]
    lines += [" ".join(string.printable[:94])] * 3 + ["한 번 더"] * 200
    out = io.BytesIO()
    defaults = {"vocab_size": 700, "character_coverage": 1.0, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        minloglevel=2,
        num_threads=1,
        **{**defaults, **{k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}},
    )
    return out.getvalue()


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model as SentencePiece has it and as `tokenizers` has it."""

    model: SentencePieceModel
    layout: IdLayout
    processor: sentencepiece.SentencePieceProcessor
    fast: Tokenizer
    rounding: Rounding

    def difference(self, text: str) -> str | None:
        """What is not the same; None if nothing is but what rounding decides."""
        ids = [self.layout.ids[i] for i in self.processor.encode(text)]
        others = self.fast.encode(text, add_special_tokens=False).ids
        if ids == others or self.rounding.decides(text, ids, others):
            return None
        shown = [[self.layout.pieces[i] for i in side] for side in (ids, others)]
        return f"{text!a}: {shown[0]!a} against {shown[1]!a}"


@pytest.fixture(scope="session")
def kobert_pieces() -> dict[str, object]:
    """Options that give a model KoBERT's special pieces: unknown 0, padding 1, mask 4."""
    return KOBERT


@pytest.fixture(scope="session")
def spm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train a model with these options, and give its path."""

    def train(**options: object) -> Path:
        path = tmp_path_factory.mktemp("spm") / "spiece.model"
        path.write_bytes(trained(**options))
        return path

    return train


@pytest.fixture(scope="session")
def pair(spm: Callable[..., Path]) -> Callable[..., Pair]:
    """Train a model with KoBERT's special pieces and these options, and convert it."""

    @cache
    def make(**options: object) -> Pair:
        return pair_of(spm(**{**KOBERT, **options}))

    return make


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Pair]:
    """Write a unigram model with these pieces by hand, and convert it."""

    def make(scores: dict[str, float], user_defined: tuple[str, ...] = ()) -> Pair:
        pieces = [Piece("[UNK]", 0, UNKNOWN)]
        pieces += [Piece(f"[{name}]", 0, CONTROL) for name in ("PAD", "CLS", "SEP", "MASK")]
        pieces += [Piece(text, score, NORMAL) for text, score in scores.items()]
        pieces += [Piece(text, 0, USER_DEFINED) for text in user_defined]
        path = tmp_path / "spm.model"
        path.write_bytes(write_fields(map(piece_field, pieces)))
        return pair_of(path)

    return make


def pair_of(path: Path) -> Pair:
    """The model at ``path`` in both forms."""
    model = read_model(path)
    names = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    layout = lay_out(
        [piece.text for piece in model.pieces], unk=model.unknown.text, style="bert", names=names
    )
    fast = Tokenizer.from_str(fast_tokenizer(model, layout).to_str())
    fast.encode_special_tokens = True  # literal [CLS] is plain text, as it is for SentencePiece
    return Pair(
        model=model,
        layout=layout,
        processor=sentencepiece.SentencePieceProcessor(model_proto=model.content),
        fast=fast,
        rounding=Rounding(model.content, Vocabulary(model.content, layout)),
    )
