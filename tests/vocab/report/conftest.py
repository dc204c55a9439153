"""Tiny vocabularies of each kind, made of the text of the folder above."""

import io
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from kobert_vocab.report.peers import Peer, Token, open_peer


@pytest.fixture(scope="session")
def korean(corpus: Path) -> list[str]:
    return (corpus / "ko.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peers")


def train_unigram(lines: list[str], path: Path, **options: object) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, minloglevel=2, **options
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def plain(korean: list[str], folder: Path) -> Path:
    """SentencePiece as it comes: nmt_nfkc, no bytes."""
    return train_unigram(korean, folder / "plain.model", vocab_size=400)


@pytest.fixture(scope="session")
def with_bytes(korean: list[str], folder: Path) -> Path:
    """SentencePiece with byte pieces, and without a normaliser."""
    return train_unigram(
        korean,
        folder / "bytes.model",
        vocab_size=700,
        byte_fallback=True,
        normalization_rule_name="identity",
        character_coverage=0.99,
    )


@pytest.fixture(scope="session")
def wordpiece(korean: list[str], folder: Path) -> Path:
    """As BERT is: a folder with tokenizer.json."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([*korean, "a the cat"], trainer)
    (folder / "wordpiece").mkdir()
    tokenizer.save(str(folder / "wordpiece" / "tokenizer.json"))
    return folder / "wordpiece"


@pytest.fixture(scope="session")
def byte_level(korean: list[str], folder: Path) -> Path:
    """As GPT-2 and RoBERTa are: a bare file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(korean, trainer)
    tokenizer.save(str(folder / "bpe.json"))
    return folder / "bpe.json"


@pytest.fixture(scope="session")
def peers(
    trained: Path, plain: Path, with_bytes: Path, wordpiece: Path, byte_level: Path
) -> dict[str, Peer]:
    paths = (trained, plain, with_bytes, wordpiece, byte_level)
    opened = [open_peer(path) for path in paths]
    return dict(zip(("ours", "plain", "bytes", "wordpiece", "bpe"), opened, strict=True))


@pytest.fixture
def fake() -> Callable[..., Peer]:
    """A vocabulary by a table: word to its pieces."""

    def make(table: dict[str, list[str]], *, unknown: str = "[UNK]", **options: object) -> Peer:
        pieces = [unknown, *sorted({piece for row in table.values() for piece in row} - {unknown})]

        def ids_of(text: str) -> list[int]:
            words = text.split()
            return [pieces.index(piece) for word in words for piece in table.get(word, [unknown])]

        def spans(words):
            rows = []
            for word in words:
                ends = list(accumulate(map(len, table[word]), initial=0))
                rows.append(
                    [
                        Token(pieces.index(piece), start, end)
                        for piece, start, end in zip(table[word], ends, ends[1:], strict=False)
                    ]
                )
            return rows

        table = {"a": ["a"], **table}
        pieces.append("a")
        return Peer(
            **{
                "name": "fake",
                "kind": "table",
                "pieces": pieces,
                "texts": pieces,
                "unknown": 0,
                "bytes": frozenset(),
                "byte_level": False,
                "specials": frozenset({0}),
                "encode": lambda texts: [ids_of(text) for text in texts],
                "spans": spans,
                "decode": lambda rows: ["".join(pieces[i] for i in row) for row in rows],
                **options,
            }
        )

    return make
