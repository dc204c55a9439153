"""One training step of BERT-Base: this kit against transformers, eager and compiled.

    python benchmarks/bert_base_step.py --out benchmarks/results/step.json

Every contender has the same weights' shape, the same tokens in the same micro-batch, dropout 0.1,
bf16 autocast on a GPU, fused AdamW, and predicts 15 % of the positions plus the next sentence.
Full-length sequences leave padding out of it; the ragged rows have BERT's natural mixture, which
transformers pads. They take turns in one process. tokens/s counts real tokens; MFU counts the
floating-point operations of the matrix products (no recomputation) over the matrix rate measured in
the same run.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from kobert_kernels import bench
from kobert_kit.encoder import EncoderConfig, PretrainingModel
from kobert_kit.pretraining.config import OptimizerConfig
from kobert_kit.pretraining.optimizers import make_optimizers
from kobert_kit.pretraining.step import BatchTensors, losses

MASKED = 0.15
ROUNDS = 7


@dataclass(frozen=True)
class Batch:
    """The same tokens packed, and as padded rows."""

    packed: BatchTensors
    ids: Tensor
    attended: Tensor
    labels: Tensor


def make_batch(lengths: list[int], vocab: int, device: torch.device) -> Batch:
    """Random tokens, of which 15 % are to be predicted."""
    draw = torch.Generator().manual_seed(0)
    longest, total = max(lengths), sum(lengths)
    tokens = torch.randint(5, vocab, (total,), generator=draw)
    masked = torch.randperm(total, generator=draw)[: int(total * MASKED)].sort().values
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    positions = torch.cat([torch.arange(n) for n in lengths])
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    ids = torch.zeros(len(lengths), longest, dtype=torch.long)
    ids[row, positions] = tokens
    labels = torch.full_like(ids, -100)
    labels[row[masked], positions[masked]] = tokens[masked]
    attended = torch.zeros_like(ids)
    attended[row, positions] = 1
    packed = BatchTensors(
        tokens=tokens.int().to(device),
        positions=positions.int().to(device),
        segments=torch.zeros(total, dtype=torch.int32, device=device),
        cu_seqlens=bounds.int().to(device),
        max_seqlen=longest,
        masked=masked.to(device),
        labels=tokens[masked].to(device),
        is_next=torch.zeros(len(lengths), dtype=torch.long, device=device),
        used=len(masked),
        pairs=len(lengths),
    )
    return Batch(packed, ids.to(device), attended.to(device), labels.to(device))


Step = Callable[[Batch], None]


def ours(config: EncoderConfig, device: torch.device, *, compiled: bool) -> Step:
    """A step of this kit."""
    model = PretrainingModel(config)
    model.initialise(torch.Generator().manual_seed(0))
    model.to(device).train()
    (optimizer,) = make_optimizers(model, OptimizerConfig())
    seed = torch.tensor([1], device=device)
    forward = torch.compile(losses, dynamic=False) if compiled else losses

    def step(batch: Batch) -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = forward(model, batch.packed, seed).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def theirs(config: EncoderConfig, device: torch.device, *, compiled: bool) -> Step:
    """A step of transformers' BERT, its masked-language head on the masked positions alone.

    Its own head computes logits for every position; with 15 % masked that alone would cost it a
    fifth of its time, and anyone who cares gathers first.
    """
    from transformers import BertConfig, BertForPreTraining

    model = BertForPreTraining(
        BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.intermediate_size,
            attn_implementation="sdpa",
        )
    )
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)

    def loss_of(ids: Tensor, attended: Tensor | None, masked: Tensor, labels: Tensor) -> Tensor:
        x = model.bert(ids, attention_mask=attended)
        words = model.cls.predictions(x.last_hidden_state.flatten(0, 1)[masked])
        follows = model.cls.seq_relationship(x.pooler_output)
        nothing = torch.zeros(len(ids), dtype=torch.long, device=ids.device)
        return F.cross_entropy(words.float(), labels) + F.cross_entropy(follows.float(), nothing)

    forward = torch.compile(loss_of, dynamic=False) if compiled else loss_of

    def step(batch: Batch) -> None:
        flat = batch.labels.flatten()
        masked = (flat >= 0).nonzero()[:, 0]
        full = bool(batch.attended.all())
        with torch.autocast(device.type, torch.bfloat16):
            loss = forward(batch.ids, None if full else batch.attended, masked, flat[masked])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def flops_per_step(config: EncoderConfig, lengths: list[int]) -> float:
    """Of the matrix products, forward and backward: three times forward."""
    h, f, tokens = config.hidden_size, config.intermediate_size, sum(lengths)
    linear = 2 * tokens * config.layers * (4 * h * h + 2 * h * f)
    attention = 4 * config.layers * h * sum(n * n for n in lengths)
    head = 2 * tokens * MASKED * (h * h + h * config.vocab_size)
    return 3.0 * (linear + attention + head)


def natural_lengths(tokens: int, longest: int) -> list[int]:
    """Lengths from an eighth to all of the longest, as sentence pairs of running text have."""
    draw = torch.Generator().manual_seed(0)
    lengths: list[int] = []
    while sum(lengths) < tokens:
        lengths.append(int(torch.randint(longest // 8, longest + 1, (1,), generator=draw)))
    return lengths


def main() -> None:
    """Time the contenders and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=32768, help="per step")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--vocab", type=int, default=32768)
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 512])
    options = parser.parse_args()
    device = bench.device_here()
    config = EncoderConfig(vocab_size=options.vocab, layers=options.layers)
    contenders: dict[str, Callable[[], Step]] = {
        "kobert-kit": lambda: ours(config, device, compiled=False),
        "kobert-kit, compiled": lambda: ours(config, device, compiled=True),
        "transformers": lambda: theirs(config, device, compiled=False),
        "transformers, compiled": lambda: theirs(config, device, compiled=True),
    }
    machine = bench.describe(device)
    dtype = "torch.bfloat16" if device.type == "cuda" else "torch.float32"
    rate = machine.matmul_tflop_s[dtype]
    rows = []
    for longest in options.lengths:
        full = [longest] * (options.tokens // longest)
        for kind, lengths in (
            ("full", full),
            ("natural", natural_lengths(options.tokens, longest)),
        ):
            batch = make_batch(lengths, options.vocab, device)
            torch._dynamo.reset()
            steps = {name: make() for name, make in contenders.items()}
            times: dict[str, list[float]] = {name: [] for name in steps}
            stopwatch = bench.Stopwatch(device)
            for number in range(ROUNDS + 2):
                for name, step in steps.items():
                    stopwatch.start()
                    step(batch)
                    lap = stopwatch.laps()[0]
                    if number >= 2:
                        times[name].append(lap)
            for name, laps in times.items():
                ms = statistics.median(laps)
                tflops = flops_per_step(config, lengths) / ms / 1e9
                rows.append(
                    {
                        "contender": name,
                        "longest": longest,
                        "lengths": kind,
                        "tokens": sum(lengths),
                        "ms": round(ms, 3),
                        "tokens_per_second": round(sum(lengths) / ms * 1e3),
                        "mfu_of_measured_rate": round(tflops / rate, 4),
                    }
                )
                print(
                    f"{longest:5} {kind:8} {name:24} {ms:9.2f} ms {sum(lengths) / ms * 1e3:12,.0f} "
                    f"tokens/s  {tflops / rate:.1%} of the matrix rate",
                    flush=True,
                )
            del steps
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": asdict(machine), "model": asdict(config), "rows": rows}
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
