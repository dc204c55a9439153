from kobert_vocab.report.hangul import hangul
from kobert_vocab.report.peers import Peer

LINES = ["학교에서 먹었습니다", "서울은 바다"]


def test_ours(peers: dict[str, Peer]) -> None:
    found = hangul(peers["ours"], LINES)
    assert (found.ks_x_1001.syllables, found.ks_x_1001.one) == (2350, 2350)
    assert (found.all.syllables, found.all.unknown) == (11172, 0)
    assert found.all.one >= 2350
    assert found.all.one <= found.all.at_most_two <= found.all.at_most_three
    assert (found.jamo, found.jamo_kept, found.jamo_lost) == (51, 51, [])
    assert (found.nfd.lines, found.nfd.blow_up, found.nfd.same_ids) == (2, 1, 1)


def test_nmt_nfkc_loses_jamo_and_syllables(peers: dict[str, Peer]) -> None:
    found = hangul(peers["plain"], LINES)
    assert found.jamo_kept == 0
    assert "ㅋ" in found.jamo_lost
    assert found.all.unknown > 10_000
    assert found.all.one + found.all.unknown <= 11172


def test_byte_level_blows_up_decomposed_text(peers: dict[str, Peer]) -> None:
    found = hangul(peers["bpe"], LINES)
    assert found.nfd.blow_up > 3
    assert found.nfd.same_ids == 0
    assert found.jamo_kept == 51
    assert found.all.at_most_three == 11172


def test_counts_by_hand(fake) -> None:
    table = {"가": ["가"], "나": ["ㄴ", "ㅏ"], "다": ["ㄷ", "ㅏ", ".", "."], "ㅋ": ["ㅋ"]}
    found = hangul(fake(table), [])
    assert (found.all.one, found.all.at_most_two, found.all.at_most_three) == (1, 2, 2)
    assert (found.all.unknown, found.ks_x_1001.unknown) == (11169, 2347)
    assert (found.jamo_kept, "ㅋ" in found.jamo_lost, "ㅎ" in found.jamo_lost) == (1, False, True)
    assert found.nfd is None
