"""Surround a value with real zeros, that is with its zero point. attrs: padding, a (before, after) for each axis.

A `binary` value has no code for zero, so it cannot be padded (the padding of a convolution can: it adds exact zeros).

Padding in front of a convolution is taken into the convolution; what is left are padded shortcuts (option A of ResNet).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.op import Array, SameTypeOp, codes_of, integers


def _pairs(value: Any) -> bool:
    pair = integers(2)
    return isinstance(value, tuple) and all(pair(v) for v in value)


class Pad(SameTypeOp):
    name = "pad"
    attrs = {"padding": _pairs}

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        padding = node.attrs["padding"]
        if len(padding) != len(shapes[0]):
            raise GraphError(f"expected a (before, after) for each axis of {shapes[0]}, found {padding}")
        return tuple(size + before + after for size, (before, after) in zip(shapes[0], padding, strict=True))

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        super().check(node, inputs, output, where)
        if codes_of(inputs[0]).step != 1:
            raise GraphError(
                f"{where}: {codes_of(inputs[0]).scheme} codes have no zero to pad with; expected uint2 to uint8 or bit"
            )

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        fill = codes_of(inputs[0]).zero_point
        return np.pad(xs[0], ((0, 0), *node.attrs["padding"]), constant_values=fill)
