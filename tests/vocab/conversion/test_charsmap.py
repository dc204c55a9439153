import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_vocab.conversion.charsmap import compile_rules, read_rules

STRINGS = st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=4)


@given(st.dictionaries(STRINGS.filter(bool), STRINGS, min_size=1))
def test_rules_survive(rules) -> None:
    assert read_rules(compile_rules(rules)) == rules


def test_a_model_without_rules_has_none() -> None:
    assert read_rules(b"") == {}


def test_children_may_be_far_away() -> None:
    far, ends, leaf = 1 << 9, 1 << 8, 1 << 31
    units = [0] * 600
    units[0] = 1 << 10 | far  # 256 slots on
    place = 256 ^ ord("a")
    units[place] = ord("a") | ends | (place ^ 500) << 10
    units[500] = leaf | 1
    trie = struct.pack("<600I", *units)
    assert read_rules(struct.pack("<I", len(trie)) + trie + b"\0b\0") == {"a": "b"}


def test_rules_of_nfkc_are_all_found(pair) -> None:
    rules = read_rules(pair(normalization_rule_name="nfkc").model.charsmap)
    assert rules["㎏"] == "kg"
    assert rules["ᄀ\u1161ᆨ"] == "각"
    assert len(rules) > 200_000


@pytest.mark.parametrize("cut", [3, 10, 0.3, 0.9])
def test_damaged_rules_are_told(pair, cut) -> None:
    whole = pair(normalization_rule_name="nfkc").model.charsmap
    with pytest.raises(ValueError, match=r"damaged|buffer|subsection|invalid"):
        read_rules(whole[: int(cut if cut > 1 else cut * len(whole))])
