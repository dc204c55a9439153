"""Random numbers as a pure function of their place, so that nothing has to be remembered.

A draw is named by integers (stream, seed, language, sample ...); the same names give the same bits
on every machine, in any order and in any process. The mixing function is the finaliser of
SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", section 4)
applied once per name.
"""

import numpy as np
import numpy.typing as npt

Names = int | npt.NDArray[np.integer]
Bits = npt.NDArray[np.uint64]

# One stream per decision, so that no two decisions share their randomness.
ORDER, SHORT, PAIR, TRUNCATION, MASK, DROPOUT, PHASE = range(7)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, SplitMix64's increment
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def bits(*names: Names) -> Bits:
    """64 random bits for each element of the broadcast ``names``."""
    return further(np.zeros(1, dtype=np.uint64), *names)


def further(state: Bits, *names: Names) -> Bits:
    """The bits of a draw with more names: ``further(bits(a), b)`` is ``bits(a, b)``.

    Where many draws begin with the same names, these are mixed once.
    """
    for name in names:
        state = _mix(state + (_GOLDEN + np.atleast_1d(np.asarray(name)).astype(np.uint64)))
    return state


def _mix(x: Bits) -> Bits:
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def as_uniform(drawn: Bits) -> npt.NDArray[np.float64]:
    """Bits as numbers in [0, 1), with the 53 bits that a float64 holds."""
    return (drawn >> np.uint64(11)).astype(np.float64) * np.float64(2.0**-53)


def uniform(*names: Names) -> npt.NDArray[np.float64]:
    """Uniform in [0, 1)."""
    return as_uniform(bits(*names))


def below(bound: int, *names: Names) -> npt.NDArray[np.int64]:
    """Uniform integers in [0, bound); the bias of scaling 53 bits is under bound / 2^53."""
    return (uniform(*names) * bound).astype(np.int64)


def phase_seed(seed: int, phase: int) -> int:
    """The seed of a run's phase, from 0: the first has the run's own, later ones shuffle anew."""
    return seed if phase == 0 else int(below(1 << 31, PHASE, seed, phase)[0])
