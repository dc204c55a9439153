"""What a part of a corpus holds and counts."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kobert_kit.corpus import part as part_module
from kobert_kit.corpus.cleaning import clean
from kobert_kit.corpus.documents import Documents
from kobert_kit.corpus.duplicates import FINGERPRINTS
from kobert_kit.corpus.korean_sentences import AnalysedSentence
from kobert_kit.corpus.part import EXAMPLE, EXAMPLES, PartCounts, RawDocument, make_part
from kobert_kit.corpus.personal_data import mask_personal


@pytest.fixture
def made(tmp_path, vocabulary):
    """The part of texts of one language: its documents and counts."""

    def made(*texts, language="ko", splitter="rules"):
        block = [RawDocument(text, language, line) for line, text in enumerate(texts, 1)]
        make_part(block, tmp_path, vocabulary, splitter)
        return Documents.load(tmp_path), PartCounts.load(tmp_path)

    return made


def test_words_and_bytes_are_counted_before_and_after(made):
    text = "오늘은  비가 온다. 우산을 챙기자."
    documents, counts = made(text, "!!!")
    kept = "오늘은 비가 온다. 우산을 챙기자."
    assert counts.languages["ko"].read == 2
    assert counts.languages["ko"].read_bytes == len(text.encode()) + 3
    assert documents.bytes.tolist() == [len(kept.encode())]
    assert documents.words.tolist() == [5]
    assert counts.languages["ko"].changed == {"blanks": 1}


@given(
    st.text(
        st.sampled_from("가a. \t\n\r\x0b\x1c\x85\xa0\u2028\u3000\u3164\u200b\ufeffㅁㄴㅇ!"),
        max_size=60,
    )
)
@example("저작권자 ⓒ 신문\n\n무단 전재 및 재배포 금지\n\n비가 온다")
def test_words_are_counted_as_they_are_split(text):
    cleaned, _ = mask_personal(clean(text, "ko").text)
    if cleaned:
        assert part_module._count_words(cleaned) == len(cleaned.split())


def test_a_document_of_which_no_token_is_left_is_dropped_as_empty(
    made, tmp_path, vocabulary, monkeypatch
):
    encode = vocabulary.encode_batch
    monkeypatch.setattr(
        *(vocabulary, "encode_batch"),
        lambda texts: [
            [] if "없다" in text else ids for text, ids in zip(texts, encode(texts), strict=True)
        ],
    )
    documents, counts = made("첫째 글이다.", "아무것도 없다.", "셋째 글이다. 여기도 없다.")
    assert documents.lines.tolist() == [1, 3]
    assert documents.documents.tolist() == [1, 1]
    assert counts.languages["ko"].dropped == {"empty": 1}
    # Signatures are of the documents that stay.
    assert np.fromfile(tmp_path / FINGERPRINTS, "<u8").tolist() == documents.hashes.tolist()


def test_a_few_dropped_documents_are_shown_without_personal_data(made):
    texts = [f"{n} The phone is 010-1234-567{n} in an English review. " * 9 for n in range(6)]
    _, counts = made(*texts)
    assert counts.languages["ko"].dropped == {"language": 6}
    shown = counts.examples["language"]
    assert len(shown) == EXAMPLES
    assert all(len(text) == EXAMPLE and "<phone>" in text for text in shown)
    assert not any("010-1234" in text for text in shown)


def test_a_sentence_may_have_more_tokens_than_a_byte_counts(made, vocabulary):
    sentence = " ".join(f"낱말{n}들이" for n in range(150)) + "."
    documents, _ = made(sentence, "둘째 글이다.")
    assert documents.sentences[0] == len(vocabulary.encode(sentence)) > 256
    assert documents.sentences.sum() == len(documents.tokens)


def test_sentences_are_encoded_in_the_same_way_however_many_at_once(made, vocabulary, monkeypatch):
    text = "\n".join(f"{n}째 줄에는 새가 {n * 7}마리 있다." for n in range(20))
    whole, _ = made(text)
    monkeypatch.setattr(part_module, "SENTENCES_AT_ONCE", 3)
    cut, _ = made(text)
    assert len(whole.sentences) == 20
    for name in ("tokens", "sentences", "morphemes"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def test_ids_beyond_16_bits_are_kept(tmp_path):
    class Large:
        def __len__(self):
            return 100_000

        def encode_batch(self, texts):
            return [[70_000 + len(text)] for text in texts]

    make_part([RawDocument("첫째 글이다.", "ko", 1)], tmp_path, Large(), "rules")
    assert Documents.load(tmp_path).tokens.tolist() == [70_007]


def test_morphemes_begin_where_the_analyser_says_in_each_sentence(made, vocabulary, monkeypatch):
    # Of every second sentence the second word; English is split by rule and has none.
    def analysed(text):
        lines = text.split("\n")
        assert lines == [vocabulary.normalize(line) for line in lines]
        return [
            AnalysedSentence(line, (line.index(" ") + 1,) if number % 2 else ())
            for number, line in enumerate(lines)
        ]

    monkeypatch.setattr(part_module, "analyse_sentences", analysed)
    monkeypatch.setattr(part_module, "SENTENCES_AT_ONCE", 2)
    lines = [f"{n}째 우산을 챙기자." for n in range(5)]
    wide = [line.replace(".", "．") for line in lines]
    documents, _ = made("\n".join(wide), "여섯째 글이다.\n일곱째 글이다.", splitter="kiwi")
    begins = np.split(documents.morphemes, np.cumsum(documents.sentences)[:-1])
    for number, (found, line) in enumerate(zip(begins, lines, strict=False)):
        pieces = [vocabulary.piece(i) for i in vocabulary.encode(line)]
        words = [place for place, piece in enumerate(pieces) if piece.startswith("▁")]
        assert np.flatnonzero(found).tolist() == ([words[1]] if number % 2 else [])
    assert begins[6].any()
    assert not begins[5].any()
    english, _ = made("The rain has stopped. We go out.", language="en", splitter="kiwi")
    assert not english.morphemes.any()
