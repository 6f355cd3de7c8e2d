"""prelu between two shifts, per channel:  f(x) = p(x + before) + after,  p(y) = y where y > 0, else slope * y.

Tensors: slope [C] or [1]; before and after [C], each only where a shift was fused. ReActNet's RPReLU is exactly this (Liu et
al. 2020, "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions", equation 5); in the integer
graph it is one table for each channel.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape
from bitwright.ops.unary import Unary


class Prelu(Unary):
    name = "prelu"
    per_channel = True

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        channels = shapes[0][0]
        for key, tensor in node.tensors.items():
            if tensor.shape != (channels,) and (key != "slope" or tensor.shape != (1,)):
                raise GraphError(f"expected {key} of {(channels,)}, found {tensor.shape}")
        return shapes[0]

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        slope, before, after = (_column(node, key) for key in ("slope", "before", "after"))
        y = x + before
        found: npt.NDArray[np.float64] = np.where(y > 0, y, y * slope) + after
        return found


def _column(node: Node, key: str) -> npt.NDArray[np.float64]:
    """A tensor as [C, 1], or as one number where it is one for all channels."""
    tensor = np.asarray(node.tensors.get(key, 0.0), np.float64)
    return tensor.reshape(-1, 1) if tensor.size > 1 else tensor.reshape(())
