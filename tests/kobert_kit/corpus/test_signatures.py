import itertools
import random
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobert_kit.corpus.signatures import (
    BANDS,
    SHORTEST,
    WINDOW,
    _window_hashes,
    bands,
    fingerprint,
)

WORDS = [a + b for a in "가나다라마바사아자차카타파하" for b in "람돌별숲길물불꽃"]


def text_of(seed, words=200):
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words))


def share_of_bands(a, b):
    left, right = (np.frombuffer(bands(text), dtype="<u8") for text in (a, b))
    return np.count_nonzero(left == right) / BANDS


@pytest.mark.parametrize(
    "other", ["비가온다", "비가 온다!!", " 비가\n온다.", unicodedata.normalize("NFD", "비가 온다")]
)
def test_blanks_punctuation_and_decomposition_do_not_count(other):
    assert fingerprint("비가 온다.") == fingerprint(other)


@pytest.mark.parametrize(
    ("a", "b"), [("비가 온다", "비가 온다 2"), ("한 개", "두 개"), ("की", "के"), ("가", "")]
)
def test_letters_marks_and_digits_count(a, b):
    assert fingerprint(a) != fingerprint(b)


def test_case_does_not_count():
    assert fingerprint("STRASSE") == fingerprint("straße")


def test_hashes_are_the_same_in_another_process():
    code = (
        "from kobert_kit.corpus.signatures import *\n"
        "print(fingerprint('비가 온다'), bands('낱말과 글자 ' * 60).hex())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = f"{fingerprint('비가 온다')} {bands('낱말과 글자 ' * 60).hex()}"
    assert there.stdout.strip() == here


def test_hashes_are_those_that_were_released():
    # Signatures of two versions do not compare: a change here needs a new VERSION.
    assert fingerprint("비가 온다") == 2959532334414236107
    assert bands("낱말과 글자 " * 60)[:8].hex() == "edbdd589548bda54"


def test_windows_that_differ_in_a_digit_have_other_hashes():
    # The last of each eight bytes is where a sum of bare products would not tell them apart.
    digits = itertools.product(range(10), repeat=3)
    windows = [f"abcdefg{a}hijklmn{b}opqrstu{c}" for a, b, c in digits]
    hashes = {int(_window_hashes(window.encode())[0]) for window in windows}
    assert len(hashes) == len(windows)


def test_short_texts_have_no_bands():
    assert bands("가" * (SHORTEST - 1)) is None
    assert bands(". " * SHORTEST) is None
    assert len(bands("가" * SHORTEST)) == 8 * BANDS


def test_bands_ignore_what_the_fingerprint_ignores():
    text = text_of(0)
    assert share_of_bands(text, text.replace(" ", "").upper() + "!") == 1


def test_a_few_edits_leave_a_band_and_other_texts_share_none():
    draw = random.Random(1)
    found = 0
    for seed in range(40):
        words = text_of(seed).split()
        words[draw.randrange(len(words))] = "갈아낀"
        found += share_of_bands(text_of(seed), " ".join(words)) > 0
        assert share_of_bands(text_of(seed), text_of(seed + 1000)) == 0
    assert found == 40  # Jaccard 0.97: each is missed with probability 1e-9


@given(st.text(alphabet="aé가😀", min_size=WINDOW, max_size=60))
def test_each_character_begins_a_window_that_its_24_bytes_alone_decide(text):
    data = text.encode()
    begins = [len(text[:place].encode()) for place in range(len(text))]
    windows = [data[begin : begin + WINDOW] for begin in begins if begin + WINDOW <= len(data)]
    hashes = _window_hashes(data)
    assert len(hashes) == len(windows)
    assert len(set(hashes.tolist())) == len(set(windows))
    for window, found in zip(windows[:5] + windows[-5:], [*hashes[:5], *hashes[-5:]], strict=True):
        assert _window_hashes(window)[0] == found


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_text_has_a_fingerprint_of_64_bits(a, b):
    assert 0 <= fingerprint(a + b) < 1 << 64
    assert fingerprint(a) == fingerprint(f" {a} . ")


@given(st.text(alphabet="aé가漢ก😀", min_size=SHORTEST, max_size=400))
def test_any_mix_of_widths_has_bands(text):
    assert len(bands(text)) == 8 * BANDS
