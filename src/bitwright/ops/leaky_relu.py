"""leaky_relu(x) = x where x > 0, else slope * x. attrs: slope."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class LeakyRelu(Unary):
    name = "leaky_relu"

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return np.where(x > 0, x, x * node.attrs["slope"])
