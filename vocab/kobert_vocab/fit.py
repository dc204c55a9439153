"""The two SentencePiece runs: BPE to mine candidate pieces, unigram to choose among them."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece

from kobert_vocab.child import ChildError, run_in_child
from kobert_vocab.errors import InputError
from kobert_vocab.hangul import MODERN_JAMO
from kobert_vocab.model_file import read_pieces
from kobert_vocab.normalize import write_rules
from kobert_vocab.scripts import SCRIPTS_WITHOUT_SPACES, script
from kobert_vocab.specials import BYTES, CLS, MASK, NAMED, PAD, SEP, UNK, unused_pieces
from kobert_vocab.word_counts import read_counts, write_counts

# The unigram model drops the rest. With 1.5, text of other kinds than was learnt from took 0.5 %
# more tokens at half a point less of F1 on gold morphemes.
SEEDS_PER_PIECE = 1.1
LONGEST_PIECE = 16  # characters
LONGEST_DIGITS = 4  # a year is worth a piece, a telephone number is not
LONGEST_REPEAT = 4  # ----
LONGEST_LAUGH = 8  # ㅋㅋㅋㅋㅋㅋㅋㅋ
# EM adds up in as many parts as there are threads, so their number shapes the scores; fixed here,
# it makes the same vocabulary on every machine.
THREADS = 4
_TOO_HIGH = re.compile(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)")
# How the log ends where SentencePiece 0.2.1 has crashed: it looks for new pairs after each hundred
# merges, and reads the first of them though there is none when the text has run out right there.
_RAN_OUT = "Updating active symbols. max_freq="
# Private use; no text has it. A weight of 1 in 10**8 would be rounded off, its characters with it.
_ONE_MORE_PAIR = "\U0010fffc\U0010fffd\t1000\n"
_ROWS_AT_A_TIME = 100_000


class _Count(NamedTuple):
    weight: int
    rows: int
    """In how many rows."""


def mine_seeds(rows: Path, out: Path, chars: frozenset[str], *, size: int) -> None:
    """Write candidate pieces of two characters and more, with their weight in ``rows``.

    Args:
        rows: ``text <tab> weight`` lines.
        out: file to write.
        chars: the alphabet.
        size: pieces of the vocabulary in the end.
    """
    most = int(SEEDS_PER_PIECE * size) + len(chars)
    while True:
        model = _mine(rows, out.parent, most)
        counts = _without_clauses(_count_pieces(rows, model), _ranks(model))
        seeds = [(piece, counts[piece]) for piece in sorted(counts) if is_wanted(piece)]
        exhausted = len(read_pieces(model.read_bytes())) < most
        model.unlink()
        if exhausted or len(seeds) + len(chars) >= size:
            break
        most += most // 2  # too many were not wanted
    write_counts(out, seeds)


def _mine(rows: Path, folder: Path, most: int) -> Path:
    try:
        return _merge_pairs(rows, folder, most)
    except ChildError as error:
        if not str(error).endswith(_RAN_OUT):
            raise
        longer = folder / "longer.tsv"
        longer.write_bytes(rows.read_bytes() + _ONE_MORE_PAIR.encode())
        model = _merge_pairs(longer, folder, most)
        longer.unlink()
        return model


def _merge_pairs(rows: Path, folder: Path, most: int) -> Path:
    return _train(
        rows,
        folder,
        "bpe",
        model_type="bpe",
        vocab_size=most,
        hard_vocab_limit=False,
        num_threads=1,
    )


def fit_unigram(
    rows: Path,
    seeds: Path,
    out: Path,
    chars: frozenset[str],
    *,
    size: int,
    unused: int,
    reserved: Sequence[str],
) -> None:
    """Write the unigram model with all ``chars`` and the best of ``seeds``.

    It has ``size`` pieces less those that are ``reserved``, which are to be added.

    Raises:
        InputError: the text does not hold so many pieces.
    """
    left = out.with_name("seeds.tsv")
    taken = frozenset(reserved)
    write_counts(left, (row for row in read_counts(seeds) if row[0] not in taken))
    try:
        model = _train(
            rows,
            out.parent,
            "unigram",
            model_type="unigram",
            vocab_size=size - len(reserved),
            hard_vocab_limit=True,
            seed_sentencepieces_file=_within(left, out.parent),
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
    except ChildError as error:
        too_high = _TOO_HIGH.search(str(error))
        if too_high is None:
            raise
        most = int(too_high[1]) + len(reserved)
        # Of fewer candidates a few more or less are left, so not quite the number; but no smaller
        # than the pieces that every vocabulary of this text has.
        least = len(NAMED) + unused + BYTES + len(chars) + len(reserved) + 1
        advice = max(most - most // 2000, least)
        raise InputError(
            f"size: this text has no more than {most} pieces in it; "
            f"choose a size up to {advice}, or give more text"
        ) from error
    left.unlink()
    model.rename(out)


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
    return char in MODERN_JAMO


def _count_pieces(rows: Path, model: Path) -> dict[str, _Count]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    size = processor.get_piece_size()
    weights, found_in = [0] * size, [0] * size
    rest = read_counts(rows)
    while batch := list(islice(rest, _ROWS_AT_A_TIME)):
        texts = [text for text, _ in batch]
        for ids, (_, weight) in zip(processor.encode(texts), batch, strict=True):
            for piece_id in ids:
                weights[piece_id] += weight
                found_in[piece_id] += 1
    return {
        processor.id_to_piece(i): _Count(weights[i], found_in[i]) for i in range(size) if weights[i]
    }


def _ranks(model: Path) -> dict[str, int]:
    """Which merge made each piece, by the pieces: SentencePiece keeps them in that order."""
    return {piece.text: i for i, piece in enumerate(read_pieces(model.read_bytes()))}


def _without_clauses(counts: Mapping[str, _Count], ranks: Mapping[str, int]) -> dict[str, int]:
    """The weights of pieces, those that learnt a clause by heart taken apart.

    Where no spaces are written a row is a clause, and of little text BPE makes whole ones a piece.
    So there a piece must be found in two rows; else its weight goes to what it was merged from.
    """
    counts = dict(counts)
    for length in range(LONGEST_PIECE, 1, -1):
        for piece in sorted(piece for piece in counts if len(piece) == length):
            if counts[piece].rows == 1 and _is_written_without_spaces(piece):
                given = counts.pop(piece)
                for part in _merged_from(piece, ranks):
                    had = counts.get(part, _Count(0, 0))
                    counts[part] = _Count(had.weight + given.weight, had.rows + given.rows)
    return {piece: count.weight for piece, count in counts.items()}


def _merged_from(piece: str, ranks: Mapping[str, int]) -> tuple[str, str]:
    """The two pieces that BPE made ``piece`` of: the pair that was there first."""
    pairs = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
    return min(pairs, key=lambda pair: max(ranks.get(part, len(ranks)) for part in pair))


def _is_written_without_spaces(piece: str) -> bool:
    return script(piece.removeprefix("▁")[:1]) in SCRIPTS_WITHOUT_SPACES


def _within(path: Path, folder: Path) -> str:
    # SentencePiece takes a comma in a path for the end of one; these names of ours have none.
    return str(path.relative_to(folder.parent))


def _train(rows: Path, folder: Path, name: str, **options: object) -> Path:
    """Run one training in a child process and give its model in ``folder``.

    Raises:
        ChildError: SentencePiece failed.
    """
    rules = folder / "rules.tsv"
    write_rules(rules)
    log = folder / f"{name}.log"
    arguments = {
        "input": _within(rows, folder),
        "input_format": "tsv",
        "model_prefix": _within(folder / name, folder),
        "normalization_rule_tsv": _within(rules, folder),
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
    run_in_child(__name__, "train_here", arguments, folder=folder.parent, log=log)
    for file in (rules, log, folder / f"{name}.vocab"):
        file.unlink()
    return folder / f"{name}.model"


def train_here(**options: Any) -> None:  # noqa: ANN401 (whatever SentencePiece takes)
    """Run the trainer of SentencePiece in this process, which it may abort."""
    sentencepiece.SentencePieceTrainer.train(**options)
