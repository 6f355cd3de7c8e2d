"""hardsigmoid(x) = relu6(x + 3) / 6."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Hardsigmoid(Unary):
    name = "hardsigmoid"

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return np.clip(x + 3, 0, 6) / 6
