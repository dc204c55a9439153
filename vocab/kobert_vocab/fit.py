"""The two SentencePiece runs: BPE to mine candidate pieces, unigram to choose among them.

Each runs in a process of its own, because SentencePiece can abort the process it runs in.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import sentencepiece

from kobert_vocab.alphabet import TEXT_DELIMITER
from kobert_vocab.errors import InputError
from kobert_vocab.normalize import write_rules
from kobert_vocab.specials import CLS, MASK, PAD, SEP, UNK, unused_pieces

SEEDS_PER_PIECE = 1.5
LONGEST_PIECE = 16  # characters
LONGEST_DIGITS = 4  # a year is worth a piece, a telephone number is not
LONGEST_REPEAT = 4  # ----
LONGEST_LAUGH = 8  # ㅋㅋㅋㅋㅋㅋㅋㅋ
# EM adds up in as many parts as there are threads, so their number shapes the scores; fixed here,
# it makes the same vocabulary on every machine.
THREADS = 4
_TOO_HIGH = re.compile(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)")
_CHILD = (
    "import json, sys, sentencepiece as s; s.SentencePieceTrainer.train(**json.load(sys.stdin))"
)


def mine_seeds(
    words: Mapping[str, int],
    cuts: Mapping[str, list[int]],
    chars: frozenset[str],
    work: Path,
    *,
    size: int,
) -> dict[str, int]:
    """Pieces of two characters and more that cross no cut, with their weight in ``words``."""
    segmented = ((with_cuts(word, cuts.get(word, ())), weight) for word, weight in words.items())
    _write_rows(work / "words.seg.tsv", segmented)
    _train(
        work,
        "seeds",
        "words.seg.tsv",
        model_type="bpe",
        vocab_size=int(SEEDS_PER_PIECE * size) + len(chars),
        hard_vocab_limit=False,
        pretokenization_delimiter=TEXT_DELIMITER,
        num_threads=1,
    )
    counts = _count_pieces(words, work / "seeds.model")
    return {piece: count for piece, count in sorted(counts.items()) if count and is_wanted(piece)}


def fit_unigram(
    words: Mapping[str, int],
    seeds: Mapping[str, int],
    chars: frozenset[str],
    work: Path,
    *,
    size: int,
    unused: int,
) -> bytes:
    """The unigram model of ``size`` pieces with all ``chars`` and the best of ``seeds``.

    Raises:
        InputError: the text does not hold so many pieces.
    """
    _write_rows(work / "words.tsv", words.items())
    _write_rows(work / "seeds.tsv", seeds.items())
    _train(
        work,
        "unigram",
        "words.tsv",
        model_type="unigram",
        vocab_size=size,
        hard_vocab_limit=True,
        seed_sentencepieces_file="seeds.tsv",
        required_chars="".join(sorted(chars)),
        byte_fallback=True,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece=PAD,
        unk_piece=UNK,
        bos_piece=CLS,
        eos_piece=SEP,
        control_symbols=[MASK, *unused_pieces(unused)],
        num_sub_iterations=2,
        shrinking_factor=0.75,
        num_threads=THREADS,
    )
    return (work / "unigram.model").read_bytes()


def with_cuts(word: str, cuts: Iterable[int]) -> str:
    """``word`` with the delimiter at its cuts."""
    starts = [0, *cuts]
    return TEXT_DELIMITER.join(
        word[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)
    )


def is_wanted(piece: str) -> bool:
    """Whether ``piece`` may stand in a vocabulary: two characters or more, no long runs.

    >>> [p for p in ("▁서울", "▁2024", "01012", "-----", "ㅋㅋㅋㅋㅋ") if is_wanted(p)]
    ['▁서울', '▁2024', 'ㅋㅋㅋㅋㅋ']
    """
    if len(piece) < 2:
        return False
    if re.search(rf"\d{{{LONGEST_DIGITS + 1}}}", piece):
        return False
    runs = (match.group() for match in re.finditer(r"(.)\1*", piece))
    return all(len(run) <= (LONGEST_LAUGH if _is_jamo(run[0]) else LONGEST_REPEAT) for run in runs)


def _is_jamo(char: str) -> bool:
    return "ㄱ" <= char <= "ㅣ"


def _write_rows(path: Path, rows: Iterable[tuple[str, int]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\t{weight}\n" for text, weight in rows)


def _count_pieces(words: Mapping[str, int], model: Path) -> Counter[str]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    totals = [0] * processor.get_piece_size()
    items = iter(words.items())
    while rows := list(islice(items, 100_000)):
        for ids, (_, weight) in zip(processor.encode([w for w, _ in rows]), rows, strict=True):
            for piece_id in ids:
                totals[piece_id] += weight
    return Counter({processor.id_to_piece(i): total for i, total in enumerate(totals)})


def _train(work: Path, name: str, words: str, **options: object) -> None:
    """Run one training in a child process, its log in ``work``.

    Raises:
        InputError: there are not enough different pieces in the text.
        RuntimeError: SentencePiece failed otherwise; the end of its log is in the message.
    """
    rules = work / "rules.tsv"
    if not rules.exists():
        write_rules(rules)
    request = json.dumps(
        {
            # Names within `work`: SentencePiece would take a comma in a path for a list.
            "input": words,
            "input_format": "tsv",
            "model_prefix": name,
            "normalization_rule_tsv": rules.name,
            # Words bring their own space, or none where none stood before them.
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
            "character_coverage": 1.0,  # the alphabet was chosen before
            "max_sentencepiece_length": LONGEST_PIECE,
            "max_sentence_length": 1 << 16,
            "split_by_unicode_script": True,
            "split_by_number": True,
            **options,
        }
    )
    log = work / f"{name}.log"
    with log.open("wb") as sink:
        done = subprocess.run(  # kills the child on Ctrl-C
            [sys.executable, "-P", "-c", _CHILD],  # -P: no module is found in `work`
            cwd=work,
            input=request.encode(),
            stdout=sink,
            stderr=sink,
        )
    if done.returncode:
        _report(log.read_text(encoding="utf-8", errors="replace"), done.returncode)


def _report(log: str, returncode: int) -> None:
    too_high = _TOO_HIGH.search(log)
    if too_high:
        raise InputError(
            f"size: this text has no more than {too_high[1]} pieces in it; "
            f"choose a size up to {too_high[1]}, or give more text"
        )
    last = "\n".join(log.splitlines()[-5:])
    raise RuntimeError(f"SentencePiece ended with {returncode}:\n{last}")
