"""A small vocabulary and corpus of the bundled sample, made once for all tests of this folder."""

import sys

import pytest
import torch

from kobert_kit.cli import main
from kobert_kit.corpus.build import build_corpus
from kobert_kit.corpus.shards import Corpus
from kobert_kit.demo import SAMPLE
from kobert_vocab import Vocabulary, train

# The models here are so small that a second thread costs more than it brings.
torch.set_num_threads(1)

LANGUAGES = ("en", "de", "ru", "th", "zh-Hans", "ar")


@pytest.fixture
def kobert(monkeypatch, capsys):
    """Run a command line; gives exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kobert", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def sample_inputs():
    return [
        f"ko={SAMPLE / 'ko' / 'news.txt'}",
        f"ko={SAMPLE / 'ko' / 'reviews.txt'}",
        *(str(SAMPLE / "languages" / f"{code}.txt") for code in LANGUAGES),
    ]


@pytest.fixture(scope="session")
def vocab_folder(tmp_path_factory, sample_inputs):
    # The built-in rules, so that the tests pass without the analyser.
    out = tmp_path_factory.mktemp("vocab") / "v"
    return train(sample_inputs, out, size=4_000, analyser="rules")


@pytest.fixture(scope="session")
def vocabulary(vocab_folder):
    return Vocabulary.load(vocab_folder)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory, vocab_folder, sample_inputs):
    out = tmp_path_factory.mktemp("corpus") / "c"
    build_corpus(sample_inputs, vocab=vocab_folder, out=out, held_out=0.1)
    return out


@pytest.fixture(scope="session")
def corpus(corpus_folder):
    return Corpus.load(corpus_folder)
