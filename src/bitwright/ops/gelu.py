"""gelu(x) = x * Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016). attrs: approximate.

`approximate` is "none" (by erf) or "tanh", as in PyTorch.
"""

import math

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Gelu(Unary):
    name = "gelu"

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        if node.attrs["approximate"] == "tanh":
            return np.asarray(x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
        return np.asarray(x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))
