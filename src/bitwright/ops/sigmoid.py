"""sigmoid(x) = 1 / (1 + exp(-x))."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Sigmoid(Unary):
    name = "sigmoid"

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return 1 / (1 + np.exp(-x))
