"""One peer trained on a text file: ``python benchmarks/vocabulary_peers.py NAME TEXT OUT SIZE``.

Each with the settings its own documentation gives for such text. What serves all (threads, no limit
on the text) is set alike.
"""

import sys
from collections.abc import Callable
from pathlib import Path

THREADS = 2
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def sentencepiece(kind: str) -> Callable[[Path, Path, int], None]:
    """SentencePiece by itself, with byte fallback."""

    def train(text: Path, out: Path, size: int) -> None:
        from sentencepiece import SentencePieceTrainer

        SentencePieceTrainer.train(
            input=str(text),
            model_prefix=str(out / "spm"),
            model_type=kind,
            vocab_size=size,
            character_coverage=0.9995,
            byte_fallback=True,
            max_sentence_length=1 << 16,
            num_threads=THREADS,
        )

    return train


def hugging_face(kind: str) -> Callable[[Path, Path, int], None]:
    """The trainers of ``tokenizers``."""

    def train(text: Path, out: Path, size: int) -> None:
        from tokenizers import (
            Tokenizer,
            decoders,
            models,
            normalizers,
            pre_tokenizers,
            trainers,
        )

        match kind:
            case "unigram":
                tokenizer = Tokenizer(models.Unigram())
                tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
                tokenizer.decoder = decoders.Metaspace()
                trainer = trainers.UnigramTrainer(
                    vocab_size=size, special_tokens=SPECIALS, unk_token="[UNK]"
                )
            case "bpe":  # byte-level, as in RoBERTa
                tokenizer = Tokenizer(models.BPE())
                tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
                tokenizer.decoder = decoders.ByteLevel()
                trainer = trainers.BpeTrainer(
                    vocab_size=size,
                    special_tokens=SPECIALS,
                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                )
            case "wordpiece":  # as in BERT
                tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
                tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
                tokenizer.decoder = decoders.WordPiece()
                trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIALS)
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.train([str(text)], trainer)
        tokenizer.save(str(out / "tokenizer.json"))

    return train


def kiwi(text: Path, out: Path, size: int) -> None:
    """Kiwi's own trainer: byte-level BPE that does not cross particles and endings."""
    from kiwipiepy import Kiwi
    from kiwipiepy.bpe_trainer import train_bpe_tokenizer

    with text.open(encoding="utf-8") as lines:
        train_bpe_tokenizer(
            str(out / "tokenizer.json"),
            (line.rstrip("\n") for line in lines),
            size,
            add_prefix_space=True,
            pretokenize_j=True,
            pretokenize_e=True,
            pretokenize_vcp=True,
            pretokenize_xsv=True,
            kiwi=Kiwi(num_workers=THREADS),
            num_workers=THREADS,
            show_progress=False,
        )


PEERS = {
    "sentencepiece unigram": sentencepiece("unigram"),
    "sentencepiece bpe": sentencepiece("bpe"),
    "tokenizers wordpiece": hugging_face("wordpiece"),
    "tokenizers byte-level bpe": hugging_face("bpe"),
    "kiwipiepy bpe": kiwi,
    "tokenizers unigram": hugging_face("unigram"),
}

if __name__ == "__main__":
    name, text, out, size = sys.argv[1:]
    PEERS[name](Path(text), Path(out), int(size))
