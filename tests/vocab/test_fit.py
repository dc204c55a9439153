from pathlib import Path

import pytest

from kobert_vocab import InputError
from kobert_vocab.fit import _report, _train, is_wanted, mine_seeds, with_cuts


def test_cuts_become_delimiters() -> None:
    assert with_cuts(" 학교에서는", [3, 5]) == " 학교␟에서␟는"
    assert with_cuts(" 학교", ()) == " 학교"


@pytest.mark.parametrize("piece", ["▁서울", "2024", "ㅋㅋㅋㅋㅋㅋㅋㅋ", "----", "kg", "하하하하"])
def test_wanted(piece: str) -> None:
    assert is_wanted(piece)


@pytest.mark.parametrize(
    "piece", ["가", "20240", "a12345", "ㅋ" * 9, "-----", "ㅠ" * 9, "하하하하하"[:0]]
)
def test_unwanted(piece: str) -> None:
    assert not is_wanted(piece)


def test_seeds_do_not_cross_cuts(tmp_path: Path) -> None:
    words = {" 학교에서": 100, " 바다에서": 100, " 학교는": 100, " 바다는": 100}
    cuts = {" 학교에서": [3], " 바다에서": [3], " 학교는": [3], " 바다는": [3]}
    chars = frozenset("학교바다에서는")
    bounded = mine_seeds(words, cuts, chars, tmp_path, size=40)
    assert {"▁학교", "▁바다", "에서"} <= set(bounded)
    assert not any("교에" in seed or "다에" in seed or "다는" in seed for seed in bounded)
    assert bounded["에서"] == 200
    free = mine_seeds(words, {}, chars, tmp_path, size=40)
    assert "▁학교에서" in free


def test_unwanted_pieces_are_no_seeds(tmp_path: Path) -> None:
    words = {" 01012345678": 100, " ------": 100, " 2024": 100}
    seeds = mine_seeds(words, {}, frozenset("0123456789-"), tmp_path, size=40)
    assert "▁2024" in seeds
    assert [seed for seed in seeds if not is_wanted(seed)] == []


def test_an_abort_in_sentencepiece_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("three\tcolumns\there\n")
    with pytest.raises(RuntimeError, match="SentencePiece ended with"):
        _train(tmp_path, "bad", "bad.tsv", model_type="unigram", vocab_size=300)


def test_a_size_out_of_reach_names_the_largest() -> None:
    log = "INTERNAL: Vocabulary size too high (9000). Please set it to a value <= 4321."
    with pytest.raises(InputError, match="up to 4321"):
        _report(log, 1)
