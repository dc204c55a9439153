"""Hard texts with their ids, kept beside a vocabulary so that anyone can check it later.

SentencePiece dropped its own self test in 0.2.3. All texts are made up here from a fixed seed: none
comes from the training text, so none can give anything of it away.
"""

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kobert_vocab.errors import InputError
from kobert_vocab.vocabulary import Vocabulary

FILE = "selftest.jsonl"
_SEED = 20191004
_PER_KIND = 40
_PIECES_PER_TEXT = 100

WRITTEN = [
    *(
        "",
        " ",
        "\t\n",
        "가",
        " 가 ",
        "  가  나  ",
        "가\n나",
        "가\u00a0나",
        "가\u3000나\u3000",
        "\u200b",
    ),
    *(
        "\ufeff가나",
        "\u200b\u200e 가",
        "가\u200b나",
        "가\u00ad나",
        "a\u200db",
        "می\u200cخواهم",
        "▁가▁▁나",
    ),
    *(
        "ㅋㅋㅋㅋㅋㅋㅋㅋ",
        "ㅠㅠ",
        "ㅇㅋ ㄱㄱ",
        "가ㄳ",
        "ㅎㅏ",
        "안녕하세욬ㅋㅋ",
        "뷁 됬 봣 쵝",
        "넵!!!",
        "ㆍ훈민",
    ),
    *("ﾡﾢﾤ", "ｶﾞｷﾞﾊﾟ ｱｲｳ", "Ａ Ｂ１２３", "①②㈜㉠㈎㎏㎝℃½", "…‥", "豈更車", "ª̀ Ａ́ ①́", "x²+y₂"),
    *(
        "대한민국 大韓民國",
        "2024년 3월 1일",
        "3kg에 12,500원",
        "010-0000-0000",
        "https://a.b/c?d=e&f=1#g",
    ),
    *("👨‍👩‍👧‍👦", "🇰🇷🇺🇳", "1️⃣ #️⃣", "👍🏽👍", "❤️❤", "🫠🫨", "☺︎", "(´▽`)(￣▽￣)", "^^;; -_-"),
    *("<0x41>", "<0xEA>", "[unused0]", "[mask]", "<s></s><unk>", "[ PAD ]", "▁", "█▅▁"),
    *(
        "\ud7ff\ue000\uf8ff",
        "\U0001fae8\U000e0001\U0010ffff",
        "\u0378\u0530",
        "\ufffd",
        "\u1100\u1160",
        "ᄒᆞᆫ글",
    ),
    *(
        "a\u0301\u0323",
        "\u0301",
        "가\u11a8",
        "q\u0307\u0323",
        "ᄀ\u200bᅡ",
        "\u0e33ก\u0e33",
        "लिपि क्ष",
        "ភាសាខ្មែរ",
        "မြန်မာ",
        "བོད་ཡིག",
        "日本語のﾃｷｽﾄ",
    ),
    *("\x01\x02\x7f\x85", "-" * 55, "ㅋ" * 500, "가" * 3000, "아 " * 2000, "a" * 1000, "1" * 300),
]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A text and its ids."""

    text: str
    ids: list[int]


def write_selftest(vocabulary: Vocabulary, folder: Path) -> None:
    """Write hard texts with the ids that ``vocabulary`` gives them."""
    with (folder / FILE).open("w", encoding="utf-8") as file:
        for text in hard_texts(vocabulary):
            row = {"text": text, "ids": vocabulary.encode(text)}
            file.write(json.dumps(row, ensure_ascii=True) + "\n")


def read_selftest(folder: str | Path) -> Iterator[Case]:
    """The texts of a vocabulary folder.

    Raises:
        InputError: the file is not there or not as it was written.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputError(f"{folder}: not a whole vocabulary (no {FILE} in it)")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            yield Case(text=row["text"], ids=row["ids"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a self-test; train again") from error


def hard_texts(vocabulary: Vocabulary) -> Iterator[str]:
    """The written texts, their decomposed forms, all pieces, and random texts of several kinds."""
    yield from WRITTEN
    yield from (unicodedata.normalize("NFD", text) for text in WRITTEN if text)
    draw = random.Random(_SEED)
    learnt = [vocabulary.piece(i) for i in vocabulary.learnt]
    draw.shuffle(learnt)
    for start in range(0, len(learnt), _PIECES_PER_TEXT):
        yield "".join(learnt[start : start + _PIECES_PER_TEXT])
    for kind in text_kinds(draw):
        yield from (kind() for _ in range(_PER_KIND))


def text_kinds(draw: random.Random) -> list[Callable[[], str]]:
    """What makes random texts of each kind that is hard to get right."""

    def chars(*ranges: tuple[int, int], longest: int = 30) -> str:
        picked = (draw.choice(ranges) for _ in range(draw.randint(1, longest)))
        return "".join(chr(draw.randint(first, last)) for first, last in picked)

    def syllables() -> str:
        return chars((0xAC00, 0xD7A3), (0xAC00, 0xD7A3), (0x20, 0x20))

    return [
        syllables,
        lambda: unicodedata.normalize("NFD", syllables()),
        lambda: chars((0x3131, 0x318E), (0xAC00, 0xD7A3), (0x20, 0x20)),
        lambda: chars((0x1100, 0x11FF), (0xAC00, 0xD7A3)),
        lambda: chars((0x20, 0x7E)),
        lambda: chars((0x00, 0x2FF), (0x300, 0x36F)),
        lambda: chars((0x2000, 0x206F), (0x20, 0x20), (0xAC00, 0xD7A3)),
        lambda: chars((0x3000, 0x33FF), (0xFF00, 0xFFEF)),
        lambda: chars((0x1F300, 0x1FAFF), (0x200D, 0x200D), (0xFE0F, 0xFE0F)),
        lambda: chars((0x21, 0xD7FF), (0xE000, 0x10FFFF)),
        lambda: chars((0xAC00, 0xD7A3), (0x20, 0x7E), (0x4E00, 0x9FFF), longest=3000),
    ]
