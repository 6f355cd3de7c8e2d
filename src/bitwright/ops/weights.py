"""Weight codes, shared by conv2d and linear: rounding at convert time, checking at load time."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue
from bitwright.ops.op import INT32_MAX, FloatOp, check_overflow, codes_of, expect_tensors
from bitwright.schemes import SCHEMES

MAX_GROUPS = 2**16
"""The most groups of one layer: so many sums of the largest multipliers stay within float32."""

MOST_REACH = 255
"""The largest |code - zero_point| that any type of codes has."""


def WEIGHTS(value: Any) -> bool:  # noqa: N802 - an attribute rule, like its neighbours
    """An attribute that names a scheme of ours for weights."""
    return isinstance(value, str) and value in SCHEMES.ours and SCHEMES.ours[value].weights


def groups_needed(inputs: int, scheme: str) -> int:
    """The fewest groups of a linear layer's inputs whose sums fit int32 whatever weights and codes are, 1 mostly.

    It is 1 as well where no number of groups would do: then the bound of the weights themselves decides.
    """
    most = INT32_MAX // (max(SCHEMES[scheme].hi, -SCHEMES[scheme].lo) * MOST_REACH)
    fitting = (g for g in range(1, MAX_GROUPS + 1) if inputs % g == 0 and inputs // g <= most)
    return next(fitting, 1)


def quantize_weight(
    weight: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], scheme: str
) -> npt.NDArray[np.int8]:
    """The nearest numbers of a weight [O, ...] with one scale per output channel [O]; half to even, `binary` zero to -1."""
    column = np.asarray(scale, np.float64).reshape((-1,) + (1,) * (weight.ndim - 1))
    return SCHEMES[scheme].nearest(weight / column).astype(np.int8)


def with_residual(output: Value, residual: Value | None) -> Value:
    """`output`, which a residual has to fit where there is one; GraphError where it does not."""
    if residual is not None and (residual.shape, residual.channel) != (output.shape, output.channel):
        raise GraphError(
            f"expected a residual of {output.shape} with axis {output.channel} as its channel, "
            f"found {residual.shape} with axis {residual.channel}"
        )
    return output


def check_layer(op: FloatOp, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
    """Raise GraphError unless tensors, weight codes, bounds and the accumulator of a node with a weight are right."""
    shape = node.tensors["weight"].shape
    expected: dict[str, tuple[str, Shape]] = {"weight": ("int8", shape)}
    grouped = op.groups_inputs and node.tensors.get("m", np.empty(0)).ndim == 2
    groups = node.tensors["m"].shape[1] if grouped else 1
    if not int(grouped) < groups <= MAX_GROUPS or math.prod(shape[1:]) % groups:
        raise GraphError(
            f"{where}: {groups} groups do not divide the {math.prod(shape[1:])} inputs of a weight of {shape}"
        )
    expected |= {"m": ("float32", (*shape[:1], groups) if grouped else shape[:1]), "b": ("float32", shape[:1])}
    residual = op.find("residual", inputs)
    expect_tensors(node, where, expected | ({} if residual is None else {"m_r": ("float32", (1,))}))
    weight = node.tensors["weight"]
    if not SCHEMES[node.attrs["weights"]].holds(weight):
        raise GraphError(f"{where}: weight codes {weight.min()}..{weight.max()} are not all {node.attrs['weights']}")
    epilogue.check_bounds(node, output, where)
    other = "; or smaller groups of inputs ('group' in the recipe)" if op.groups_inputs else ""
    check_overflow(weight.reshape(shape[0] * groups, -1), codes_of(op.main(inputs)), where, other)
