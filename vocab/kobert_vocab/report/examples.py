"""Sentences in pieces, one below the other for each vocabulary."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kobert_vocab.report.boundaries import Morphemes, crosses
from kobert_vocab.report.metrics import covers, cut_places
from kobert_vocab.report.peers import Peer, Token

WRITTEN = {
    "formal": "정부는 내년도 예산안을 국회에 제출하였으며, 이에 대한 심의가 시작되었습니다.",
    "spoken": "할머니께서 끓여 주신 된장찌개가 제일 맛있었거든요.",
    "chat": "아 진짜 개웃겨ㅋㅋㅋㅋ 근데 끝나니까 좀 슬픔ㅠㅠ ㅇㅈ?",
    "typing errors": "담주에 시간 되시면 연락주세욤 않돼면 말구여",
    "no spaces": "오늘저녁에뭐먹을지아직도못정했어",
    "Hanja": "大韓民國은 民主共和國이다. 제1조(第一條)의 뜻을 풀어 보자.",
    "Latin letters": "GPU에서 BERT를 pretraining하려면 CUDA 12.4가 필요해요.",
    "numbers and units": "2024년 3월 1일 오후 2시 30분, 12.5km를 달려 3,500원을 아꼈다.",
    "place names": "서울특별시 종로구에서 경상남도 창녕군 우포늪까지 다녀왔습니다.",
    "rare syllables": "뷁 하고 꿻 하더니 쀼의 세계에서 펲시를 마셨다.",
    "emoji": "날씨 최고👍🏽 바다 가고 싶다🌊🫠 #여름",
    "compatibility forms": "㈜한국은 ①번 ㎏ 단위와 ﾊﾝｸﾞﾙ, ｆｕｌｌ 폭 글자를 쓴다.",
    "decomposed (NFD)": unicodedata.normalize("NFD", "한글 파일 이름이 풀어졌습니다."),
    "English": "The vocabulary splits unfamiliar words into smaller pieces.",
    "Japanese": "東京の図書館でカタカナの辞書を借りました。",
    "Russian": "Словарь разбивает незнакомые слова на части.",
}
KOREAN_WRITTEN = [text for text in WRITTEN.values() if "가" <= text[0] <= "힣"]
_BYTE = re.compile(r"<0x(..)>|\\x(..)")  # <0xEA> and \xea are shown as EA
FROM_TEXT, SHORTEST, LONGEST = 6, 15, 80  # lines of the given text, and their characters
WORDS_COMPARED, WORDS_SHOWN = 5000, 15
LEAST_SYLLABLES = 3  # of a word shown: on two, vocabularies can hardly disagree


@dataclass(frozen=True, kw_only=True)
class Box:
    """A piece in a sentence."""

    text: str
    """What it covers of the sentence; the piece itself where it shares that with another."""
    piece: str
    id: int
    first: bool
    """Whether it is the first of a word."""
    crosses: bool
    """Whether a morpheme starts inside it, where that is known."""
    kind: str
    """``byte``, ``unknown`` or nothing."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text with the pieces that each vocabulary makes of it, in the order of these."""

    label: str
    text: str
    boxes: list[list[Box]]


def written_examples(
    peers: Sequence[Peer], cuts: Mapping[str, Sequence[int]] | None = None
) -> list[Example]:
    """The sentences of this file in pieces; ``cuts`` are as for `example`."""
    return [example(label, text, peers, cuts or {}) for label, text in WRITTEN.items()]


def example(
    label: str, text: str, peers: Sequence[Peer], cuts: Mapping[str, Sequence[int]]
) -> Example:
    """``text`` in pieces; ``cuts`` has the places where morphemes start, by word."""
    words = text.split()
    return Example(
        label=label,
        text=text,
        boxes=[
            [
                box
                for word, tokens, ids in zip(
                    words, peer.spans(words), peer.encode_words(words), strict=True
                )
                for box in _boxes(peer, word, tokens, ids, tuple(cuts.get(word, ())))
            ]
            for peer in peers
        ],
    )


def _boxes(
    peer: Peer, word: str, tokens: list[Token] | None, ids: list[int], cuts: tuple[int, ...]
) -> list[Box]:
    if tokens is None or not covers([t[1:] for t in tokens], 0, len(word)):
        tokens = [Token(i, 0, 0) for i in ids]
    return [
        Box(
            text=_shown(peer, tokens, at, word),
            piece=peer.pieces[token.id],
            id=token.id,
            first=at == 0,
            crosses=crosses(token, cuts),
            kind=_kind(peer, token.id),
        )
        for at, token in enumerate(tokens)
    ]


def _shown(peer: Peer, tokens: list[Token], at: int, word: str) -> str:
    token = tokens[at]
    if token.id in peer.bytes:
        return _BYTE.sub(lambda m: (m[1] or m[2]).upper(), peer.texts[token.id])
    neighbours = tokens[max(0, at - 1) : at] + tokens[at + 1 : at + 2]
    alone = all(n.end <= token.start or n.start >= token.end for n in neighbours)
    covered = word[token.start : token.end] if alone else ""
    return covered or peer.texts[token.id].strip() or peer.pieces[token.id]


def _kind(peer: Peer, token: int) -> str:
    return "unknown" if token == peer.unknown else "byte" if token in peer.bytes else ""


def lines_to_show(lines: Sequence[str]) -> list[str]:
    """A few lines of middle length, evenly spread."""
    fitting = [line for line in lines if SHORTEST <= len(line) <= LONGEST]
    step = max(1, len(fitting) // FROM_TEXT)
    return fitting[step // 2 :: step][:FROM_TEXT]


def most_disputed(peers: Sequence[Peer], words: Mapping[Morphemes, int]) -> list[Morphemes]:
    """The frequent words on whose cuts the vocabularies agree least, the most disputed first.

    Two vocabularies agree on a word as far as the cuts of both are a share of those of either.
    """
    frequent = sorted(words, key=lambda word: (-words[word], word))
    frequent = [w for w in frequent if w.end - w.start >= LEAST_SYLLABLES][:WORDS_COMPARED]
    cuts = [_cut(peer, frequent) for peer in peers]
    scores = {}
    for word, *places in zip(frequent, *cuts, strict=True):
        known = [found for found in places if found is not None]
        pairs = [(a, b) for i, a in enumerate(known) for b in known[:i]]
        scores[word] = max((len(a ^ b) / len(a | b) for a, b in pairs if a | b), default=0.0)
    disputed = [word for word in frequent if scores[word] > 0]
    return sorted(disputed, key=lambda word: -scores[word])[:WORDS_SHOWN]


def _cut(peer: Peer, words: Sequence[Morphemes]) -> list[set[int] | None]:
    rows = peer.spans([word.word for word in words])
    return [
        None if tokens is None else cut_places([t[1:] for t in tokens], word.start, word.end)
        for word, tokens in zip(words, rows, strict=True)
    ]
