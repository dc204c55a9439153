"""Masked-word loss and accuracy on held-out documents, per language.

Two yardsticks stand beside each loss, for the very tokens that were masked. The *unigram loss* is
that of somebody who knows how often each piece comes in the language's training text, and nothing
else. The *entropy* is the least that any such somebody could reach, had they seen the answers; with
few tokens it is far too low to be fair (at most ln n for n of them).

A third number is for runs with different vocabularies, whose tokens are of different lengths: *bits
per character*, the loss of the masked tokens in bits, summed, divided by the characters they stand
for (`Vocabulary.characters`: the ▁ before a word is its space). It is no likelihood of the text:
each token is predicted with most others in sight. And no vocabulary is spared its tokens: one of
longer pieces has longer gaps to fill at the same rate. So small differences mean nothing, and runs
whose held-out text differs cannot be compared at all.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from kobert_kit.batches.batch import IGNORED, PADDING, Batch
from kobert_kit.batches.batches import Batches
from kobert_kit.encoder import PretrainingModel
from kobert_kit.pretraining.step import BatchTensors, logits
from kobert_vocab.tokenizer_vocabulary import AnyVocabulary

# Added to every count (Lidstone). Of 1, 0.1 and 0.01 this makes the hardest yardstick: a mean of
# 6.49, 6.13 and 6.10 nats over the 244 languages of docs/first-run.md.
UNSEEN = 0.01


@dataclass(frozen=True, kw_only=True)
class LanguageScore:
    """Of one language's held-out sequences, in nats and shares."""

    masked: int
    """Masked tokens scored."""
    loss: float
    accuracy: float
    unigram_loss: float
    entropy: float
    bits_per_character: float | None
    """None where the masked tokens stand for no character: a few later bytes of one, say."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Of all languages together, and of each."""

    loss: float
    accuracy: float
    next_accuracy: float | None
    """None where sequences are single texts."""
    bits_per_character: float | None
    languages: dict[str, LanguageScore]


# Held-out sequences that the report shows with their masks filled; languages many can read.
SHOWN = {"ko": 4} | dict.fromkeys(("en", "ja", "zh-Hans", "es", "de", "fr", "ru", "ar", "hi"), 1)


@dataclass(frozen=True)
class Guess:
    """One masked place: what stood there and what the model thinks, best first."""

    position: int
    label: int
    top: list[tuple[int, float]]


@dataclass(frozen=True)
class Example:
    """One held-out sequence, with masks applied, and the model's guesses."""

    language: str
    tokens: list[int]
    guesses: list[Guess]


def evaluate(
    model: PretrainingModel,
    batches: Batches,
    vocabulary: AnyVocabulary,
    sequences: int,
    device: torch.device,
    *,
    windows: int,
) -> Evaluation:
    """Score ``model`` on so many held-out sequences of each language, so many windows at a time."""
    labels, losses, hits, owners, next_hits = [], [], [], [], []
    for batch in batches.held_out(sequences, windows=windows):
        scored = _score(model, batch, device)
        used = batch.labels != IGNORED
        labels.append(batch.labels[used])
        losses.append(scored.losses[used])
        hits.append(scored.hits[used])
        owners.append(batch.language[_sequence_of(batch, batch.masked[used])])
        next_hits.append(scored.next_hits[batch.is_next != IGNORED])
    label, loss, hit, owner = map(np.concatenate, (labels, losses, hits, owners))
    next_hit = np.concatenate(next_hits)
    characters = vocabulary.characters[label]
    return Evaluation(
        loss=float(loss.mean()),
        accuracy=float(hit.mean()),
        next_accuracy=float(next_hit.mean()) if len(next_hit) else None,
        bits_per_character=bits_per_character(loss, characters),
        languages={
            language: LanguageScore(
                masked=int(mine.sum()),
                loss=float(loss[mine].mean()),
                accuracy=float(hit[mine].mean()),
                unigram_loss=unigram_loss(label[mine], batches.training_counts(language)),
                entropy=entropy(label[mine]),
                bits_per_character=bits_per_character(loss[mine], characters[mine]),
            )
            for which in np.unique(owner)
            for mine, language in [(owner == which, batches.plan.languages[which])]
        },
    )


def bits_per_character(
    losses: npt.NDArray[np.float32], characters: npt.NDArray[np.int64]
) -> float | None:
    """Of tokens with these losses, in nats, that stand for so many characters each."""
    total = int(characters.sum())
    return float(losses.sum(dtype=np.float64)) / math.log(2) / total if total else None


def unigram_loss(labels: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> float:
    """Mean loss of guessing ``labels`` by the frequencies ``counts`` [V] alone, in nats."""
    smoothed = counts + UNSEEN
    return float(-np.log(smoothed[labels] / smoothed.sum()).mean())


def entropy(labels: npt.NDArray[np.int64]) -> float:
    """Of the distribution of ``labels`` themselves, in nats."""
    _, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True)
class _Scored:
    losses: npt.NDArray[np.float32]
    hits: npt.NDArray[np.bool_]
    next_hits: npt.NDArray[np.bool_]
    """[S]; all false of a model without that head, whose batches have no pairs to count."""


@torch.no_grad()
def _score(model: PretrainingModel, batch: Batch, device: torch.device) -> _Scored:
    model.eval()
    tensors = BatchTensors.on(device, batch)
    masked, following = logits(model, tensors)
    losses = F.cross_entropy(masked.float(), tensors.labels, ignore_index=IGNORED, reduction="none")
    hits = masked.argmax(1) == tensors.labels
    next_hits = torch.zeros_like(tensors.is_next, dtype=torch.bool)
    if following is not None:
        next_hits = following.argmax(1) == tensors.is_next
    return _Scored(losses.cpu().numpy(), hits.cpu().numpy(), next_hits.cpu().numpy())


@torch.no_grad()
def examples(
    model: PretrainingModel,
    batches: Batches,
    device: torch.device,
    *,
    windows: int,
    top: int = 3,
) -> list[Example]:
    """The first held-out sequences of the `SHOWN` languages with what the model fills in."""
    model.eval()
    found: dict[str, list[Example]] = {code: [] for code in SHOWN}
    for batch in batches.held_out(max(SHOWN.values()), windows=windows):
        texts = batch.language[batch.language != PADDING]
        codes = [batches.plan.languages[which] for which in texts]
        wanted = [(number, code) for number, code in enumerate(codes) if code in SHOWN]
        if not wanted:
            continue
        masked, _ = logits(model, BatchTensors.on(device, batch))
        best = masked.float().softmax(1).topk(top, dim=1)
        for number, code in wanted:
            if len(found[code]) < SHOWN[code]:
                found[code].append(_example(batch, number, code, best.indices, best.values))
    return [example for of_language in found.values() for example in of_language]


def _example(batch: Batch, number: int, code: str, pieces: Tensor, shares: Tensor) -> Example:
    begin, end = batch.cu_seqlens[number : number + 2]
    slots = (_sequence_of(batch, batch.masked) == number) & (batch.labels != IGNORED)
    guesses = [
        Guess(
            position=int(batch.masked[slot] - begin),
            label=int(batch.labels[slot]),
            top=list(zip(pieces[slot].tolist(), shares[slot].tolist(), strict=True)),
        )
        for slot in np.flatnonzero(slots)
    ]
    return Example(code, batch.tokens[begin:end].tolist(), guesses)


def _sequence_of(batch: Batch, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.searchsorted(batch.cu_seqlens, positions, side="right") - 1
