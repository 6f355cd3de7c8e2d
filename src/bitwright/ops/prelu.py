"""prelu between two shifts, per channel:  f(x) = p(x + before) + after,  p(y) = y where y > 0, else slope * y.

Tensors of the float op: slope [C] or [1]; before and after [C], each only where a shift was fused. ReActNet's RPReLU is exactly
this (Liu et al. 2020, "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions", equation 5).

Tensors of the integer op: slope, before and after, float32 [C]. Its result is that of the `table` that holds f of every code in
float64, and that is how engines run it; an artifact keeps 12 bytes a channel in place of 256. With one slope for all channels
and no shifts it lowers to one `table` at once.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, IntegerOp, codes_of, expect_tensors, float32
from bitwright.ops.table import Table, make_table
from bitwright.ops.unary import Unary

PARAMETERS = ("slope", "before", "after")
MOST_CHANNELS = 2**16
"""A channel's table takes far more memory than its parameters; a small file must not claim all of it."""


class Prelu(Unary, IntegerOp):
    name = "prelu"
    parameters = PARAMETERS
    takes_shifts = True
    takes_image = True

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        channels = inputs[0].channels
        for key, tensor in node.tensors.items():
            if tensor.shape != (channels,) and (key != "slope" or tensor.shape != (1,)):
                raise GraphError(f"expected {key} of {(channels,)}, found {tensor.shape}")
        return super().infer(node, inputs)

    def varies(self, node: Node) -> bool:
        return True

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        slope, before, after = (_column(node, key) for key in PARAMETERS)
        y = x + before
        found: npt.NDArray[np.float64] = np.where(y > 0, y, y * slope) + after
        return found

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        if all(tensor.size == 1 for tensor in node.tensors.values()):
            return super().lower(node, inputs, output)
        channels = (inputs[0].channels,)
        tensors = {key: np.broadcast_to(float32(node.tensors.get(key, 0.0)), channels) for key in PARAMETERS}
        return Node(node.name, self.name, node.inputs, {}, tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, dict.fromkeys(PARAMETERS, ("float32", (inputs[0].channels,))))
        if inputs[0].channels > MOST_CHANNELS:
            raise GraphError(f"{where}: expected at most {MOST_CHANNELS} channels, found {inputs[0].channels}")
        if output.type is None:
            raise GraphError(f"{where}: the result must be codes")

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return Table().run(self.simplest(node, inputs, output), xs, inputs, output)

    def simplest(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        """The `table` [C, 256] of the function."""
        table = make_table(lambda x: self.function(x, node), codes_of(inputs[0]), codes_of(output))
        return Node(node.name, Table.name, node.inputs, {}, {"table": table}, origin=node.origin)


def _column(node: Node, key: str) -> npt.NDArray[np.float64]:
    """A tensor as [C, 1], or as one number where it is one for all channels."""
    tensor = np.asarray(node.tensors.get(key, 0.0), np.float64)
    return tensor.reshape(-1, 1) if tensor.size > 1 else tensor.reshape(())
