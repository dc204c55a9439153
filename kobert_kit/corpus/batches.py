"""Batches without padding, as a pure function of (seed, step).

Shapes: T tokens of all S sequences, M slots for predictions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kobert_kit.corpus.masking import capacity, choose, corrupted
from kobert_kit.corpus.order import permuted
from kobert_kit.corpus.pairs import Pair, Stretches
from kobert_kit.corpus.plan import LanguagePlan, language_plan
from kobert_kit.corpus.shards import Bools, Corpus, Ints, Shard
from kobert_vocab.errors import InputError
from kobert_vocab.vocabulary import Vocabulary

IGNORED = -100  # label of an unused slot, PyTorch's own convention
SPECIALS = 3  # [CLS] A [SEP] B [SEP]
COUNTED = 5_000_000  # tokens of a language that its frequencies are counted in
HELD_OUT_MASK_RATE = 0.15  # whatever training masks, so that runs can be compared
HELD_OUT_EPOCH = 1 << 32  # a name for evaluation's draws that no training epoch reaches


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences end to end (contract 3 of the design)."""

    tokens: npt.NDArray[np.int32]
    """[T], with masks applied."""
    positions: npt.NDArray[np.int32]
    """[T], place in the sequence."""
    segments: npt.NDArray[np.int32]
    """[T], 0 for A, 1 for B."""
    cu_seqlens: npt.NDArray[np.int32]
    """[S+1], where each sequence begins."""
    max_seqlen: int
    masked: npt.NDArray[np.int64]
    """[M], positions to predict; unused slots point at 0."""
    labels: npt.NDArray[np.int64]
    """[M], the true ids; unused slots carry -100."""
    is_next: npt.NDArray[np.int64]
    """[S], 0 when B follows A, 1 when it is random."""
    language: npt.NDArray[np.int64]
    """[S], index into the languages of the batches' plan."""


@dataclass(frozen=True)
class _Sequence:
    tokens: Ints
    segments: Ints
    chosen: Ints
    labels: Ints
    is_next: int
    language: int


class Batches:
    """The batches of a corpus.

    Args:
        corpus: token shards.
        vocabulary: the one the corpus was built with.
        seed: names the whole run.
        sequences: per batch (S).
        length: longest sequence in tokens, special ones included.
        mask_rate: share of tokens to predict in training; held-out ones keep BERT's 15 %.
        alpha, floors: of the language plan.

    Raises:
        InputError: the vocabulary is another one, or there is nothing to train or evaluate on.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: Vocabulary,
        *,
        seed: int,
        sequences: int,
        length: int,
        mask_rate: float = 0.15,
        alpha: float = 0.3,
        floors: Mapping[str, float] | None = None,
    ) -> None:
        if corpus.manifest.vocabulary != vocabulary.fingerprint:
            raise InputError(
                "the corpus was built with another vocabulary; build it again with this one: "
                "kobert corpus build"
            )
        self._corpus, self._vocabulary = corpus, vocabulary
        self._seed, self._sequences, self._length = seed, sequences, length
        self._mask_rate = mask_rate
        self._train = self._side(held_out=False)
        if not self._train:
            raise InputError("the corpus has no text to train on")
        self._kept = {c: s for c, s in self._side(held_out=True).items() if c in self._train}
        if not self._kept:
            raise InputError(
                "the corpus keeps no document for evaluation; put blank lines between documents "
                "(a language needs four) and build it with --held-out above 0"
            )
        tokens = {code: _tokens(s.shard, held_out=False) for code, s in self._train.items()}
        self.plan: LanguagePlan = language_plan(tokens, alpha, floors)

    def _side(self, *, held_out: bool) -> dict[str, Stretches]:
        sides = {
            code: Stretches(shard, held_out=held_out, length=self._length - SPECIALS)
            for code, shard in self._corpus.shards.items()
        }
        return {code: stretches for code, stretches in sides.items() if len(stretches)}

    def __getitem__(self, step: int) -> Batch:
        first = step * self._sequences
        samples = [self._sample(first + i) for i in range(self._sequences)]
        return self._packed(samples, self._mask_rate)

    def held_out(self, most: int) -> Iterator[Batch]:
        """Batches of the documents that training never sees, ``most`` sequences per language."""
        sequences = [
            self._sequence(
                stretches,
                permuted(i, len(stretches), 0),
                (0, self.plan.languages.index(code), HELD_OUT_EPOCH, i),
                HELD_OUT_MASK_RATE,
            )
            for code, stretches in self._kept.items()
            for i in range(min(most, len(stretches)))
        ]
        for begin in range(0, len(sequences), self._sequences):
            yield self._packed(sequences[begin : begin + self._sequences], HELD_OUT_MASK_RATE)

    def training_counts(self, language: str) -> npt.NDArray[np.int64]:
        """How often each id stands in a language's training documents, [V].

        Counted in the first `COUNTED` tokens: enough for frequencies, and quick at any size.
        """
        shard = self._corpus.shards[language]
        sizes = np.diff(np.asarray(shard.sentences)[np.asarray(shard.documents)])
        documents = int(np.searchsorted(np.cumsum(sizes), COUNTED)) + 1
        training = np.repeat(~shard.held_out()[:documents], sizes[:documents])
        tokens = np.asarray(shard.tokens[: len(training)])[training]
        return np.bincount(tokens, minlength=len(self._vocabulary))

    def _sample(self, number: int) -> _Sequence:
        language, within = self.plan.sample(number)
        stretches = self._train[language]
        epoch, place = divmod(within, len(stretches))
        which = self.plan.languages.index(language)
        index = permuted(place, len(stretches), self._seed, which, epoch)
        return self._sequence(stretches, index, (self._seed, which, epoch, index), self._mask_rate)

    def _sequence(
        self, stretches: Stretches, index: int, key: tuple[int, int, int, int], mask_rate: float
    ) -> _Sequence:
        """A stretch as a masked pair; ``key`` is (seed, language, epoch, sample)."""
        pair = stretches.pair(index, *key)
        tokens, segments, special = self._joined(pair)
        chosen = choose(special, mask_rate, *key)
        return _Sequence(
            tokens=corrupted(tokens, chosen, self._vocabulary.mask, len(self._vocabulary), *key),
            segments=segments,
            chosen=chosen,
            labels=tokens[chosen].astype(np.int64),
            is_next=pair.is_next,
            language=key[1],
        )

    def _joined(self, pair: Pair) -> tuple[Ints, Ints, Bools]:
        """``[CLS] A [SEP] B [SEP]`` with its segments and which tokens are special."""
        cls, sep = self._vocabulary.cls, self._vocabulary.sep
        tokens = np.concatenate([[cls], pair.a, [sep], pair.b, [sep]]).astype(np.int32)
        segments = np.zeros(len(tokens), dtype=np.int32)
        segments[len(pair.a) + 2 :] = 1
        special = np.zeros(len(tokens), dtype=bool)
        special[[0, len(pair.a) + 1, -1]] = True
        return tokens, segments, special

    def _packed(self, sequences: list[_Sequence], mask_rate: float) -> Batch:
        lengths = np.array([len(s.tokens) for s in sequences])
        begins = np.concatenate([[0], np.cumsum(lengths)])
        masked = np.concatenate([s.chosen + b for s, b in zip(sequences, begins, strict=False)])
        slots = len(sequences) * capacity(self._length, mask_rate)
        unused = slots - len(masked)
        return Batch(
            tokens=np.concatenate([s.tokens for s in sequences]),
            positions=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
            segments=np.concatenate([s.segments for s in sequences]),
            cu_seqlens=begins.astype(np.int32),
            max_seqlen=int(lengths.max()),
            masked=np.pad(masked, (0, unused)),
            labels=np.pad(
                np.concatenate([s.labels for s in sequences]), (0, unused), constant_values=IGNORED
            ),
            is_next=np.array([s.is_next for s in sequences]),
            language=np.array([s.language for s in sequences]),
        )


def _tokens(shard: Shard, *, held_out: bool) -> int:
    documents = np.flatnonzero(shard.held_out() == held_out)
    starts = np.asarray(shard.sentences)[np.asarray(shard.documents)]
    return int((starts[documents + 1] - starts[documents]).sum())
