"""Texts of shards laid end to end, with special tokens around and masks in them.

Shapes: T tokens of all S sequences, M slots for predictions, N sequences of text (S with padding).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kobert_kit.batches.batch import IGNORED, PADDING, Batch
from kobert_kit.batches.counter_random import Bits
from kobert_kit.batches.masking import budgets, choose, corrupted, toss
from kobert_kit.batches.options import SPECIALS, Masking, Pairing
from kobert_kit.batches.word_units import at_most, piece_kinds, unit_starts
from kobert_kit.corpus.shards import Bools, Int64s, Shard
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary


@dataclass(frozen=True, kw_only=True)
class Texts:
    """N sequences as ranges of tokens in their shards; B is empty where one text stands alone."""

    language: Int64s
    """[N] index into the shards."""
    a_begin: Int64s
    a_end: Int64s
    b_begin: Int64s
    b_end: Int64s
    label: Int64s
    """[N] of the question about the two texts."""
    keys: Bits
    """[N] names of the draws of masks, mixed."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where everything lies in T tokens."""

    cu_seqlens: npt.NDArray[np.int32]
    sequence: Int64s
    """[T] which sequence a token is in."""
    positions: npt.NDArray[np.int32]
    segments: npt.NDArray[np.int32]
    special: Bools
    """[T] tokens that are no text, padding included."""
    a: Int64s
    """[N] where A begins."""
    b: Int64s
    """[N] where B begins; the end of the sequence where there is none."""


class Assembly:
    """What makes batches of texts.

    Args:
        shards: of the languages, by index.
        spaced: whether each language is written with spaces.
        vocabulary: the one the shards were made with.
        pairing: what a sequence is made of.
        length: tokens of the longest sequence.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        spaced: Bools,
        vocabulary: AnyVocabulary,
        *,
        pairing: Pairing,
        length: int,
    ) -> None:
        self._shards, self._spaced = shards, spaced
        self._vocabulary, self._kinds = vocabulary, piece_kinds(vocabulary)
        self._pairing, self._length = pairing, length

    def batch(self, texts: Texts, masking: Masking, rate: float, slots: int, room: int) -> Batch:
        """A batch of ``room`` tokens with ``slots`` predictions, so many at ``rate``."""
        layout = self._laid_out(texts, room)
        tokens = self._filled(texts, layout)
        chosen = np.flatnonzero(self._chosen(tokens, texts, layout, masking, rate))[:slots]
        labels = tokens[chosen].astype(np.int64)
        tokens = corrupted(
            *(tokens, chosen, layout.sequence, texts.keys, masking),
            mask_id=self._vocabulary.mask,
            vocab_size=len(self._vocabulary),
        )
        unused = slots - len(chosen)
        padding = len(layout.cu_seqlens) - 1 - len(texts.keys)
        return Batch(
            tokens=tokens,
            positions=layout.positions,
            segments=layout.segments,
            cu_seqlens=layout.cu_seqlens,
            max_seqlen=int(np.diff(layout.cu_seqlens).max()),
            masked=np.pad(chosen, (0, unused)),
            labels=np.pad(labels, (0, unused), constant_values=IGNORED),
            is_next=np.pad(texts.label, (0, padding), constant_values=IGNORED),
            language=np.pad(texts.language, (0, padding), constant_values=PADDING),
        )

    def _laid_out(self, texts: Texts, room: int) -> _Layout:
        a, b = texts.a_end - texts.a_begin, texts.b_end - texts.b_begin
        lengths = a + b + SPECIALS[self._pairing]
        left = room - int(lengths.sum())
        padding = [self._length] * (left // self._length) + [left % self._length] * (
            left % self._length > 0
        )
        ends = np.cumsum(np.concatenate([[0], lengths, padding]), dtype=np.int64)
        begins = ends[:-1]
        sequence = np.repeat(np.arange(len(begins)), np.diff(ends))
        positions = (np.arange(room) - begins[sequence]).astype(np.int32)
        begin, end = begins[: len(a)], ends[1 : len(a) + 1]
        special = np.zeros(room, dtype=np.bool_)
        special[begin] = special[end - 1] = True
        special[int(lengths.sum()) :] = True
        second = end
        if self._pairing != "none":
            special[begin + 1 + a] = True
            second = begin + 2 + a
        before = np.append(second - begin, np.full(len(padding), self._length))
        return _Layout(
            cu_seqlens=ends.astype(np.int32),
            sequence=sequence,
            positions=positions,
            segments=(positions >= before[sequence]).astype(np.int32),
            special=special,
            a=begin + 1,
            b=second,
        )

    def _filled(self, texts: Texts, layout: _Layout) -> npt.NDArray[np.int32]:
        """[T] the tokens, none masked yet."""
        tokens = np.full(len(layout.sequence), self._vocabulary.pad, dtype=np.int32)
        tokens[: layout.cu_seqlens[len(texts.keys)]][
            layout.special[: layout.cu_seqlens[len(texts.keys)]]
        ] = self._vocabulary.sep
        tokens[layout.a - 1] = self._vocabulary.cls
        columns = (layout.a, texts.a_begin, texts.a_end, layout.b, texts.b_begin, texts.b_end)
        rows = zip(texts.language.tolist(), *(column.tolist() for column in columns), strict=True)
        stored = [shard.tokens for shard in self._shards]
        for language, a, a_begin, a_end, b, b_begin, b_end in rows:
            tokens[a : a + a_end - a_begin] = stored[language][a_begin:a_end]
            if b_end > b_begin:
                tokens[b : b + b_end - b_begin] = stored[language][b_begin:b_end]
        return tokens

    def _chosen(
        self,
        tokens: npt.NDArray[np.int32],
        texts: Texts,
        layout: _Layout,
        masking: Masking,
        rate: float,
    ) -> Bools:
        """[T] which tokens are to be predicted."""
        lengths = np.diff(layout.cu_seqlens)
        budget = budgets(lengths, rate)
        keys = np.concatenate([texts.keys, np.zeros(len(lengths) - len(texts.keys), np.uint64)])
        begins = np.ones(len(tokens), dtype=np.bool_)
        if masking.unit != "piece":
            begins = self._unit_starts(tokens, texts, layout)
            if masking.unit == "morpheme":
                begins |= self._morphemes(texts, layout)
            longest = np.minimum(masking.longest_unit, budget)
            begins = at_most(longest[layout.sequence], begins)
        if masking.rule == "bernoulli":
            return toss(begins, layout.sequence, layout.special, rate, keys)
        return choose(begins, layout.sequence, layout.special, budget, keys)

    def _morphemes(self, texts: Texts, layout: _Layout) -> Bools:
        """[T] where a morpheme begins."""
        begins = np.zeros(len(layout.sequence), dtype=np.bool_)
        for i, language in enumerate(texts.language.tolist()):
            shard = self._shards[language]
            a, b = int(layout.a[i]), int(layout.b[i])
            found = shard.morphemes(int(texts.a_begin[i]), int(texts.a_end[i]))
            begins[a : a + len(found)] = found
            found = shard.morphemes(int(texts.b_begin[i]), int(texts.b_end[i]))
            begins[b : b + len(found)] = found
        return begins

    def _unit_starts(self, tokens: npt.NDArray[np.int32], texts: Texts, layout: _Layout) -> Bools:
        first = layout.special.copy()
        first[1:] |= layout.special[:-1]
        languages = np.append(texts.language, np.full(len(layout.cu_seqlens), PADDING))
        return unit_starts(
            tokens,
            kinds=self._kinds,
            first=first,
            spaced=self._spaced[languages[layout.sequence]],
        )
