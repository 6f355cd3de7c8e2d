"""One node of a float op with its real function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import signs


@dataclass(frozen=True)
class FloatCase:
    """A float node, types for its inputs and its result, and its real function on float64 arrays [N, ...]."""

    node: Node
    inputs: tuple[Value, ...]
    output: Value
    function: Callable[..., np.ndarray]
    steps: float = 0.502
    """How many steps of the result the integers may be off: one rounding to nearest, and the float32 roundings before it."""


def column(values, ndim) -> np.ndarray:
    return np.reshape(values, (1, -1) + (1,) * (ndim - 2))


def batch_norm_real(x, t, eps) -> np.ndarray:
    gain = t["bn_weight"].astype(float) / np.sqrt(t["bn_var"].astype(float) + eps)
    return (x - column(t["bn_mean"], x.ndim)) * column(gain, x.ndim) + column(t["bn_bias"], x.ndim)


def batch_norm_tensors(rng, channels) -> dict[str, np.ndarray]:
    return {
        "bn_weight": signs(rng, channels, 1.0),
        "bn_bias": rng.normal(size=channels).astype(np.float32),
        "bn_mean": rng.normal(size=channels).astype(np.float32),
        "bn_var": rng.uniform(0.1, 2, channels).astype(np.float32),
    }


EPS = 0.3
"""As large as the variances that it is added to, so that it cannot be lost unseen."""
X = QType("uint8", 0.02, 120)


Y = QType("uint8", 0.03, 100)
