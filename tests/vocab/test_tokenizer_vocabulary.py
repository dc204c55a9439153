import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from kobert_vocab.errors import InputError
from kobert_vocab.tokenizer_vocabulary import TokenizerVocabulary, open_vocabulary
from kobert_vocab.vocabulary import Vocabulary

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
TEXT = ["서울에서 학교까지 갔다.", "서울 학교 학생은 서울에서 만나요!", "the school of Seoul"] * 5


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["[unused0]", *BERT], show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=ROBERTA, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=ROBERTA,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


KINDS = {"WordPiece": word_piece, "Unigram": unigram, "byte-level BPE": byte_level}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return TokenizerVocabulary(tokenizer.to_str(), {})


def test_ids_are_the_tokenizers(vocabulary, tokenizer):
    for text in TEXT:
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        assert vocabulary.encode(text) == expected
    assert vocabulary.encode_batch(TEXT) == vocabulary.encode_batch(TEXT, threads=2)
    assert vocabulary.encode_batch(TEXT) == [vocabulary.encode(text) for text in TEXT]


def test_a_mark_stands_before_each_word(vocabulary):
    pieces = vocabulary.pieces("서울에서 학교까지")
    assert "".join(pieces) == "▁서울에서▁학교까지"
    starts = [bool(vocabulary.starts_word[i]) for i in vocabulary.encode("서울에서 학교까지")]
    assert starts == [piece.startswith("▁") for piece in pieces]
    assert sum(starts) == 2


def test_characters_are_counted_once(vocabulary):
    text = "서울에서 학교까지 the school"
    assert vocabulary.characters[vocabulary.encode(text)].sum() == len(text) + 1  # ▁ at the start
    assert vocabulary.characters[vocabulary.specials].sum() == 0


@pytest.mark.parametrize("name", [*BERT, *ROBERTA])
def test_no_special_token_is_read_from_text(vocabulary, name):
    specials = {*vocabulary.specials} - {vocabulary.unk}
    assert not specials & {*vocabulary.encode(f"서울 {name} 학교")}


def test_text_that_looks_like_a_special_token_is_cut_up():
    vocabulary = TokenizerVocabulary(byte_level().to_str(), {})
    assert vocabulary.decode(vocabulary.encode("서울 <mask> 학교")).strip() == "서울 <mask> 학교"


@given(st.text())
def test_any_text_has_ids_without_special_ones(vocabulary, text):
    ids = vocabulary.encode(text)
    assert not ({*vocabulary.specials} - {vocabulary.unk}) & {*ids}
    assert all(0 <= i < len(vocabulary) for i in ids)


def test_an_added_token_is_written_as_it_stands():
    tokenizer = byte_level()
    tokenizer.add_tokens(["   ", "·가"])  # ModernBERT has such for spaces
    vocabulary = TokenizerVocabulary(tokenizer.to_str(), {})
    ids = [tokenizer.token_to_id(token) for token in ("   ", "·가")]
    assert [vocabulary.piece(i) for i in ids] == ["▁  ", "·가"]
    assert vocabulary.starts_word[ids].tolist() == [True, False]
    assert vocabulary.characters[ids].tolist() == [3, 2]


def test_of_a_character_in_bytes_the_first_one_counts():
    pieces = [*ROBERTA, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "가"]
    model = models.BPE({p: i for i, p in enumerate(pieces)}, [], byte_fallback=True)
    vocabulary = TokenizerVocabulary(Tokenizer(model).to_str(), {})
    ids = vocabulary.encode("가한")  # mmBERT's is of this kind
    assert len(ids) == 4
    assert vocabulary.characters[ids].tolist() == [1, 1, 0, 0]


def test_a_file_of_2020_that_names_no_type_of_its_model_is_read_alike(vocabulary, tokenizer):
    raw = json.loads(tokenizer.to_str())
    del raw["model"]["type"]
    old = TokenizerVocabulary(json.dumps(raw), {})
    assert [old.piece(i) for i in range(len(old))] == [
        vocabulary.piece(i) for i in range(len(vocabulary))
    ]
    assert old.characters.tolist() == vocabulary.characters.tolist()


def test_it_can_be_sent_to_another_process(vocabulary):
    again = pickle.loads(pickle.dumps(vocabulary))
    assert again.encode(TEXT[0]) == vocabulary.encode(TEXT[0])
    assert again.fingerprint == vocabulary.fingerprint


def test_special_ids_are_those_of_the_names(tokenizer):
    vocabulary = TokenizerVocabulary(tokenizer.to_str(), {})
    names = ROBERTA if tokenizer.token_to_id("<mask>") is not None else BERT
    order = (
        (vocabulary.cls, vocabulary.pad, vocabulary.sep, vocabulary.unk, vocabulary.mask)
        if names is ROBERTA
        else (vocabulary.pad, vocabulary.unk, vocabulary.cls, vocabulary.sep, vocabulary.mask)
    )
    assert order == tuple(tokenizer.token_to_id(name) for name in names)
    swapped = {"pad": "<s>" if names is ROBERTA else "[CLS]"}
    assert TokenizerVocabulary(tokenizer.to_str(), swapped).pad == vocabulary.cls


def test_unused_pieces_stand_for_nothing():
    vocabulary = TokenizerVocabulary(word_piece().to_str(), {})
    assert vocabulary.unused == [0]
    assert 0 in vocabulary.specials
    assert 0 not in vocabulary.learnt


def test_a_folder_of_either_kind_is_opened(trained, tmp_path):
    assert isinstance(open_vocabulary(trained), Vocabulary)
    word_piece().save(str(tmp_path / "tokenizer.json"))
    names = {"mask_token": {"content": "[SEP]"}, "pad_token": "[PAD]", "cls_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    vocabulary = open_vocabulary(tmp_path)
    assert vocabulary.mask == vocabulary.sep


@pytest.mark.parametrize(
    ("content", "names", "message"),
    [
        ("{", {}, "not a tokenizer"),
        ('{"version": "1.0"}', {}, "not a tokenizer"),
        (None, [], "not a table of settings"),
        (None, None, r"tokenizer_config.json: not JSON"),
        (None, {"mask_token": "<gap>"}, 'no <gap>; name the mask token .* "mask_token"'),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, content, names, message):
    (tmp_path / "tokenizer.json").write_text(word_piece().to_str() if content is None else content)
    (tmp_path / "tokenizer_config.json").write_text("{" if names is None else json.dumps(names))
    with pytest.raises(InputError, match=message):
        open_vocabulary(tmp_path)
    with pytest.raises(InputError, match="not a vocabulary"):
        open_vocabulary(tmp_path / "nothing")
