"""A look-up from code to code: every unary function, and every change of type.

    code = table[x]       table uint8 [256], or [C, 256]: one per channel, as the image needs and `prelu` does

Entries past the greatest input code are never read; they hold 0.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, IntegerOp, codes_of, expect_tensors
from bitwright.qtensor import QType, to_codes

Function = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.floating[Any]]]
"""Computes with real values [256], or [C, 256]; parameters per channel have the shape [C, 1]."""

Rounding = Callable[[npt.NDArray[np.floating[Any]], QType], npt.NDArray[np.uint8]]
"""From real numbers to the codes of a type."""


class Table(IntegerOp):
    name = "table"
    takes_image = True
    bounds_codes = True

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        return Value(inputs[0].shape, channel=inputs[0].channel)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        per_channel = codes_of(inputs[0]).per_channel or node.tensors.get("table", np.empty(0)).ndim == 2
        expect_tensors(node, where, {"table": ("uint8", (inputs[0].channels, 256) if per_channel else (256,))})
        if output.type is None:
            raise GraphError(f"{where}: the result must be codes")
        if int(node.tensors["table"].max()) > output.type.codes.hi:
            raise GraphError(f"{where}: an entry is not a {output.type.scheme} code")

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        table = node.tensors["table"]
        if table.ndim == 1:
            return np.asarray(table[xs[0]])
        channel = np.arange(len(table)).reshape(output.column)
        return np.asarray(table[channel, xs[0]])


def make_table(function: Function, x: QType, y: QType, rounded: Rounding = to_codes) -> npt.NDArray[np.uint8]:
    """The table of a real function between two types: y's code of function(x's real value), in float64; [256] or [C, 256]."""
    codes = np.arange(256.0)
    scale, zero_point = (np.asarray(v, np.float64)[..., None] for v in (x.scale, x.zero_point))
    offset = np.asarray(x.offset)[:, None] if x.per_channel else 0.0
    table = rounded(function((x.step * codes - zero_point) * scale + offset), y)
    return np.where(codes <= x.codes.hi, table, 0).astype(np.uint8)
