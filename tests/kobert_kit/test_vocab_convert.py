import io

import pytest
import sentencepiece

from kobert_kit.demo import SAMPLE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with SentencePiece's own special pieces."""
    path = tmp_path_factory.mktemp("spm") / "own.model"
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((SAMPLE / "ko" / "news.txt").read_text("utf-8").splitlines()),
        model_writer=out,
        vocab_size=1500,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        required_chars="<s/unkpad>[PADCLSEMK]",
        minloglevel=2,
    )
    path.write_bytes(out.getvalue())
    return path


def test_the_ids_of_special_pieces_are_shown(kobert, model, tmp_path) -> None:
    code, out, _ = kobert("vocab", "convert", model, "--out", tmp_path / "v", "--style", "bert")
    assert code == 0
    count = len(sentencepiece.SentencePieceProcessor(model_file=str(model)))
    ids = f"[PAD] {count}  <unk> 0  <s> 1  </s> 2  [MASK] {count + 1}"
    assert out == f"vocabulary: {tmp_path / 'v'}   {count + 2:,} ids   {ids}\n"
    code, out, _ = kobert("vocab", "verify", tmp_path / "v", SAMPLE / "ko" / "news.txt")
    assert code == 0
    assert out.endswith("texts, no difference\n")


def test_a_style_that_is_needed_is_asked_for_in_one_line(kobert, model, tmp_path) -> None:
    code, out, err = kobert("vocab", "convert", model, "--out", tmp_path / "v")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "no piece for pad, mask, so the ids cannot be told; give --style bert" in err


def test_a_vocabulary_of_ours_is_refused_in_one_line(kobert, vocab_folder, tmp_path) -> None:
    code, _, err = kobert("vocab", "convert", vocab_folder / "spm.model", "--out", tmp_path / "v")
    assert code == 2
    assert "rules for several characters that tokenizers cannot follow" in err
    assert not (tmp_path / "v").exists()
