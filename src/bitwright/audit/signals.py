"""How near one signal is to another: SQNR in dB, and cosine."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.audit.records import MOST_DB

Array = npt.NDArray[Any]


def energy(x: Array) -> float:
    """The sum of squares."""
    flat = x.astype(np.float64).reshape(-1)
    return float(flat @ flat)


def db_from(signal: float, noise: float) -> float:
    """10 log10 (signal / noise), within +-MOST_DB: two equal signals have no noise."""
    if noise <= 0:
        return MOST_DB
    if signal <= 0:
        return -MOST_DB
    return float(np.clip(10 * np.log10(signal / noise), -MOST_DB, MOST_DB))


def db_of(expected: Array, found: Array) -> float:
    """The SQNR of `found`: the energy of `expected` over that of the difference."""
    return db_from(energy(expected), energy(found - expected))


def cosine(expected: Array, found: Array) -> float:
    """The cosine of the angle between the two as vectors; 1 where both are zero, 0 where one is."""
    a, b = expected.astype(np.float64).reshape(-1), found.astype(np.float64).reshape(-1)
    sizes = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / sizes if sizes else float(not a.any() and not b.any())
