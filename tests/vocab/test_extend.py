import io
import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from kobert_vocab.errors import InputError
from kobert_vocab.extension.base_tokenizer import Base, open_base
from kobert_vocab.extension.candidates import Candidate, choose, old_ids, written
from kobert_vocab.extension.extend import FILE, Extension, extend
from kobert_vocab.extension.new_embeddings import new_embeddings
from kobert_vocab.model_file import NORMAL, Piece, read_charsmap, read_pieces

ADD = 200  # to BERT: about 130 characters, and longer pieces
ADD_TO_XLM_R = 90  # as many as are in the text
BERT_NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# 냉, 텔 and 컴 are in the Korean text but not here.
KOREAN_PIECES = """
학 ##학 교 ##교 서 ##서 울 ##울 사 ##사 람 ##람 도 ##도 시 ##시 은 ##은 이 ##이 을 ##을 에 ##에
서울 학교 ##에서 ##는 ##게 까 ##까 지 ##지 부 ##부 터 ##터 만 ##만 의 ##의 처 ##처 럼 ##럼 학생
공 ##공 원 ##원 음 ##음 악 ##악 그 ##그 림 ##림 역 ##역 과 ##과 문 ##문 화 ##화 경 ##경 제 ##제
고 ##고 양 ##양 습 ##습 니 ##니 다 ##다 먹 ##먹 읽 ##읽 었 ##었 으 ##으 면 ##면 어 ##어 요 ##요
"""
TEXTS = ["", "서울에서 학교까지", "The quick (brown) fox!", "학생은 사람이다. 12,500원", "日本 語"]
KOREAN = st.text(st.sampled_from("학교서울사람도시냉텔뷁에은 을a1.ㅋ"), max_size=30)


@pytest.fixture(scope="session")
def letters(corpus: Path) -> str:
    """ASCII and the letters of all languages but Korean."""
    texts = (path.read_text() for path in corpus.glob("*.txt") if path.name != "ko.txt")
    return "".join(sorted({*map(chr, range(0x21, 0x7F)), *"".join(texts)} - {" "}))


def bert_tokenizer(letters: str, *, lowercase: bool = False) -> Tokenizer:
    """As that of bert-base-multilingual-cased: special pieces not first, and unused ones."""
    pieces = ["[PAD]", "[unused1]", "[unused2]", *BERT_NAMES[1:], *KOREAN_PIECES.split()]
    pieces += [mark + letter for letter in letters for mark in ("", "##")]
    ids = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(BERT_NAMES)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def save(folder: Path, tokenizer: Tokenizer, config: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def bert_config(name: str = "BertTokenizer") -> dict[str, object]:
    return {"tokenizer_class": name, "do_lower_case": False, "model_max_length": 512}


@pytest.fixture(scope="session")
def bert(letters: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save(tmp_path_factory.mktemp("base") / "mbert", bert_tokenizer(letters), bert_config())
    (folder / "vocab.txt").write_text("old\n")
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    content = json.dumps(dict(zip(names, BERT_NAMES, strict=True)))
    (folder / "special_tokens_map.json").write_text(content)
    return folder


@pytest.fixture(scope="session")
def old_model(corpus: Path) -> bytes:
    """A SentencePiece model that knows a little Korean, with its stock normaliser."""
    lines = (corpus / "ko.txt").read_text().splitlines()[:25]
    lines += [path.read_text() for path in sorted(corpus.glob("*.txt")) if path.name != "ko.txt"]
    sink = io.BytesIO()
    sentencepiece.set_min_log_level(2)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=sink,
        vocab_size=300,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    return sink.getvalue()


def xlm_r_tokenizer(model: bytes) -> Tokenizer:
    """As that of xlm-roberta-base: ids of fairseq, the mask last."""
    pieces = [(piece.text, piece.score) for piece in read_pieces(model) if piece.type == NORMAL]
    first = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*first, *pieces, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(read_charsmap(model))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    mask = AddedToken("<mask>", lstrip=True, normalized=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", mask])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


@pytest.fixture(scope="session")
def xlm_r(old_model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512}
    folder = tmp_path_factory.mktemp("base") / "xlm-r"
    save(folder, xlm_r_tokenizer(old_model), config)
    (folder / "sentencepiece.bpe.model").write_bytes(old_model)
    return folder


@pytest.fixture(scope="session")
def korean_bert(bert: Path, trained: Path, corpus: Path, tmp_path_factory) -> Extension:
    out = tmp_path_factory.mktemp("extended") / "mbert-ko"
    return extend(bert, [trained], out, add=ADD, on=[corpus])


@pytest.fixture(scope="session")
def korean_xlm_r(xlm_r: Path, trained: Path, corpus: Path, tmp_path_factory) -> Extension:
    out = tmp_path_factory.mktemp("extended") / "xlm-r-ko"
    return extend(xlm_r, [trained], out, add=ADD_TO_XLM_R, on=[corpus])


@pytest.fixture(params=["bert", "xlm_r"])
def pair(request: pytest.FixtureRequest) -> tuple[Path, Extension]:
    """A base, and what became of it."""
    return request.getfixturevalue(request.param), request.getfixturevalue(
        f"korean_{request.param}"
    )


@pytest.fixture
def changed(bert: Path, xlm_r: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a base with other contents in its JSON files."""

    def change(kind: str = "bert", **files: Callable[[dict], object]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree({"bert": bert, "xlm_r": xlm_r}[kind], folder)
        for name, edit in files.items():
            path = folder / f"{name}.json"
            content = json.loads(path.read_text())
            edit(content)
            path.write_text(json.dumps(content))
        return folder

    return change


def read(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def load(folder: Path):
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder)


def surface(piece: str) -> str:
    return piece.removeprefix("##").removeprefix("▁")


@pytest.fixture(scope="session")
def tokenizers(bert, xlm_r, korean_bert, korean_xlm_r):
    return [
        (read(base), read(extension.folder), {*map(surface, extension.pieces)})
        for base, extension in ((bert, korean_bert), (xlm_r, korean_xlm_r))
    ]


class TestIds:
    def test_no_old_id_moves_and_new_ones_follow(self, pair) -> None:
        base, extension = pair
        old, new = read(base), read(extension.folder)
        size = old.get_vocab_size(with_added_tokens=True)
        assert extension.base_size == size
        assert [*map(new.id_to_token, range(size))] == [*map(old.id_to_token, range(size))]
        total = new.get_vocab_size(with_added_tokens=True)
        assert [*map(new.id_to_token, range(size, total))] == extension.pieces
        assert len(set(extension.pieces)) == total - size in (ADD, ADD_TO_XLM_R)

    def test_added_tokens_beyond_the_model_keep_their_ids(self, changed, trained, tmp_path) -> None:
        for kind in ("bert", "xlm_r"):
            base = changed(kind)
            old = read(base)
            old.add_tokens([AddedToken("냉장고", normalized=False), "<user>"])
            old.save(str(base / "tokenizer.json"))
            extension = extend(base, [trained], tmp_path / kind, add=ADD)
            tokenizer = load(extension.folder)
            assert extension.base_size == old.get_vocab_size()
            assert len(tokenizer) == extension.base_size + ADD
            for text in ("냉장고<user>", "[MASK]<mask>냉장고"):
                assert tokenizer(text)["input_ids"] == old.encode(text).ids
            assert not any("냉장고" in piece for piece in extension.pieces)
            assert tokenizer.convert_tokens_to_ids(extension.pieces) == [
                *range(extension.base_size, len(tokenizer))
            ]
            if kind == "xlm_r":  # a lower score would change that of unknown characters
                rows = json.loads((extension.folder / "tokenizer.json").read_text())
                scores = dict(map(tuple, rows["model"]["vocab"]))
                assert scores["<user>"] == min(scores.values()) > -50
            shutil.rmtree(base)

    def test_text_reaches_every_new_piece(self, korean_bert, korean_xlm_r) -> None:
        new = read(korean_bert.folder)
        for piece in korean_bert.pieces:
            before = "q" if piece.startswith("##") else ""
            assert new.encode(before + surface(piece)).tokens[-2] == piece
        model = read(korean_xlm_r.folder).model
        for piece in korean_xlm_r.pieces:
            assert [token.value for token in model.tokenize(piece)] == [piece]

    @settings(max_examples=300)
    @given(KOREAN)
    def test_text_without_new_pieces_keeps_its_ids(self, tokenizers, text) -> None:
        for old, new, pieces in tokenizers:
            if not any(piece in text for piece in pieces):
                assert ids(new, text) == ids(old, text)

    @given(KOREAN)
    def test_text_reads_back_as_before(self, tokenizers, text) -> None:
        for old, new, _ in tokenizers:
            before = old.encode(text)
            if not {"[UNK]", "<unk>"} & {*map(old.id_to_token, before.ids)}:
                assert new.decode(new.encode(text).ids) == old.decode(before.ids)


class TestPieces:
    def test_characters_that_the_base_lacks_come_first(self, korean_bert, korean_xlm_r) -> None:
        for extension in (korean_bert, korean_xlm_r):
            lengths = [len(surface(piece)) for piece in extension.pieces]
            assert 5 <= next(i for i, length in enumerate(lengths) if length > 1) < len(lengths)
        first = korean_bert.pieces[: ADD // 2]
        assert all(len(surface(piece)) == 1 for piece in first)
        assert {"텔", "##텔"} <= set(first)
        assert any(len(surface(piece)) > 1 for piece in korean_bert.pieces[ADD // 2 :])
        # A syllable of the alphabet that the text does not have is no piece of its text.
        assert not {"뷁", "##뷁", "힝", "##힝"} & {*korean_bert.pieces, *korean_xlm_r.pieces}

    def test_both_ways_of_writing(self, korean_bert, korean_xlm_r) -> None:
        assert {"사람", "##에게"} <= set(korean_bert.pieces)
        assert {"▁지하철", "에게"} <= set(korean_xlm_r.pieces)

    def test_what_no_text_reaches_is_left_out_and_counted(self, korean_bert, korean_xlm_r) -> None:
        assert not any("," in piece or "ㅋ" in piece for piece in korean_xlm_r.pieces)
        assert "##。" not in korean_bert.pieces
        assert korean_xlm_r.dropped["changed by the normaliser"] >= 51  # compatibility jamo
        assert korean_bert.dropped["in the base already"] > 0

    def test_scores_are_on_the_scale_of_the_base(self, korean_xlm_r, xlm_r, trained) -> None:
        rows = json.loads((korean_xlm_r.folder / "tokenizer.json").read_text())["model"]["vocab"]
        old = json.loads((xlm_r / "tokenizer.json").read_text())["model"]["vocab"]
        assert rows[: len(old)] == old
        new = dict(map(tuple, rows[len(old) :]))
        assert min(score for _, score in old) <= min(new.values())
        ours = {p.text: p.score for p in read_pieces((trained / "spm.model").read_bytes())}
        shared = [score - ours[piece] for piece, score in old if piece in ours and score]
        shift = new["▁지하철"] - ours["▁지하철"]
        assert min(shared) < shift < max(shared)
        assert shift == new["에게"] - ours["에게"]

    def test_more_probable_ones_come_first(self, korean_xlm_r, trained) -> None:
        ours = {p.text: p.score for p in read_pieces((trained / "spm.model").read_bytes())}
        long = [ours[piece] for piece in korean_xlm_r.pieces if len(surface(piece)) > 1]
        assert len(long) > 40
        assert long == sorted(long, reverse=True)

    def test_bytes_of_a_base_do_not_count_as_its_own_pieces(
        self, changed, trained, tmp_path
    ) -> None:
        def with_bytes(content: dict) -> None:
            content["model"]["vocab"] += [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
            content["model"]["byte_fallback"] = True

        base = changed(
            "xlm_r",
            tokenizer=with_bytes,
            tokenizer_config=setting(tokenizer_class="TokenizersBackend"),
        )
        assert len(ids(read(base), "간")) == 4
        extension = extend(base, [trained], tmp_path / "new", add=ADD_TO_XLM_R)
        assert "간" in extension.pieces
        assert len(ids(read(extension.folder), "간")) == 2

    def test_from_text(self, bert: Path, write, tmp_path: Path) -> None:
        words = "refrigerator television museum station electron machine garden kitchen"
        text = write("en.txt", f"{words} {words.replace(' ', 's ')} {words.upper()}\n" * 50)
        extension = extend(bert, [text], tmp_path / "new", add=5, size=485)
        assert "refrigerator" in extension.pieces
        assert ids(read(extension.folder), "refrigerator") == [
            extension.base_size + extension.pieces.index("refrigerator")
        ]
        assert extension.measured["en"].tokens_after < extension.measured["en"].tokens_before
        assert {*tmp_path.iterdir()} == {text, tmp_path / "new"}  # no work folder is left


class TestChoose:
    """With made-up pieces of ours."""

    def learnt(self, **scores: float) -> list[Piece]:
        # The lowest score is that of what was not in the text.
        return [Piece(*row, NORMAL) for row in (*scores.items(), ("뷁", -99.0))]

    @pytest.fixture
    def of_bert(self, bert: Path) -> Base:
        return open_base(bert, "mbert")

    @pytest.fixture
    def of_xlm_r(self, xlm_r: Path) -> Base:
        return open_base(xlm_r, "xlm-r")

    def test_what_no_word_goes_on_with(self, of_bert: Base, of_xlm_r: Base) -> None:
        # BERT sets 漢 apart, and XLM-R puts an accent on the letter before it.
        chosen, dropped = choose(of_bert, self.learnt(漢=-1.0, ab=-2.0), 3)
        assert [written(of_bert, candidate) for candidate in chosen] == ["漢", "##ab", "##뷁"]
        assert dropped == {"cut by the pre-tokenizer": 1, "in the base already": 2}
        accent = {"\u0301간": -2.0, "ab": -1.0, "a": -1.0}
        chosen, dropped = choose(of_xlm_r, self.learnt(**accent), 1)
        assert dropped["changed by the normaliser"] == 1

    def test_scores_move_by_the_median_of_the_shared(self, of_xlm_r: Base) -> None:
        shared = [piece for piece in of_xlm_r.scores if len(piece) > 1 and piece[0] == "▁"][:5]
        ours = dict(zip(shared, (of_xlm_r.scores[piece] for piece in shared), strict=True))
        for piece, by in zip(shared, (1.0, 1.5, 2.0, 9.0, 12.0), strict=True):
            ours[piece] += by
        chosen, _ = choose(of_xlm_r, self.learnt(**ours, 간도=-3.0, 데도=-1.0), 2)
        scores = {candidate.surface: candidate.score for candidate in chosen}
        assert scores["간도"] == pytest.approx(-5.0)
        assert scores["데도"] == pytest.approx(-3.0)

    def test_less_probable_than_what_there_is(self, changed) -> None:
        def likely(content: dict) -> None:
            content["model"]["vocab"].append(["호", -1.0])

        base = open_base(changed("xlm_r", tokenizer=likely), "likely")
        for score, fit in ((-1.9, True), (-2.1, False)):
            _, dropped = choose(base, self.learnt(호=-1.0, 호호=score), 1)
            assert ("less probable than the base's own pieces" in dropped) is not fit

    def test_less_probable_than_other_new_ones(self, of_xlm_r: Base) -> None:
        ours = {"도": of_xlm_r.scores["도"], "간데": -1.0, "앉잡": -1.0, "간데앉잡": -2.5}
        chosen, dropped = choose(of_xlm_r, self.learnt(**ours), 3)
        assert "간데앉잡" not in {candidate.surface for candidate in chosen}
        assert dropped["less probable than other new pieces"] == 1
        with pytest.raises(InputError, match="add up to 3,"):
            choose(of_xlm_r, self.learnt(**ours), 4)

    def test_a_mark_alone_is_not_what_an_unknown_word_begins_from(self, of_xlm_r: Base) -> None:
        space = of_xlm_r.ids["▁"]
        for surface, expected in (("간", []), ("간도", [space, of_xlm_r.ids["도"]])):
            candidate = Candidate(
                surface=surface, starts_word=True, score=-1.0, rank=-1.0, is_seen_character=False
            )
            assert old_ids(of_xlm_r, candidate) == expected


class TestMeasured:
    def test_counts_words_tokens_and_unknowns(self, bert, trained, write, tmp_path) -> None:
        text = write("ko.txt", "학교에서 냉장고\n\n 서울 뷁\n")
        extension = extend(bert, [trained], tmp_path / "new", add=ADD, on=[text])
        korean = extension.measured["ko"]
        assert (korean.words, korean.tokens_before, korean.unknown_before) == (4, 5, 2)
        assert korean.unknown_after == 1
        assert korean.tokens_after == sum(
            len(ids(read(extension.folder), line)) for line in ("학교에서 냉장고", "서울 뷁")
        )

    def test_whole_lines_though_the_base_cuts_them_off(
        self, changed, trained, write, tmp_path
    ) -> None:
        base, text = changed(), write("ko.txt", "학교에서 학교에서 학교에서\n")
        tokenizer = read(base)
        tokenizer.enable_truncation(3)
        tokenizer.save(str(base / "tokenizer.json"))
        extension = extend(base, [trained], tmp_path / "new", add=ADD, on=[text])
        assert extension.measured["ko"].tokens_before == 6
        assert read(extension.folder).truncation == tokenizer.truncation

    def test_a_sample_of_every_part(self, bert, trained, write, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("kobert_vocab.extension.extend.SAMPLE", 50)
        text = write("ko.txt", "서울\n" * 500 + "학교에서 서울\n" * 500)
        counted = [
            extend(bert, [trained], tmp_path / name, add=ADD, on=[text]).measured["ko"].words
            for name in "ab"
        ]
        assert counted[0] == counted[1]
        assert 60 < counted[0] < 90  # 75 expected

    def test_log(self, bert, xlm_r, trained, write, tmp_path, caplog) -> None:
        text = write("ko.txt", "학교에서 냉장고\n")
        with caplog.at_level(logging.INFO):
            extend(xlm_r, [trained], tmp_path / "new", add=ADD, on=[text])
            extend(bert, [trained], tmp_path / "newer", add=ADD)
        logged = "\n".join(caplog.messages)
        assert "added 200 pieces; Korean tokens per word " in logged
        assert "sentencepiece.bpe.model" in logged
        assert "left the 2 unused ids of mbert as they are" in logged


class TestFiles:
    def test_all_are_there(self, korean_bert, korean_xlm_r) -> None:
        always = {"tokenizer.json", "tokenizer_config.json", "embeddings.safetensors", FILE}
        names = {path.name for path in korean_bert.folder.iterdir()}
        assert names == always | {"vocab.txt", "special_tokens_map.json"}
        assert {path.name for path in korean_xlm_r.folder.iterdir()} == always

    def test_vocab_txt_has_a_line_for_each_id(self, korean_bert) -> None:
        lines = (korean_bert.folder / "vocab.txt").read_text().splitlines()
        new = read(korean_bert.folder)
        assert lines == [new.id_to_token(i) for i in range(new.get_vocab_size())]

    def test_the_same_bytes_again_and_no_paths(self, changed, korean_bert, trained, corpus) -> None:
        base = changed(tokenizer_config=lambda config: config.update(name_or_path="/home/kim/x"))
        again = extend(
            base.rename(base.with_name("mbert")),
            [trained],
            base.with_name("again"),
            add=ADD,
            on=[corpus],
        )
        for path in korean_bert.folder.iterdir():
            content = path.read_bytes()
            assert content == (again.folder / path.name).read_bytes()
            assert b"/home" not in content
            assert str(trained).encode() not in content
            assert str(corpus).encode() not in content

    def test_card(self, korean_bert: Extension) -> None:
        made = json.loads((korean_bert.folder / FILE).read_text())
        assert made["base"]["name"] == "mbert"
        assert made["base"]["size"] == korean_bert.base_size
        assert made["options"] == {"add": ADD, "size": None}
        assert made["added"]["pieces"] == ADD > made["added"]["characters"] > 0
        assert made["dropped"] == korean_bert.dropped
        assert made["measured"]["ko"]["words"] == korean_bert.measured["ko"].words

    def test_links_of_the_base_are_not_written_through(
        self, changed, trained, write, tmp_path
    ) -> None:
        base = changed()
        outside = write("outside.txt", "mine")
        (base / "vocab.txt").unlink()
        (base / "vocab.txt").symlink_to(outside)
        names = write("names.json", (base / "special_tokens_map.json").read_text())
        (base / "special_tokens_map.json").unlink()
        (base / "special_tokens_map.json").symlink_to(names)  # as in the cache of the hub
        folder = extend(base, [trained], tmp_path / "new", add=ADD).folder
        assert outside.read_text() == "mine"
        assert (folder / "special_tokens_map.json").is_file()
        assert not any(path.is_symlink() for path in folder.iterdir())


BERT_CLASSES = ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast"]
XLM_R_CLASSES = ["XLMRobertaTokenizer", "XLMRobertaTokenizerFast"]


class TestInTransformers:
    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            *(("bert", name) for name in (*BERT_CLASSES, "PreTrainedTokenizerFast")),
            *(("xlm_r", name) for name in (*XLM_R_CLASSES, "TokenizersBackend")),
        ],
    )
    def test_reads_as_tokenizer_json_does(self, changed, trained, tmp_path, kind, name) -> None:
        base = changed(kind, tokenizer_config=lambda config: config.update(tokenizer_class=name))
        extension = extend(base, [trained], tmp_path / "new", add=ADD)
        old = load(base)
        new = load(extension.folder)
        assert type(new) is type(old)
        assert len(new) == len(old) + ADD == extension.base_size + ADD
        assert new.all_special_tokens == old.all_special_tokens
        assert new.all_special_ids == old.all_special_ids
        assert new.model_max_length == 512
        fast = read(extension.folder)
        used = set()
        for text in [*TEXTS, "학교에서는 도서관까지 냉장고", "텔레비전 [MASK] <mask> 을"]:
            encoding = new(text, return_offsets_mapping=True)
            assert encoding["input_ids"] == fast.encode(text).ids
            assert encoding["offset_mapping"] == fast.encode(text).offsets
            assert new.decode(encoding["input_ids"]) == fast.decode(
                encoding["input_ids"], skip_special_tokens=False
            )
            used |= {i for i in encoding["input_ids"] if i >= extension.base_size}
        assert len(used) >= 4
        both, of_old = new("학교", "서울에서"), old("day", "book")
        assert both.keys() == of_old.keys()
        assert both["input_ids"] == fast.encode("학교", "서울에서").ids
        assert new("day", "book") == of_old

    def test_offsets_of_new_pieces(self, korean_bert, korean_xlm_r) -> None:
        text = "학교에서는 지하철"
        for extension in (korean_bert, korean_xlm_r):
            tokenizer = load(extension.folder)
            encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
            tokens = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
            parts = [text[start:end] for start, end in encoding["offset_mapping"]]
            assert parts == [*map(surface, tokens)]
            assert set(tokens) & set(extension.pieces)

    def test_class_is_taken_from_the_model_where_none_is_named(
        self, changed, trained, tmp_path
    ) -> None:
        base = changed(tokenizer_config=lambda config: config.pop("tokenizer_class"))
        (base / "config.json").write_text('{"model_type": "bert"}')
        folder = extend(base, [trained], tmp_path / "new", add=ADD).folder
        tokenizer = load(folder)
        assert type(tokenizer).__name__ == "BertTokenizer"
        assert tokenizer.cls_token == "[CLS]"
        assert tokenizer("학교")["input_ids"] == read(folder).encode("학교").ids

    def test_saved_again_it_is_the_same(self, pair, tmp_path) -> None:
        _, extension = pair
        tokenizer = load(extension.folder)
        tokenizer.save_pretrained(tmp_path)
        again = load(tmp_path)
        text = "학교에서는 냉장고 텔레비전"
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]


class TestEmbeddings:
    def test_rows_add_up_to_one_or_are_empty(self, pair) -> None:
        _, extension = pair
        matrix = load_file(extension.folder / "embeddings.safetensors")
        crow, columns, values = (matrix[name] for name in ("crow_indices", "col_indices", "values"))
        assert (crow.dtype, columns.dtype, values.dtype) == (np.int64, np.int64, np.float32)
        assert len(crow) == len(extension.pieces) + 1
        assert matrix["learnt"].shape == (extension.base_size,)
        sums = np.add.reduceat(np.append(values, 0.0), crow[:-1])
        empty = np.diff(crow) == 0
        assert sums[~empty] == pytest.approx(1)
        assert 0 < empty.sum() < len(empty)
        with safe_open(extension.folder / "embeddings.safetensors", framework="numpy") as file:
            assert file.metadata() == {"shape": f"{len(extension.pieces)},{extension.base_size}"}
        assert matrix["learnt"][columns].all()

    def test_mean_of_the_old_pieces(self, pair) -> None:
        base, extension = pair
        tokenizer = read(base)
        old = np.random.default_rng(1).normal(size=(extension.base_size, 8)).astype(np.float32)
        new = new_embeddings(extension.folder, old)
        assert new.shape == (extension.base_size + len(extension.pieces), 8)
        assert new.dtype == np.float32
        assert (new[: extension.base_size] == old).all()
        checked = 0
        for i, piece in enumerate(extension.pieces, start=extension.base_size):
            if piece.startswith("▁") != (base.name == "xlm-r") or piece.startswith("##"):
                continue  # within a word: see below
            cut = tokenizer.encode(surface(piece), add_special_tokens=False)
            if not {"[UNK]", "<unk>"} & {*map(tokenizer.id_to_token, cut.ids)}:
                assert new[i] == pytest.approx(old[cut.ids].mean(axis=0), abs=1e-6)
                checked += 1
        assert checked > 5

    def test_a_piece_within_a_word_is_cut_as_one(self, korean_bert, bert) -> None:
        old = np.arange(korean_bert.base_size, dtype=np.float64)
        new = new_embeddings(korean_bert.folder, old)
        at = korean_bert.base_size + korean_bert.pieces.index("##에게")
        of = read(bert).token_to_id
        assert new[at] == pytest.approx((of("##에") + of("##게")) / 2)

    def test_what_is_unknown_is_left_out_of_the_mean(self, korean_bert, bert) -> None:
        old = np.arange(korean_bert.base_size, dtype=np.float64)
        new = new_embeddings(korean_bert.folder, old)
        at = korean_bert.base_size + korean_bert.pieces.index("컴퓨터")
        assert new[at] == read(bert).token_to_id("##터")

    def test_nothing_known_is_the_mean_of_all_learnt(self, korean_bert, korean_xlm_r) -> None:
        for extension, special, piece in ((korean_bert, 7, "텔"), (korean_xlm_r, 5, "간")):
            matrix = load_file(extension.folder / "embeddings.safetensors")
            old = np.random.default_rng(2).normal(size=(extension.base_size, 3))
            learnt = matrix["learnt"]
            assert (~learnt).sum() == special
            row = extension.base_size + extension.pieces.index(piece)
            assert new_embeddings(extension.folder, old)[row] == pytest.approx(
                old[learnt].mean(axis=0)
            )

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_a_bias_and_every_precision(self, korean_bert, dtype) -> None:
        matrix = np.linspace(-1, 1, korean_bert.base_size, dtype=dtype)
        bias = new_embeddings(korean_bert.folder, matrix)
        assert bias.dtype == dtype
        assert (bias == new_embeddings(korean_bert.folder, matrix[:, None])[:, 0]).all()

    @pytest.mark.parametrize(
        ("old", "message"),
        [
            (np.zeros((3, 2)), "made for a base of"),
            (np.zeros((1, 1, 1)), "made for a base of"),
            (np.zeros(10, dtype=np.int64), "made for a base of"),
        ],
    )
    def test_refuses_another_base(self, korean_bert, old, message) -> None:
        with pytest.raises(InputError, match=message):
            new_embeddings(korean_bert.folder, old)

    def test_refuses_whole_numbers(self, korean_bert) -> None:
        with pytest.raises(InputError, match="of int64; give float16"):
            new_embeddings(korean_bert.folder, np.zeros(korean_bert.base_size, dtype=np.int64))

    def test_refuses_what_is_no_extension(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not an extension"):
            new_embeddings(tmp_path, np.zeros(3))
        (tmp_path / "embeddings.safetensors").write_bytes(b"no")
        with pytest.raises(InputError, match="not a matrix of this kit"):
            new_embeddings(tmp_path, np.zeros(3))


def without(key: str) -> Callable[[dict], object]:
    return lambda content: content.pop(key)


def setting(**values: object) -> Callable[[dict], object]:
    return lambda content: content.update(values)


def in_normalizer(**values: object) -> Callable[[dict], object]:
    return lambda content: content["normalizer"].update(values)


def with_gap(content: dict) -> None:
    content["model"]["vocab"]["gap"] = 5000


BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}


class TestRefuses:
    def refuse(self, base: object, trained: Path, tmp_path: Path, message: str, add=1) -> None:
        with pytest.raises(InputError, match=message) as raised:
            extend(base, [trained], tmp_path / "new", add=add)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        ("kind", "files", "message"),
        [
            ("bert", {"tokenizer": without("model")}, "not a tokenizer file"),
            ("bert", {"tokenizer": setting(added_tokens=3)}, "not a tokenizer file"),
            ("bert", {"tokenizer": with_gap}, "do not run from 0 .* without gaps"),
            ("bert", {"tokenizer": setting(pre_tokenizer=None)}, "cannot be extended"),
            ("xlm_r", {"tokenizer": setting(pre_tokenizer=None)}, "cannot be extended"),
            ("xlm_r", {"tokenizer": setting(pre_tokenizer={"type": "Whitespace"})}, "begin with ▁"),
            ("bert", {"tokenizer_config": without("tokenizer_class")}, "no tokenizer_class"),
            ("bert", {"tokenizer_config": setting(auto_map={})}, "code of its own"),
            ("bert", {"tokenizer_config": setting(tokenizer_class="T5Tokenizer")}, "tested"),
            ("bert", {"tokenizer_config": setting(tokenizer_class="XLMRobertaTokenizer")}, "not U"),
            ("xlm_r", {"tokenizer_config": setting(tokenizer_class="BertTokenizer")}, "not WordP"),
            ("xlm_r", {"tokenizer": setting(normalizer={"type": "NFKC"})}, "compiled normaliser"),
            ("bert", {"tokenizer_config": without("do_lower_case")}, "do_lower_case is True"),
            ("bert", {"tokenizer": in_normalizer(strip_accents=True)}, "strip_accents is False"),
            (
                "bert",
                {"tokenizer": in_normalizer(handle_chinese_chars=False)},
                "tokenize_chinese_chars is True",
            ),
            ("bert", {"tokenizer_config": setting(mask_token="[HOLE]")}, r"'\[HOLE\]' \(mask_tok"),
            ("bert", {"special_tokens_map": setting(bos_token={"content": "<s>"})}, "would move"),
            (
                "bert",
                {"tokenizer_config": setting(additional_special_tokens=["<x>"])},
                "'<x>' .additional_special_tokens",
            ),
            (
                "bert",
                {"tokenizer_config": setting(added_tokens_decoder={"9": {"content": "<x>"}})},
                "'<x>' .added_tokens_decoder 9",
            ),
        ],
    )
    def test_a_base(self, changed, trained, tmp_path, kind, files, message) -> None:
        self.refuse(changed(kind, **files), trained, tmp_path, message)

    def test_byte_level_bpe(self, changed, trained, tmp_path) -> None:
        base = changed(tokenizer=setting(model=BPE, added_tokens=[], post_processor=None))
        self.refuse(base, trained, tmp_path, "of the kind BPE; WordPiece .* byte-level BPE")

    @pytest.mark.parametrize(
        ("content", "message"),
        [("{", "not JSON"), ("[1]", "not a JSON object but a list"), ("[" * 99999, "not JSON")],
    )
    @pytest.mark.parametrize(
        "name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
    )
    def test_json_of_another_shape(self, changed, trained, tmp_path, name, content, message):
        base = changed()
        (base / name).write_text(content)
        self.refuse(base, trained, tmp_path, f"{name}: {message}")

    def test_a_token_of_a_file_of_its_own(self, changed, trained, tmp_path) -> None:
        base = changed()
        (base / "added_tokens.json").write_text('{"<x>": 9000}')
        self.refuse(base, trained, tmp_path, "'<x>' .added_tokens.json")

    def test_a_base_without_files(self, changed, trained, tmp_path) -> None:
        base = changed()
        (base / "tokenizer_config.json").unlink()
        self.refuse(base, trained, tmp_path, "no tokenizer_config.json in it")
        (base / "tokenizer.json").unlink()
        self.refuse(base, trained, tmp_path, "no tokenizer.json in it")

    def test_no_folder(self, write, trained, tmp_path) -> None:
        self.refuse(write("base.json", "{}"), trained, tmp_path, "not a folder")
        self.refuse(tmp_path / "missing", trained, tmp_path, "no such folder; give one")
        self.refuse("../a/b", trained, tmp_path, "no such folder; give one")

    def test_a_name_when_the_hub_is_out_of_reach(self, trained, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        self.refuse(
            "nobody/bert", trained, tmp_path, "nobody/bert: no such folder, and the hub cannot"
        )

    def test_a_size_for_a_vocabulary(self, bert, trained, tmp_path) -> None:
        with pytest.raises(InputError, match=r"size 9000: .* is a vocabulary already"):
            extend(bert, [trained], tmp_path / "new", add=1, size=9000)

    @pytest.mark.parametrize("add", [0, -3])
    def test_nothing_to_add(self, bert, trained, tmp_path, add) -> None:
        self.refuse(bert, trained, tmp_path, f"add {add}: give the number", add=add)

    def test_more_than_there_are(self, bert, xlm_r, trained, tmp_path) -> None:
        for base in (bert, xlm_r):
            with pytest.raises(InputError, match=r"add 50000: .* can be added") as raised:
                extend(base, [trained], tmp_path / "new", add=50_000)
            most = int(re.search(r"add up to (\d+)", str(raised.value))[1])
            self.refuse(base, trained, tmp_path, f"add up to {most}", add=most + 1)
            extension = extend(base, [trained], tmp_path / base.name, add=most)
            assert len(extension.pieces) == most

    def test_an_uncased_base_has_no_place_for_korean(self, letters, trained, tmp_path) -> None:
        # It takes syllables apart into jamo.
        tokenizer, config = (
            bert_tokenizer(letters, lowercase=True),
            bert_config() | {"do_lower_case": True},
        )
        base = save(tmp_path / "uncased", tokenizer, config)
        self.refuse(base, trained, tmp_path, r"\d{4} are changed by the normaliser", add=500)

    def test_no_piece_in_common(self, old_model, trained, tmp_path) -> None:
        tokenizer = xlm_r_tokenizer(old_model)
        names = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("ᚠ", -1.0)]
        tokenizer.model = models.Unigram([*names, ("<mask>", 0.0)], unk_id=3)
        config: dict[str, object] = {"tokenizer_class": "XLMRobertaTokenizer"}
        base = save(tmp_path / "runes", tokenizer, config)
        self.refuse(base, trained, tmp_path, "no piece in common")

    def test_out_that_exists(self, bert, trained, write) -> None:
        out = write("new/mine.txt", "mine").parent
        with pytest.raises(InputError, match="already there"):
            extend(bert, [trained], out, add=1)
        with pytest.raises(InputError, match="already there"):  # before anything else
            extend("missing/", [trained], out, add=1)
        assert [path.name for path in out.iterdir()] == ["mine.txt"]

    def test_text_that_is_missing(self, bert, trained, tmp_path) -> None:
        with pytest.raises(InputError, match="no such file"):
            extend(bert, [tmp_path / "none.txt"], tmp_path / "new", add=1)
        with pytest.raises(InputError, match="no such file"):
            extend(bert, [trained], tmp_path / "new", add=1, on=[tmp_path / "none.txt"])
        with pytest.raises(InputError, match="no input given"):
            extend(bert, [], tmp_path / "new", add=1)
