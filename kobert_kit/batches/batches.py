"""Batches without padding, as a pure function of (seed, step).

A batch is so many windows of ``length`` tokens. Each window is in one language and packed with
sequences of it. Where a window's language, its sequences, their second parts and their masks come
from is computed from its number, so that any step is reached at once and in any process.

Shapes: T tokens of all S sequences, M slots for predictions, N sequences of text (S with padding),
L languages.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from kobert_kit.batches.assembly import Assembly, Texts
from kobert_kit.batches.batch import IGNORED, Batch
from kobert_kit.batches.counter_random import MASK, bits
from kobert_kit.batches.language_plan import LanguagePlan
from kobert_kit.batches.masking import budgets, hardly_ever_more
from kobert_kit.batches.options import DataConfig, Masking, Pairing, Phase
from kobert_kit.batches.pairs import draw_pairs
from kobert_kit.batches.permutation import permuted
from kobert_kit.batches.ramp import Ramp
from kobert_kit.batches.sequences import Sequences, cut, join
from kobert_kit.batches.windows import Windows
from kobert_kit.corpus.shards import Corpus, Int64s, Shard
from kobert_vocab.errors import InputError
from kobert_vocab.languages import languages as known_languages
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

SCHEME = 1  # of all the draws here; another one gives other batches for the same seed
COUNTED = 5_000_000  # tokens of a language that its frequencies are counted in
HELD_OUT = Masking()  # whatever training masks, so that runs can be compared
HELD_OUT_EPOCH = 1 << 32  # a name for evaluation's draws that no training epoch reaches


@dataclass(frozen=True)
class Drawn:
    """N sequences by name: all that shapes them beside the seed."""

    language: Int64s
    epoch: Int64s
    number: Int64s
    """Index into the language's `Sequences`."""


class Batches:
    """The batches of a corpus.

    Args:
        corpus: token shards.
        vocabulary: the one the corpus was built with.
        seed: names the whole run.
        windows: in a batch.
        length: tokens of a window, and of the longest sequence, special ones included.
        pairing: one text in a sequence, or two with a question about them.
        masking: which tokens are to be predicted.
        phases: of the language plan.
        ramp: windows of the first step, and after how many steps a batch is full; if it is to grow.
        any_vocabulary: take the ids of another vocabulary as they are: for one that has only grown.

    Raises:
        InputError: the vocabulary is another one, there is nothing to train or evaluate on, or the
            corpus lacks what the masking needs.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: AnyVocabulary,
        *,
        seed: int,
        windows: int,
        length: int,
        pairing: Pairing = "next",
        masking: Masking = HELD_OUT,
        phases: Sequence[Phase] = (Phase(),),
        ramp: tuple[int, int] | None = None,
        any_vocabulary: bool = False,
    ) -> None:
        _check_vocabulary(corpus, vocabulary, any_vocabulary=any_vocabulary)
        if masking.unit == "morpheme" and not corpus.manifest.morphemes:
            raise InputError(
                "masking.unit is morpheme, but the corpus does not know where morphemes begin; "
                "build it with: kobert corpus build --sentences kiwi"
            )
        self._corpus, self._vocabulary = corpus, vocabulary
        self.seed, self.windows, self.length = seed, windows, length
        self._pairing, self._masking = pairing, masking
        self._ramp = Ramp(windows, *(ramp or (windows, 0)))
        train = {code: side for code, side in self._cut(held_out=False).items() if len(side)}
        if not train:
            raise InputError("the corpus has no text to train on")
        kept = self._cut(held_out=True)
        if not any(len(kept[code]) for code in train):
            raise InputError(
                "the corpus keeps no document for evaluation; put blank lines between documents "
                "(a language needs four) and build it with --held-out above 0"
            )
        tokens = {code: _tokens(corpus.shards[code]) for code in train}
        self.plan = LanguagePlan(tokens, phases, length)
        self._train = join([train[code] for code in self.plan.languages])
        # Sentences and documents are those of both sides: no second copy.
        self._kept = replace(
            join([kept[code] for code in self.plan.languages]),
            starts=self._train.starts,
            documents=self._train.documents,
        )
        self._windows = Windows(self._train, length)
        self._assembly = Assembly(
            [corpus.shards[code] for code in self.plan.languages],
            np.array([_has_spaces(code) for code in self.plan.languages]),
            vocabulary,
            pairing=pairing,
            length=length,
        )
        self.fingerprint = _fingerprint(
            corpus=corpus.manifest.fingerprint,
            scheme=SCHEME,
            seed=seed,
            windows=windows,
            length=length,
            pairing=pairing,
            masking=asdict(masking),
            phases=[asdict(phase) for phase in phases],
            **({"ramp": ramp} if ramp else {}),
        )
        """SHA-256 of all that shapes the batches; with a step it names a batch."""

    @classmethod
    def of(cls, corpus: Corpus, vocabulary: AnyVocabulary, seed: int, data: DataConfig) -> Self:
        """As a run's settings say."""
        return cls(
            *(corpus, vocabulary),
            seed=seed,
            windows=data.windows,
            length=data.length,
            pairing=data.pairing,
            masking=data.masking,
            phases=[data.languages],
            ramp=None if data.first_windows is None else (data.first_windows, data.ramp_steps),
            any_vocabulary=data.any_vocabulary,
        )

    def _cut(self, *, held_out: bool) -> dict[str, Sequences]:
        return {
            code: cut(
                shard,
                held_out=held_out,
                length=self.length,
                pairing=self._pairing,
                seed=0 if held_out else self.seed,
                starts_word=self._vocabulary.starts_word,
            )
            for code, shard in self._corpus.shards.items()
        }

    def __getitem__(self, step: int) -> Batch:
        return self.part(step, 0, 1)

    def windows_of(self, step: int) -> int:
        """Windows in the batch of a step."""
        return self._ramp.windows(step)

    def part(self, step: int, part: int, parts: int) -> Batch:
        """One of ``parts`` equal shares of a batch, for a rank or a step of accumulation.

        Args:
            step: from 0.
            part: from 0.
            parts: a divisor of the batch's windows.
        """
        all_windows = self.windows_of(step)
        windows, rest = divmod(all_windows, parts)
        if rest:
            raise InputError(
                f"a batch of {all_windows} windows cannot be shared by {parts}; "
                f"choose a multiple of {parts}"
            )
        drawn, masking = self.drawn(step, part * windows, windows), self._masking
        room = windows * self.length
        slots = self._slots(windows, room)
        texts = self._texts(self._train, drawn, self.seed)
        return self._assembly.batch(texts, masking, masking.rate_at(step), slots, room)

    def _slots(self, windows: int, room: int) -> int:
        """Slots for the predictions in so many windows of ``room`` tokens together."""
        if self._masking.rule == "exact":
            return hardly_ever_more(windows, *self._masked_in_a_window)
        rate = self._masking.highest_rate
        longest = 1 if self._masking.unit == "piece" else self._masking.longest_unit
        # Units of n tokens have n times the variance of n tokens by themselves.
        return hardly_ever_more(room, rate, longest * rate * (1 - rate), longest)

    @cached_property
    def _masked_in_a_window(self) -> tuple[float, float, int]:
        """Mean, variance and most of what is chosen in a window."""
        return self._windows.sums(budgets(self._windows.lengths, self._masking.highest_rate))

    def texts(self, step: int) -> Texts:
        """Which tokens of the corpus are in a batch."""
        return self._texts(self._train, self.drawn(step, 0, self.windows_of(step)), self.seed)

    def drawn(self, step: int, first: int, windows: int) -> Drawn:
        """Which sequences are in ``windows`` windows of a batch, from its window ``first`` on."""
        numbers = self._ramp.before(step) + first + np.arange(windows)
        language, within = self.plan.find(numbers)
        turn, place = np.divmod(within, self._windows.counts[language])
        window = permuted(place, self._windows.counts[language], self.seed, language, turn)
        owner, number, epoch = self._windows.sequences(language, window, self.seed, turn)
        return Drawn(language[owner], epoch, number)

    def held_out(self, most: int, *, windows: int | None = None) -> Iterator[Batch]:
        """Batches of the documents that training never sees, ``most`` sequences per language.

        They depend on the corpus alone, not on the seed of the run.

        Args:
            most: sequences of each language.
            windows: of a batch; those of a training batch if not given.
        """
        drawn = self._evaluated(most)
        lengths = self._kept.lengths[self._kept.first[drawn.language] + drawn.number]
        room = (windows or self.windows) * self.length
        begin = 0
        while begin < len(lengths):
            fit = int(np.searchsorted(np.cumsum(lengths[begin:]), room, side="right"))
            here = slice(begin, begin + fit)
            part = Drawn(drawn.language[here], drawn.epoch[here], drawn.number[here])
            slots = int(budgets(lengths[here], HELD_OUT.rate).sum())
            texts = self._texts(self._kept, part, seed=0)
            yield self._assembly.batch(texts, HELD_OUT, HELD_OUT.rate, slots, room)
            begin += fit

    def _evaluated(self, most: int) -> Drawn:
        sizes = np.diff(self._kept.first)
        numbers = [permuted(np.arange(min(most, size)), size, 0) for size in sizes]
        language = np.repeat(np.arange(len(sizes)), [len(found) for found in numbers])
        return Drawn(language, np.full(len(language), HELD_OUT_EPOCH), np.concatenate(numbers))

    def _texts(self, side: Sequences, drawn: Drawn, seed: int) -> Texts:
        """The tokens of each sequence, by place in its shard."""
        key = seed, drawn.language, drawn.epoch
        if self._pairing == "none":
            at = side.first[drawn.language] + drawn.number
            before = side.tokens[drawn.language]
            a_begin, a_end = side.begins[at] - before, side.ends[at] - before
            b_begin = b_end = np.zeros_like(a_end)
            label = np.full(len(at), IGNORED)
        else:
            pairs = draw_pairs(side, drawn.number, self._pairing, *key)
            a_begin, a_end, b_begin, b_end = pairs.a_begin, pairs.a_end, pairs.b_begin, pairs.b_end
            label = pairs.label
        return Texts(
            language=drawn.language,
            a_begin=a_begin,
            a_end=a_end,
            b_begin=b_begin,
            b_end=b_end,
            label=label,
            keys=bits(MASK, *key, drawn.number),
        )

    def training_counts(self, language: str) -> Int64s:
        """How often each id stands in a language's training documents, [V].

        Counted in the first `COUNTED` tokens: enough for frequencies, and quick at any size.
        """
        shard = self._corpus.shards[language]
        sizes = np.diff(shard.sentences[shard.documents])
        documents = int(np.searchsorted(np.cumsum(sizes), COUNTED)) + 1
        training = np.repeat(~shard.held_out()[:documents], sizes[:documents])
        tokens = shard.tokens[: len(training)][training]
        return np.bincount(tokens, minlength=len(self._vocabulary))


def _check_vocabulary(corpus: Corpus, vocabulary: AnyVocabulary, *, any_vocabulary: bool) -> None:
    built_with = corpus.manifest.vocabulary_size
    if corpus.manifest.vocabulary == vocabulary.fingerprint:
        return
    if not any_vocabulary:
        raise InputError(
            "the corpus was built with another vocabulary; build it again with this one: "
            "kobert corpus build. If all of its ids mean the same here: --data.any-vocabulary"
        )
    if built_with > len(vocabulary):
        raise InputError(
            f"the corpus was built with a vocabulary of {built_with:,} pieces, this one has "
            f"{len(vocabulary):,}; build it again with this one: kobert corpus build"
        )


def _tokens(shard: Shard) -> int:
    """Of the training documents."""
    documents = np.flatnonzero(~shard.held_out())
    starts = shard.sentences[shard.documents]
    return int((starts[documents + 1] - starts[documents]).sum())


def _has_spaces(code: str) -> bool:
    known = known_languages().get(code)
    return known is None or known.spaces


def _fingerprint(**shaped_by: object) -> str:
    return hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()
