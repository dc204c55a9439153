"""A small vocabulary, trained once for all tests here on text made up in this file."""

import io
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from tqdm import tqdm

import kobert_vocab.reading.documents
from kobert_vocab import Vocabulary, train

NOUNS = """
학교 서울 사람 도시 바다 친구 음식 영화 시간 마음 나라 회사 선생님
컴퓨터 도서관 자동차 부산 대전 여행 공원 음악 그림 역사 과학 문화 경제
정부 국민 기술 연구 결과 문제 방법 생각 이야기 어머니 아버지 할머니
고양이 강아지 비행기 지하철 냉장고 운동장 박물관 대통령 전화기 텔레비전
"""
PARTICLES = """
은 이 을 에서 에서는 에게 까지 부터 도 만 의 처럼
"""
STEMS = """
먹 읽 찾 받 앉 믿 웃 걷 잡 씻
"""
ENDINGS = """
고 지만 습니다 었습니다 는데 어요 었다 으면 는다
"""
CHAT = """
ㅋㅋㅋㅋ ㅠㅠ ㅇㅇ 헐ㅋㅋ 넵! 2024년 12,500원 3kg OECD는
(대박) 👍
"""
OTHERS = {
    "en": "The quick brown fox jumps over the lazy dog. Words of a language repeat themselves.",
    "ja": "私は毎日学校へ行きます。東京は大きい町です。東京へ行きました。カタカナを書く、読む。",
    "zh-Hans": "我们每天去学校学习中文。北京是中国的首都，北京有很多人口。",
    "th": "ภาษาไทยเขียนโดยไม่เว้นวรรค คนไทยพูดภาษาไทย",
    "ru": "Каждый день мы ходим в школу и читаем книги.",
    "hi": "हम हर दिन स्कूल जाते हैं और किताबें पढ़ते हैं।",
}
SIZE = 3290  # of these 2,573 are Korean syllables and jamo, 361 special


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of text: Korean of every noun, particle, stem and ending, and six languages."""
    folder = tmp_path_factory.mktemp("corpus")
    draw = random.Random(1)
    words = [
        a + b
        for a, b in (
            *product(NOUNS.split(), PARTICLES.split()),
            *product(STEMS.split(), ENDINGS.split()),
        )
    ] + CHAT.split()
    lines = (" ".join(draw.choices(words, k=6)) for _ in range(1200))
    (folder / "ko.txt").write_text("\n".join(lines), encoding="utf-8")
    for language, text in OTHERS.items():
        (folder / f"{language}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary folder."""
    out = tmp_path_factory.mktemp("trained") / "vocabulary"
    return train([corpus], out, size=SIZE, analyser="rules")


@pytest.fixture(scope="session")
def vocabulary(trained: Path) -> Vocabulary:
    return Vocabulary.load(trained)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of a name and content, and give its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[tqdm]:
    """The progress bars that reading has made, none of them shown."""
    made: list[tqdm] = []

    def make(**options: object) -> tqdm:
        made.append(tqdm(**{**options, "disable": False, "file": io.StringIO()}))
        return made[-1]

    monkeypatch.setattr(kobert_vocab.reading.documents, "tqdm", make)
    return made
