"""`as_known`: steps that together compute a function with a name are that function, however a model spells it.

They are told by their numbers, not by their spelling: x * sigmoid(x) and x / (1 + exp(-x)) are silu, and so are their constants
rounded to float32, as ONNX files have them. Such a model gets the same table as one that calls the function.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.ops.function import Step, columns_of, compute, in_numpy

KNOWN = (
    *(Step(name) for name in ("sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "mish", "softplus", "tanh")),
    Step("gelu", kwargs={"approximate": "tanh"}),
)
AT = np.concatenate([sign * np.geomspace(1e-4, 1e30, 340) for sign in (-1.0, 1.0)])
"""Where functions are compared: a clamp makes another function of one, however far away it is."""
TOLERANCE = 1e-6
"""Of the argument's size, or of 1: a few roundings of float32."""


def _values(steps: Sequence[Step]) -> np.ndarray:
    with np.errstate(all="ignore"):
        found = compute(tuple(steps), AT, in_numpy, list)
    return np.broadcast_to(np.asarray(found, np.float64), AT.shape)


_TABLES = [_values([step]) for step in KNOWN]


def as_known(steps: Sequence[Step]) -> Sequence[Step]:
    """The one step that computes the same as several, or the steps as they are."""
    if len(steps) == 1 or columns_of(steps):
        return steps
    values = _values(steps)
    for step, table in zip(KNOWN, _TABLES, strict=True):
        if (np.abs(values - table) <= TOLERANCE * np.maximum(1, np.abs(AT))).all():
            return [step]
    return steps
