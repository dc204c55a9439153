from pathlib import Path

import pytest

from kobert_vocab import InputError
from kobert_vocab.child import ChildError
from kobert_vocab.fit import _Count, _without_clauses, fit_unigram, is_wanted, mine_seeds
from kobert_vocab.model_file import read_pieces
from kobert_vocab.word_counts import read_counts, write_counts

CHARS = frozenset("학교바다에서는")
ROWS = {" 학교": 200, " 바다": 200, "에서": 200, "는": 200}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "steps" / "weigh" / "rows.tsv"
    for step in ("weigh", "mine", "fit"):
        (tmp_path / "steps" / step).mkdir(parents=True)
    write_counts(path, sorted(ROWS.items()))
    return path


def mine(rows: Path, chars: frozenset[str] = CHARS) -> dict[str, int]:
    out = rows.parent.parent / "mine" / "seeds.tsv"
    mine_seeds(rows, out, chars, size=40)
    return dict(read_counts(out))


def fit(rows: Path, size: int, reserved: tuple[str, ...] = ()) -> list[str]:
    steps = rows.parent.parent
    out = steps / "fit" / "unigram.model"
    fit_unigram(
        rows,
        steps / "mine" / "seeds.tsv",
        out,
        CHARS,
        size=size,
        unused=2,
        reserved=reserved,
    )
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return [piece.text for piece in read_pieces(out.read_bytes())]


@pytest.mark.parametrize("piece", ["▁서울", "2024", "ㅋㅋㅋㅋㅋㅋㅋㅋ", "----", "kg", "하하하하"])
def test_wanted(piece: str) -> None:
    assert is_wanted(piece)


@pytest.mark.parametrize("piece", ["가", "20240", "a12345", "ㅋ" * 9, "-----", "ㅠ" * 9])
def test_unwanted(piece: str) -> None:
    assert not is_wanted(piece)


def test_seeds_cross_no_rows_and_carry_their_weight(rows: Path) -> None:
    assert mine(rows) == {"▁학교": 200, "▁바다": 200, "에서": 200}


def test_unwanted_pieces_are_no_seeds(rows: Path) -> None:
    write_counts(rows, [(" ------", 100), (" 01012345678", 100), (" 2024", 100)])
    seeds = mine(rows, frozenset("0123456789-"))
    assert "▁2024" in seeds
    assert [seed for seed in seeds if not is_wanted(seed)] == []


def test_scripts_and_numbers_do_not_mix_in_a_piece(rows: Path) -> None:
    write_counts(rows, [(" 3kg에서", 500), (" 가abc", 500), (" 가漢字", 500), (" 다漢字", 500)])
    seeds = mine(rows, frozenset("3kgabc가다에서漢字"))
    assert set(seeds) == {"kg", "에서", "abc", "漢字", "▁가", "▁다", "▁3"} & set(seeds)
    assert {"kg", "abc", "漢字", "에서"} <= set(seeds)


def test_the_model_has_as_many_pieces_as_asked(rows: Path) -> None:
    mine(rows)
    pieces = fit(rows, 7 + 256 + 7 + 1 + 3)
    assert pieces[:7] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
    assert pieces[7] == "<0x00>"
    assert set(pieces[263:]) == {*CHARS, "▁", "▁학교", "▁바다", "에서"}


def test_reserved_pieces_are_left_out_for_others(rows: Path) -> None:
    mine(rows)
    pieces = fit(rows, 7 + 256 + 7 + 1 + 3, reserved=("▁학교",))
    assert "▁학교" not in pieces
    assert len(pieces) == 7 + 256 + 7 + 1 + 2


def test_a_size_out_of_reach_names_the_largest(rows: Path) -> None:
    mine(rows)
    with pytest.raises(InputError, match=r"choose a size up to \d+") as error:
        fit(rows, 4000)
    largest = int(str(error.value).split("up to ")[1].split(",")[0])
    assert len(fit(rows, largest)) == largest


def test_an_abort_in_sentencepiece_is_reported_with_its_log(rows: Path) -> None:
    rows.write_text("three\tcolumns\there\n")
    with pytest.raises(ChildError, match="ended with"):
        mine(rows)


def test_a_clause_met_once_is_no_seed_but_its_parts_are(rows: Path) -> None:
    clauses = ["我弟弟每天看书", "我弟弟每天上班", "老人每天看书", "老人上班"]
    write_counts(rows, sorted((" " + clause, 1000) for clause in clauses))
    seeds = mine(rows, frozenset("".join(clauses)))
    assert not [seed for seed in seeds if sum(seed.strip("▁") in c for c in clauses) < 2]
    assert {"弟弟", "每天", "看书", "上班", "老人"} & set(seeds)
    write_counts(rows, [(" 학교에서는바다에서", 1000)])  # of a language with spaces it may be
    assert "▁학교에서는바다에서" in mine(rows)


def test_more_are_mined_where_many_are_not_wanted(rows: Path) -> None:
    digits = [(f" {number}", 10**6) for number in range(10**8, 10**8 + 300)]
    words = [(f" {a}{b}{c}", 10) for a in "학교바" for b in "다에서" for c in "는학교"]
    write_counts(rows, sorted([*digits, *words]))
    chars = CHARS | frozenset("0123456789")
    out = rows.parent.parent / "mine" / "seeds.tsv"
    mine_seeds(rows, out, chars, size=40)
    assert len(list(read_counts(out))) + len(chars) >= 40


def test_the_weight_of_a_clause_goes_to_what_it_was_merged_from() -> None:
    ranks = {piece: i for i, piece in enumerate(["弟弟", "我弟弟", "每天", "我弟弟每天", "每天看"])}
    counts = {"我弟弟每天": _Count(7, 1), "每天": _Count(5, 3), "弟弟": _Count(1, 2)}
    assert _without_clauses(counts, ranks) == {"每天": 12, "弟弟": 8, "我": 7}
