import io
import os
import pty
import select
import subprocess
import sys
import time

import pytest
import torch
from tokenizers import Tokenizer

from kobert_kit.fill_mask import MaskFiller
from kobert_kit.mask_prompt import answer
from kobert_vocab.errors import InputError

PARTICLES = ("에서", "은", "는", "이", "가", "을", "를", "에", "의", "와", "에게", "부터", "이라고")


@pytest.fixture(scope="module")
def model(short_run):
    config, _ = short_run
    return config.out / "model"


@pytest.fixture(scope="module")
def filler(model):
    return MaskFiller(model)


@pytest.fixture
def piped(kobert, monkeypatch, model):
    """Run ``kobert fill-mask`` with these bytes at its standard input."""

    def run(content, *flags):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        return kobert("fill-mask", model, *flags)

    return run


@pytest.mark.parametrize("particle", PARTICLES)
@pytest.mark.parametrize("before", ["", "오늘은 ", "나는 매일 "])
def test_a_particle_after_a_mask_goes_on_with_its_word(vocab_folder, particle, before):
    tokenizer = Tokenizer.from_file(str(vocab_folder / "tokenizer.json"))
    tokens = tokenizer.encode(f"{before}[MASK]{particle} 만났다.").tokens
    after = tokens[tokens.index("[MASK]") + 1 :]
    begins = [place for place, token in enumerate(after) if token.startswith("▁")]
    assert begins[0] > 0
    assert "".join(after[: begins[0]]) == particle
    # A space before it makes a word of it.
    apart = tokenizer.encode(f"{before}[MASK] {particle} 만났다.").tokens
    assert apart[apart.index("[MASK]") + 1].startswith("▁")


def test_a_particle_has_the_tokens_that_it_has_after_a_word(vocab_folder):
    tokenizer = Tokenizer.from_file(str(vocab_folder / "tokenizer.json"))
    word = tokenizer.encode("오늘은 학교에서 친구를").tokens
    mask = tokenizer.encode("오늘은 [MASK]에서 친구를").tokens
    at = word.index("▁학교")
    assert [*word[:at], "[MASK]", *word[at + 1 :]] == mask


def test_masks_are_filled_and_all_else_stays(filler):
    text = "오늘은 [MASK]에서 [MASK] 만났다."
    filled = filler.filled(text)
    assert "[MASK]" not in filled
    assert filled.startswith("오늘은")
    assert "에서" in filled
    assert filled.endswith(" 만났다.")


@pytest.fixture
def believing(model, monkeypatch, vocabulary):
    """A filler whose model gives these shares to pieces, by mask, each time it is asked."""

    def make(*answers):
        filler = MaskFiller(model)
        shares = []
        for masks in answers:
            table = torch.zeros(len(masks), len(vocabulary))
            for row, pieces in zip(table, masks, strict=True):
                for piece, share in pieces.items():
                    row[filler._tokenizer.token_to_id(piece)] = share
            shares.append(table)
        asked = []

        def give(sequence):
            asked.append(filler._tokenizer.decode(sequence.ids.tolist(), skip_special_tokens=False))
            return shares[len(asked) - 1]

        monkeypatch.setattr(filler, "_shares", give)
        return filler, asked

    return make


def test_a_piece_that_begins_a_word_brings_its_space_and_another_none(believing):
    for piece, expected in (("▁학교", "한국의 학교에서"), ("들", "한국의들에서")):
        filler, _ = believing([{piece: 0.5, "[MASK]": 0.4}])
        assert filler.filled("한국의 [MASK]에서") == expected


def test_the_surest_mask_is_filled_first_and_the_other_in_its_light(believing):
    filler, asked = believing([{"▁사람": 0.4}, {"▁영화": 0.6}], [{"▁친구": 0.5, "▁사람": 0.1}])
    assert filler.filled("오늘 [MASK]와 [MASK]를 봤다") == "오늘 친구와 영화를 봤다"
    assert "영화" in asked[1]
    assert asked[1].count("[MASK]") == 1


def test_a_mask_is_not_filled_with_a_mask(believing):
    filler, _ = believing([{"[MASK]": 0.9, "▁사람": 0.1}])
    assert filler.filled("[MASK]은") == "사람은"


def test_an_answer_has_each_mask_and_the_text(filler):
    lines = answer(filler, "가 [MASK] 나 [MASK]", top=2).splitlines()
    assert [line for line in lines if line.startswith("[MASK]")] == ["[MASK] 1", "[MASK] 2"]
    assert sum("%" in line for line in lines) == 4
    assert lines[-1] == filler.filled("가 [MASK] 나 [MASK]")


def test_a_line_in_a_pipe_is_answered_with_what_the_command_line_gives(piped, kobert, model):
    texts = ("오늘은 [MASK]에서 만났다.", "[MASK] 영화")
    alone = "".join(kobert("fill-mask", model, text, "--top", 2)[1] for text in texts)
    code, out, err = piped("\n".join(texts).encode(), "--top", 2)
    assert (code, out, err) == (0, alone, "")


def test_the_model_is_loaded_once(piped, monkeypatch):
    loaded = []
    before = MaskFiller.__init__

    def counted(self, folder):
        loaded.append(folder)
        before(self, folder)

    monkeypatch.setattr(MaskFiller, "__init__", counted)
    assert piped("가 [MASK]\n".encode() * 3)[0] == 0
    assert len(loaded) == 1


def test_a_line_that_cannot_be_answered_is_one_line_and_the_next_is_read(piped):
    code, out, err = piped(b"\xec\x97\x86\n[MASK]\n\n\xff [MASK]\n[MASK]\r\n")
    assert code == 2
    assert out.count("[MASK] 1") == 2
    first, second, third = err.splitlines()
    assert first.startswith("kobert: line 1: no [MASK] in the text")
    assert second.startswith("kobert: line 3: no [MASK]")
    assert third.startswith("kobert: line 4: the text")
    assert "not UTF-8" in third


def test_an_empty_pipe_is_no_error(piped):
    assert piped(b"") == (0, "", "")


def test_a_text_that_is_not_utf8_is_refused(filler):
    with pytest.raises(InputError, match="not UTF-8"):
        filler.fill("\udcff [MASK]")


@pytest.mark.timeout(60)  # it would wait for ever
def test_the_answer_comes_before_the_next_line_is_written(model):
    process = subprocess.Popen(
        [sys.executable, "-m", "kobert_kit", "fill-mask", str(model), "--top", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    for _ in range(2):
        process.stdin.write("가 [MASK]\n")
        process.stdin.flush()
        assert process.stdout.readline() == "[MASK] 1\n"
        assert "%" in process.stdout.readline()
        assert process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


class Terminal:
    """A kobert at a pseudo-terminal of its own."""

    def __init__(self, model):
        self.process, self._terminal = pty.fork()
        if self.process == 0:
            command = [sys.executable, "-m", "kobert_kit", "fill-mask", str(model), "--top", "1"]
            os.execv(sys.executable, command)

    def read_to(self, end, after=b"", seconds=60):
        """What it prints up to the ``end`` that comes ``after`` something else."""
        shown, limit = b"", time.monotonic() + seconds
        while shown.find(end, max(0, shown.find(after))) < 0 or after not in shown:
            if time.monotonic() > limit:
                break
            if select.select([self._terminal], [], [], 0.2)[0]:
                try:
                    shown += os.read(self._terminal, 4096)
                except OSError:  # it has gone
                    break
        return shown.decode(errors="replace")

    def type(self, keys):
        os.write(self._terminal, keys)

    def leave(self):
        """What it prints to its end, and its exit code."""
        shown = self.read_to(b"\0", seconds=60)
        os.close(self._terminal)  # ends it if it has not left by itself
        return shown, os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def terminal(model):
    at = Terminal(model)
    # Not any "> " of what is said while it starts: a Ctrl-C then ends it otherwise.
    assert at.read_to(b"> ", after=b"leaves.").endswith("> ")
    return at


UP = b"\x1b[A"


@pytest.mark.slow
def test_at_a_terminal_lines_are_answered_and_remembered_until_ctrl_d(terminal):
    terminal.type("가 [MASK]\n".encode())
    first = terminal.read_to(b"> ")
    assert "[MASK] 1" in first
    terminal.type(b"no mask\n")
    wrong = terminal.read_to(b"> ")
    assert "kobert: no [MASK] in the text 'no mask'" in wrong
    assert "Traceback" not in wrong
    terminal.type(UP + UP + b"\n")
    assert "[MASK] 1" in terminal.read_to(b"> ")
    terminal.type(b"\x04")
    assert terminal.leave()[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "code"), [(b"\n", 0), (b" \n", 0), (b"\x03", 130)])
def test_an_empty_line_leaves_and_so_does_ctrl_c(terminal, keys, code):
    terminal.type(keys)
    shown, found = terminal.leave()
    assert found == code, shown
    assert ("kobert: stopped" in shown) == (code == 130)
    assert "Traceback" not in shown
