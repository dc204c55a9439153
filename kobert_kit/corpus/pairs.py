"""Next-sentence pairs, as Google's ``create_pretraining_data.py`` builds them.

A document is read in stretches of whole sentences of about the target length. A stretch is cut in
two at a random sentence; half of the time (and always when it is one sentence) the second part is
replaced by text from another document. One difference: what a random second part displaces is not
read again in the same epoch, because that would make a sample depend on those before it; the next
epoch cuts elsewhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.counter_random import PAIR, TRUNCATION, below, uniform
from kobert_kit.corpus.shards import Ints, Shard

SHORT_SHARE = 0.1  # pairs of a random shorter length, so that short inputs are seen (BERT's code)
OTHER_DOCUMENT_TRIES = 10  # as in BERT's code; then B may come from the same document


@dataclass(frozen=True)
class Pair:
    """Two texts as token ids; ``is_next`` 0 when B follows A, 1 when B is random."""

    a: Ints
    b: Ints
    is_next: int


class Stretches:
    """A shard's documents of one side of the split, cut into stretches of whole sentences.

    Args:
        shard: one language.
        held_out: which side of the split.
        length: tokens of a full pair, without the three special tokens.
    """

    def __init__(self, shard: Shard, *, held_out: bool, length: int) -> None:
        self.shard, self.length = shard, length
        documents = np.flatnonzero(shard.held_out() == held_out)
        self.begins, self.ends = _stretches(shard, documents, length)

    def __len__(self) -> int:
        return len(self.begins)

    def pair(self, index: int, *key: int) -> Pair:
        """The pair that stretch ``index`` gives under ``key``."""
        short, target_draw, cut_draw, random_draw = uniform(PAIR, *key, np.arange(4))
        target = self.length
        if short < SHORT_SHARE:
            target = 2 + int(target_draw * (self.length - 1))
        begin, end = int(self.begins[index]), int(self.ends[index])
        end = begin + self._sentences_for(begin, end, target)
        cut = begin + 1 + int(cut_draw * (end - begin - 1))  # A keeps one sentence or more
        a = self._tokens(begin, cut)
        is_random = end - begin == 1 or random_draw < 0.5
        b = self._other(index, target - len(a), key) if is_random else self._tokens(cut, end)
        return Pair(*_truncated(a, b, target, key), is_next=int(is_random))

    def _sentences_for(self, begin: int, end: int, target: int) -> int:
        """How many sentences from ``begin`` reach ``target`` tokens, at most to ``end``."""
        starts = self.shard.sentences[begin : end + 1]
        return max(1, min(int(np.searchsorted(starts, starts[0] + target)), end - begin))

    def _tokens(self, begin: int, end: int) -> Ints:
        first, last = self.shard.sentences[begin], self.shard.sentences[end]
        return np.asarray(self.shard.tokens[first:last])

    def _other(self, index: int, wanted: int, key: tuple[int, ...]) -> Ints:
        """Text from another document: a random sentence on, until ``wanted`` tokens."""
        own = self._document(int(self.begins[index]))
        for draw in below(len(self), PAIR, *key, 4 + np.arange(OTHER_DOCUMENT_TRIES)):
            other = int(draw)
            if self._document(int(self.begins[other])) != own:
                break
        begin, end = int(self.begins[other]), int(self.ends[other])
        begin += int(below(end - begin, PAIR, *key, 4 + OTHER_DOCUMENT_TRIES)[0])
        return self._tokens(begin, begin + self._sentences_for(begin, end, max(1, wanted)))

    def _document(self, sentence: int) -> int:
        return int(np.searchsorted(self.shard.documents, sentence, side="right"))


def _stretches(
    shard: Shard, documents: npt.NDArray[np.int64], length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last-plus-one sentence of each stretch of the given documents.

    A sentence belongs to the stretch in which it begins when a document is ruled off every
    ``length`` tokens; so a stretch holds about that many.
    """
    offsets = np.asarray(shard.documents)
    first, last = offsets[documents], offsets[documents + 1]
    owner = np.repeat(np.arange(len(documents)), last - first)
    place = np.arange(len(owner)) - np.repeat(
        np.cumsum(last - first) - (last - first), last - first
    )
    sentence = first[owner] + place
    starts = np.asarray(shard.sentences)
    ruled = (starts[sentence] - starts[first[owner]]) // length
    new = np.ones(len(owner), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (ruled[1:] != ruled[:-1])
    begins = sentence[new]
    ends = np.append(sentence[np.flatnonzero(new)[1:] - 1], sentence[-1:]) + 1
    return begins, ends


def _truncated(a: Ints, b: Ints, target: int, key: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Cut tokens off the longer text, at its front or back at random, until both fit."""
    excess = len(a) + len(b) - target
    if excess <= 0:
        return a, b
    at_front = uniform(TRUNCATION, *key, np.arange(excess)) < 0.5
    for front in at_front:
        if len(a) > len(b):
            a = a[1:] if front else a[:-1]
        else:
            b = b[1:] if front else b[:-1]
    return a, b
