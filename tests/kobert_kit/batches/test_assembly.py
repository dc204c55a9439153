"""Which tokens of a batch are masked together, found again piece by piece."""

import unicodedata

import numpy as np
import pytest

from kobert_kit.batches.assembly import Assembly, Texts
from kobert_kit.batches.batch import IGNORED, PADDING
from kobert_kit.batches.counter_random import bits
from kobert_kit.batches.masking import budgets
from kobert_kit.batches.options import Masking
from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.shard_writer import ShardWriter
from kobert_kit.corpus.shards import Corpus

LINES = (
    "오늘은 서울(Seoul)에서 비가 내렸습니다, 뷁스러운 쀍이다.",
    "학교에서 아이들이 놀았다! 우산을 챙기자.",
    "Extraordinarily internationalised misunderstandings, again.",
)
LENGTH, WINDOWS = 64, 400
EVERY = 3  # the place of a morpheme in the test's text: at each third token


@pytest.fixture(scope="module")
def shard(vocabulary, tmp_path_factory):
    """Text of which each third token begins a morpheme, and each line is a document."""
    lines = [vocabulary.encode(line) for line in LINES]
    tokens = np.concatenate([np.array(line) for line in lines])
    ones = np.ones(len(lines), dtype=np.int64)
    writer = ShardWriter(tmp_path_factory.mktemp("corpus"), len(vocabulary), morphemes=True)
    documents = Documents(
        tokens=tokens,
        morphemes=np.arange(len(tokens)) % EVERY == 0,
        sentences=np.array([len(line) for line in lines]),
        documents=ones,
        languages=0 * ones,
        hashes=np.arange(len(lines), dtype=np.uint64),
        lines=ones,
        words=ones,
        bytes=ones,
    )
    writer.append("ko", documents, source=0)
    writer.finish("test", 0.0)
    return Corpus.load(writer._folder).shards["ko"]


@pytest.fixture(scope="module")
def texts(shard):
    """Two stretches in each sequence that begin anywhere, in the middle of words too."""
    rng = np.random.default_rng(0)
    begin = rng.integers(0, len(shard.tokens) - 30, (2, WINDOWS))
    end = begin + rng.integers(1, 30, (2, WINDOWS))
    return Texts(
        language=np.zeros(WINDOWS, dtype=np.int64),
        a_begin=begin[0],
        a_end=end[0],
        b_begin=begin[1],
        b_end=end[1],
        label=np.zeros(WINDOWS, dtype=np.int64),
        keys=bits(1, np.arange(WINDOWS)),
    )


@pytest.fixture(scope="module")
def make(shard, vocabulary, texts):
    def make(masking, rate=0.3, *, spaced=True, room=WINDOWS * LENGTH):
        assembly = Assembly(
            *([shard], np.array([spaced]), vocabulary), pairing="next", length=LENGTH
        )
        return assembly.batch(texts, masking, rate, room, room)

    return make


def is_sign(piece):
    text = piece.removeprefix("▁")
    return bool(text) and not any(unicodedata.category(char)[0] in "LNM" for char in text)


def units_of(begin, end, shard, vocabulary, unit, longest):
    """Places of the tokens from ``begin`` to ``end``, those masked together in one list."""
    units = []
    for place in range(begin, end):
        piece = vocabulary.piece(int(shard.tokens[place]))
        after_sign = place > begin and is_sign(vocabulary.piece(int(shard.tokens[place - 1])))
        starts = place == begin or piece.startswith("▁") or is_sign(piece) or after_sign
        starts |= unit == "morpheme" and place % EVERY == 0
        if starts or len(units[-1]) == longest:
            # A word that is too long is cut; what follows the cut is a unit again.
            units.append([])
        units[-1].append(place)
    return units


def chosen_units(batch, texts, shard, vocabulary, masking, rate):
    """For each unit of the batch which of its tokens are chosen."""
    chosen = np.zeros(len(batch.tokens), dtype=bool)
    chosen[batch.masked[batch.labels != IGNORED]] = True
    for i in range(WINDOWS):
        at = int(batch.cu_seqlens[i]) + 1
        length = int(batch.cu_seqlens[i + 1] - batch.cu_seqlens[i])
        longest = min(masking.longest_unit, int(budgets(np.array([length]), rate)[0]))
        for begin, end in ((texts.a_begin, texts.a_end), (texts.b_begin, texts.b_end)):
            about = (int(begin[i]), int(end[i]), shard, vocabulary, masking.unit, longest)
            for unit in units_of(*about):
                yield chosen[at : at + len(unit)]
                at += len(unit)
            at += 1  # [SEP]


@pytest.mark.parametrize("rule", ["exact", "bernoulli"])
@pytest.mark.parametrize("unit", ["word", "morpheme"])
def test_units_of_a_batch_are_chosen_whole_or_not_at_all(
    make, texts, shard, vocabulary, unit, rule
):
    masking = Masking(unit=unit, rule=rule, longest_unit=4)
    found = list(chosen_units(make(masking), texts, shard, vocabulary, masking, 0.3))
    assert all(unit.all() or not unit.any() for unit in found)
    several = [unit for unit in found if len(unit) > 1]
    share = np.mean([unit.all() for unit in several])
    assert len(several) > 1_000
    assert 0.15 < share < 0.35


def test_a_text_that_begins_within_a_word_can_be_chosen_from_its_first_token(make, texts):
    batch = make(Masking(unit="word", rule="bernoulli"), rate=0.5)
    chosen = np.zeros(len(batch.tokens), dtype=bool)
    chosen[batch.masked[batch.labels != IGNORED]] = True
    begins = batch.cu_seqlens[:WINDOWS]
    b_begins = begins + 2 + (texts.a_end - texts.a_begin)
    assert chosen[begins + 1].mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / WINDOWS))
    assert chosen[b_begins].mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / WINDOWS))


def test_pieces_are_units_where_no_spaces_are_written(make, texts, shard, vocabulary):
    masking = Masking(unit="word", rule="bernoulli")
    batch = make(masking, spaced=False)
    found = chosen_units(batch, texts, shard, vocabulary, masking, 0.3)
    assert any(unit.any() and not unit.all() for unit in found)


def test_what_is_left_of_a_batch_is_padding_in_sequences_of_full_length(make):
    batch = make(Masking())
    lengths = np.diff(batch.cu_seqlens)[WINDOWS:]
    assert (batch.language[WINDOWS:] == PADDING).all()
    assert (lengths[:-1] == LENGTH).all()
    assert 0 < lengths[-1] <= LENGTH
    assert len(lengths) == -(-(WINDOWS * LENGTH - batch.text_tokens) // LENGTH)


def test_a_single_token_that_is_left_is_a_sequence_of_padding(make):
    text = make(Masking()).text_tokens
    batch = make(Masking(), room=text + 1)
    assert batch.cu_seqlens[-2:].tolist() == [text, text + 1]
    assert len(batch.tokens) == text + 1
    assert len(make(Masking(), room=text).language) == WINDOWS
