"""The GPUs that a run is planned for."""

from dataclasses import dataclass
from typing import Literal

from kobert_vocab.errors import InputError

# Dense bf16 operations a second of the matrix units, without sparsity, by the makers' data sheets,
# and memory in GiB.
GPUS = {
    "H200": (989e12, 141),
    "H100": (989e12, 80),
    "A100": (312e12, 80),
    "L40S": (362e12, 48),
    "RTX4090": (165e12, 24),
    "L4": (121e12, 24),
    "RTX3090": (71e12, 24),
}
FILLED = 0.95  # of a GPU's memory: the rest is the allocator's and CUDA's own

Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """So many of one kind, and how fast they are."""

    kind: str = "H100"
    """A name of `GPUS`."""
    count: int = 1
    mfu: float = 0.4
    """Share of the peak that is reached."""
    tokens_per_second: float | None = None
    """Of one GPU, as it was measured; then ``mfu`` is not used."""
    parallel: Parallel = "ddp"
    """How several share the work."""

    def __post_init__(self) -> None:
        if self.kind not in GPUS:
            raise InputError(f"--gpu {self.kind}: not known; one of {', '.join(GPUS)}")
        if self.count < 1 or not 0 < self.mfu <= 1:
            raise InputError("--gpus is at least 1, and --mfu above 0 and at most 1")
        if self.tokens_per_second is not None and self.tokens_per_second <= 0:
            raise InputError("--tokens-per-second is above 0")

    def speed(self, operations: float) -> float:
        """Tokens a second of one GPU, where a token takes so many operations."""
        peak, _ = GPUS[self.kind]
        return self.tokens_per_second or self.mfu * peak / operations

    @property
    def memory(self) -> int:
        """Of one GPU, in GiB."""
        return GPUS[self.kind][1]


def peak_of(device: str) -> float | None:
    """Operations a second of a GPU by the name its driver gives it, if it is one of `GPUS`."""
    words = device.replace("RTX ", "RTX").replace("-", " ").split()
    return next((peak for name, (peak, _) in GPUS.items() if name in words), None)
