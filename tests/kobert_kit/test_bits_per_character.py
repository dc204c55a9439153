import json
import math

import numpy as np
import pytest

from kobert_kit.pretraining.evaluation import bits_per_character


def test_bits_are_the_summed_loss_by_the_characters():
    losses = np.array([math.log(2), 3 * math.log(2)], np.float32)
    assert bits_per_character(losses, np.array([1, 1])) == pytest.approx(2)
    assert bits_per_character(losses, np.array([3, 1])) == pytest.approx(1)
    assert bits_per_character(losses, np.array([4, 0])) == pytest.approx(1)


def test_what_stands_for_no_character_has_none():
    assert bits_per_character(np.array([1.0], np.float32), np.array([0])) is None


def test_longer_pieces_with_the_same_loss_in_sum_score_the_same():
    # One token of four characters, or four of one: what a vocabulary is like does not count.
    one = bits_per_character(np.array([8.0], np.float32), np.array([4]))
    four = bits_per_character(np.full(4, 2.0, np.float32), np.ones(4, np.int64))
    assert one == pytest.approx(four)


def test_an_untrained_model_needs_the_bits_of_its_vocabulary(short_run, vocabulary):
    _, evaluation = short_run
    korean = evaluation.languages["ko"]
    characters = korean.masked * korean.loss / math.log(2) / korean.bits_per_character
    assert characters == pytest.approx(round(characters), abs=1e-3)
    assert 1 < characters / korean.masked < 5
    # 12 steps have taught it little.
    assert korean.loss == pytest.approx(math.log(len(vocabulary)), abs=1)


def test_languages_add_up_to_the_whole(short_run):
    _, evaluation = short_run
    bits = sum(one.masked * one.loss for one in evaluation.languages.values()) / math.log(2)
    characters = sum(
        one.masked * one.loss / math.log(2) / one.bits_per_character
        for one in evaluation.languages.values()
    )
    assert evaluation.bits_per_character == pytest.approx(bits / characters, rel=1e-4)


def test_it_is_in_the_metrics_and_on_the_page(short_run):
    config, evaluation = short_run
    last = json.loads((config.out / "metrics.jsonl").read_text().splitlines()[-1])["evaluation"]
    assert last["bits_per_character"] == evaluation.bits_per_character
    korean = evaluation.languages["ko"].bits_per_character
    assert last["languages"]["ko"]["bits_per_character"] == korean
    page = (config.out / "report.html").read_text(encoding="utf-8")
    assert page.count("bits per character") == 3  # figure, curve, table
    assert f"<td>{korean:.2f}</td>" in page
