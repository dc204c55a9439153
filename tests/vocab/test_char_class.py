import re

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, normalizers

from kobert_vocab.char_class import char_class, longest_of

STRINGS = st.lists(st.text(st.sampled_from("abcd가나"), min_size=1, max_size=4), min_size=1)


@given(st.sets(st.characters(codec="utf-8"), min_size=1), st.characters(codec="utf-8"))
def test_a_class_has_its_characters_and_no_others(chars, other) -> None:
    found = normalizers.Replace(Regex(f"[{char_class(chars)}]"), "")
    assert found.normalize_str("".join(chars)) == ""
    assert (found.normalize_str(other) == "") == (other in chars)


@given(STRINGS, st.text(st.sampled_from("abcd가나e")))
def test_the_longest_string_is_found(strings, text) -> None:
    longest_first = sorted(set(strings), key=len, reverse=True)
    expected = re.sub("|".join(map(re.escape, longest_first)), "-", text)
    found = normalizers.Replace(Regex(f"(?>{longest_of(strings)})"), "-")
    assert found.normalize_str(text) == expected


def test_strings_with_the_same_ends_share_them() -> None:
    assert longest_of(["ax", "bx", "ay", "by", "a", "b"]) == (
        r"(?:[\x{61}-\x{62}](?:[\x{78}-\x{79}])?)"
    )
