"""Functions of one number: in the integer graph each is a `table` from code to code, exact whatever the function costs."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import FloatOp, codes_of
from bitwright.ops.table import make_table
from bitwright.qtensor import to_codes, to_codes_as_onnx

AS_ONNX = "as_onnx"
"""The attribute of a float node whose result has a type that an ONNX file gives: its table is rounded as ONNX rounds."""


class Unary(FloatOp):
    """A real function, given in float64; lowers to `table`."""

    elementwise = True
    multiplies = False

    def varies(self, node: Node) -> bool:
        """Whether channels have functions of their own, by the node alone."""
        return False

    @abstractmethod
    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        """The real function of x [K], elementwise: [K], or [C, K] where it `varies`. x may be [C, K] already."""

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        return Value(inputs[0].shape, channel=inputs[0].channel)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        if output.type is None:
            raise GraphError(f"node {node.name!r} ({self.name}): the result of a table must be codes")
        rounded = to_codes_as_onnx if node.attrs.get(AS_ONNX) else to_codes
        with np.errstate(over="ignore"):
            table = make_table(lambda x: self.function(x, node), codes_of(inputs[0]), output.type, rounded)
        return Node(node.name, "table", node.inputs, {}, {"table": table}, origin=node.origin)
