"""silu(x) = x * sigmoid(x), also called swish."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Silu(Unary):
    name = "silu"

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return np.asarray(x / (1 + np.exp(-x)))
